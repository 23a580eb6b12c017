"""What tests of the pruner share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit import Progress, Schedule


class Rounds(Schedule):
    """Equal increments, in three rounds."""

    name = "rounds"

    @property
    def steps(self) -> int:
        return 3

    def target(self, now: Progress) -> float | None:
        return self.sparsity * (now.iteration + 1) / 3


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 3))


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    return [
        (torch.randn(16, 1, 6, 6, generator=generator), torch.randint(3, (16,), generator=generator))
        for _ in range(count)
    ]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])
