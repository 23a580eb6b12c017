"""The processes that train one model together, and how they agree on what is pruned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Ranks:
    """The processes of torch.distributed that train the model; by default this one alone."""

    count: int = 1
    """How many there are."""
    group: ProcessGroup | None = None
    """Which of all processes they are; None: all."""

    @classmethod
    def here(cls, group: ProcessGroup | None = None) -> Ranks:
        """Return the processes of ``group``; this one alone where torch.distributed has not been initialised."""
        from torch import distributed

        if not distributed.is_available() or not distributed.is_initialized():
            return cls()
        return cls(distributed.get_world_size(group), group)

    def share(self, examples: int) -> int:
        """Return how many of so many examples each process looks at, rounded up."""
        return -(-examples // self.count)

    def mean(self, tensor: Tensor, weight: float = 1.0) -> Tensor:
        """Return the mean of ``tensor`` over the processes, the same in all of them; alone, ``tensor`` itself.

        Each counts as much as its ``weight``: with the number of examples that it is a mean of, the result is the mean
        over all examples. Every process has to call it, with tensors of one shape.
        """
        if self.count == 1:
            return tensor
        import torch
        from torch import distributed

        precision = torch.promote_types(tensor.dtype, torch.float32)
        total = tensor.detach().to(precision).mul(weight).contiguous()
        weights = torch.tensor(weight, dtype=precision, device=tensor.device)
        for each in (total, weights):
            distributed.all_reduce(each, group=self.group)
        return (total / weights).to(tensor.dtype)

    def give_first(self, tensor: Tensor) -> None:
        """Set ``tensor``, bool, to what it is in the first process, in place."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        values = tensor.to(torch.uint8, memory_format=torch.contiguous_format)
        first = 0 if self.group is None else distributed.get_global_rank(self.group, 0)
        distributed.broadcast(values, first, group=self.group)
        tensor.copy_(values)
