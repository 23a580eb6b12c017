"""Wanda: a weight counts as much as it is large, and as its input is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from prunekit import Criterion, InputError, PruningContext, Target, register

from ._examples import first_examples, logits_of
from ._modes import scoring

_Layer = nn.Linear | _ConvNd
_OUT_PROJECTION = 11
"""Where the weight behind the heads stands among the arguments of multi_head_attention_forward; its bias follows."""


@register("wanda", source="Sun et al. 2023, arXiv 2306.11695, eq. 1")
class Wanda(Criterion):
    """Keep the weights of largest |θ| · ‖x‖₂, x the input feature that the weight is multiplied with.

    The paper compares weights of the same output: prune ``within: row``, which leaves every output something. The norm
    of a linear layer's feature is taken over all examples and, where there are any, tokens; that of a convolution's
    input channel over all examples and all positions of the map, padding not counted. A grouped convolution's filter
    has the channels of its group. Norms of weights used several times, by one layer or by tied ones, add up as one
    longer x. A norm grows with the number of positions, so that scores of different layers are not on one scale. It
    needs no labels.
    """

    needs_data: ClassVar[bool] = True

    examples: int | None = Field(default=128, ge=1)
    """Training examples whose features are looked at; null: all. 128 as in the paper."""

    @property
    def reading(self) -> str:
        """Say of which inputs norms are taken."""
        return (
            f"{self.name}: ‖x‖ of inputs of the network as it is before the update, all layers at once (the authors' "
            "code prunes block after block, each behind pruned ones); of convolutions by input channel"
        )

    def check(self, targets: Sequence[Target]) -> None:
        """Refuse biases, which no input is multiplied with."""
        for target in targets:
            if target.name.endswith("bias"):
                raise InputError(f"it has no score for {target.name}, a bias: take it out of what is pruned (targets)")

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return |θ| · ‖x‖₂.

        Weights of linear layers that are used without their layer being called, as attention blocks of torch and
        torchvision do, are seen in a second pass. Raises InputError where a target is a bias, or a weight whose inputs
        cannot be seen: one that is used in another way, or never.
        """
        self.check(context.targets)
        norms = _Norms(context)
        for watching in (norms.calls, norms.other_uses):
            if any(not norms.saw(target.parameter) for target in context.targets):
                with scoring(context.model), torch.no_grad(), watching():
                    for batch in first_examples(context, self.examples):
                        logits_of(context, batch)
        if unseen := ", ".join(target.name for target in context.targets if not norms.saw(target.parameter)):
            raise InputError(
                f"it never saw an input of {unseen}: the model uses the weight without calling its layer, or not at "
                f"all; exclude it (targets: {{exclude: [{unseen}]}})"
            )
        return {t.name: t.parameter.detach().abs() * norms.of(t.parameter, context) for t in context.targets}


class _Norms:
    """Norms of the inputs of the layers that use the targets' weights, from hooks on these layers."""

    def __init__(self, context: PruningContext) -> None:
        names = {id(target.parameter): target.name for target in context.targets}
        self._users: dict[int, list[_Layer]] = {key: [] for key in names}
        self._norms: dict[int, Tensor] = {}
        for module in context.model.modules():
            for parameter in module.parameters(recurse=False):
                name = names.get(id(parameter))
                if name is not None and not isinstance(module, _Layer):
                    raise InputError(
                        f"it cannot tell inputs of {name}, a weight shared with {type(module).__name__}: exclude it "
                        f"(targets: {{exclude: [{name}]}})"
                    )
                if name is not None and isinstance(module, _Layer):
                    self._users[id(parameter)].append(module)

    @contextmanager
    def calls(self) -> Iterator[None]:
        """Look at every input of a layer."""
        modules = [module for users in self._users.values() for module in users]
        hooks = [module.register_forward_pre_hook(self._look, with_kwargs=True) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def other_uses(self) -> Iterator[None]:
        """Look at what is multiplied with the weights of linear layers that were not called."""
        unseen = {key: users[0] for key, users in self._users.items() if id(users[0]) not in self._norms}

        def look(weight: Tensor, inputs: Tensor) -> None:
            if id(weight) in unseen:
                self._look(unseen[id(weight)], (inputs,), {})

        with _Uses(look):
            yield

    def _look(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        features: Tensor = inputs[0] if inputs else named["input"]
        spatial = len(module.kernel_size) if isinstance(module, _ConvNd) else 0
        channels = features.movedim(-1 - spatial, 0).flatten(1)
        norm = torch.linalg.vector_norm(channels, dim=1, dtype=torch.promote_types(features.dtype, torch.float32))
        before = self._norms.get(id(module))
        self._norms[id(module)] = norm if before is None else before.hypot(norm)  # squares could overflow

    def saw(self, weight: Tensor) -> bool:
        """Whether all layers that have the weight were called."""
        return all(id(module) in self._norms for module in self._users[id(weight)])

    def of(self, weight: Tensor, context: PruningContext) -> Tensor:
        """Return ‖x‖ for every element of the weight, in a shape that broadcasts to its."""
        norms = [_by_weight(module, self._norms[id(module)]) for module in self._users[id(weight)]]
        norm = functools.reduce(torch.hypot, norms)
        if context.ranks.count == 1:
            return norm
        return context.ranks.mean(norm.double().square()).mul(context.ranks.count).sqrt().to(norm.dtype)


class _Uses(TorchFunctionMode):
    """Shows the weights that are applied as those of linear layers are, with their inputs."""

    def __init__(self, look: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self._look = look

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is F.linear:
            self._look(args[1] if len(args) > 1 else named["weight"], args[0] if args else named["input"])
        if func == F.multi_head_attention_forward:
            weight, bias = args[_OUT_PROJECTION : _OUT_PROJECTION + 2]
            through = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
            heads, _ = func(*args[:_OUT_PROJECTION], through, None if bias is None else bias * 0, **named)
            self._look(weight, heads)
        return func(*args, **named)


def _by_weight(module: _Layer, norm: Tensor) -> Tensor:
    """Return the norms [inputs] in a shape that broadcasts to the weight's.

    A linear layer's weight is [outputs, inputs], a convolution's [outputs, inputs / groups, …], its outputs in order of
    groups, a transposed one's [inputs, outputs / groups, …].
    """
    if isinstance(module, nn.Linear):
        return norm[None, :]
    spatial = (1,) * len(module.kernel_size)
    if module.transposed:
        return norm.view(-1, 1, *spatial)
    rows = norm.view(module.groups, -1).repeat_interleave(module.out_channels // module.groups, dim=0)
    return rows.view(module.out_channels, -1, *spatial)
