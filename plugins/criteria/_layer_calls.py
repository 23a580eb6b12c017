"""Which layers hooks see, and what they see: the input of a call, and where the gradient of its output comes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from ._layer_squares import PositionLayer

_FORWARDS = {
    nn.Linear.forward: None,
    nn.Conv1d.forward: nn.Conv1d._conv_forward,
    nn.Conv2d.forward: nn.Conv2d._conv_forward,
    nn.Conv3d.forward: nn.Conv3d._conv_forward,
}
"""Forwards that are known, and what they call."""


@dataclass
class Layer:
    """A layer that hooks see all of, and the names under which it is asked for."""

    module: PositionLayer
    names: dict[str, str]
    """By ``weight`` and ``bias``, the names of those of its parameters that are wanted."""
    batch: int = 0
    """The dimension of its input and output that counts examples."""
    copies: bool = False
    """Whether its input is changed in place after the call."""


@dataclass
class Calls:
    """What hooks saw of a layer in one pass."""

    count: int = 0
    input: Tensor = field(default_factory=lambda: torch.empty(0))
    """Of the last call, detached."""
    version: int = 0
    output_shape: torch.Size = field(default_factory=torch.Size)
    edge: GradientEdge | None = None
    """Where the gradient of its output comes by; None where it has none."""


@contextmanager
def recording(layers: Sequence[Layer]) -> Iterator[list[Calls]]:
    """Note the calls of the layers as long as the block lasts, in their order."""
    calls = [Calls() for _ in layers]
    handles = [
        layer.module.register_forward_hook(partial(_note, call, layer.copies), prepend=True, with_kwargs=True)
        for layer, call in zip(layers, calls, strict=True)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _note(call: Calls, copies: bool, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Tensor) -> None:
    given: Tensor = args[0] if args else kwargs["input"]
    call.count += 1
    call.input = given.detach().clone() if copies else given.detach()
    call.version = call.input._version
    call.output_shape = output.shape
    # an edge, not the tensor: that may be changed in place afterwards, as nn.ReLU(inplace=True) does
    call.edge = get_gradient_edge(output) if output.requires_grad else None


def hooked_layers(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    inputs: Tensor,
    logits_of: Callable[[nn.Module, Tensor], Tensor],
) -> list[Layer]:
    """Return the layers with all that hooks see of ``parameters``, which need gradients; what is missing they do not.

    A parameter is left out unless it is used once on the way to the logits, by its own linear layer or convolution,
    in which examples have a dimension of their own. Passes of two and three examples tell.
    """
    layers = _candidates(model, parameters)
    shapes: list[list[torch.Size]] = []
    for examples in (2, 3):
        with recording(layers) as calls:
            logits = logits_of(model, torch.cat([inputs[:1]] * examples))
        shapes.append([call.input.shape for call in calls])
    nodes, uses = _graph(logits)
    seen = []
    for layer, call, two in zip(layers, calls, shapes[0], strict=True):
        layer.names = {kind: name for kind, name in layer.names.items() if uses[id(parameters[name])] == 1}
        batch = _examples_dimension(layer.module, two, call.input.shape)
        if call.count == 1 and call.edge is not None and call.edge.node in nodes and layer.names and batch is not None:
            layer.batch, layer.copies = batch, call.input._version != call.version
            seen.append((layer, call.edge))
    apart = _keeps_examples_apart(logits, seen)
    return [layer for (layer, _), fine in zip(seen, apart, strict=True) if fine]


def _candidates(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> list[Layer]:
    """Return the layers of a known forward that alone hold a wanted parameter, each with the names of these."""
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    names = {id(parameter): name for name, parameter in parameters.items() if owners[id(parameter)] == 1}
    found = []
    for module in model.modules():
        mine = {kind: names[id(p)] for kind, p in module._parameters.items() if id(p) in names}
        if mine and isinstance(module, PositionLayer) and _forward_is_known(module):
            found.append(Layer(module, mine))
    return found


def _forward_is_known(module: nn.Module) -> bool:
    forward = type(module).forward
    if forward not in _FORWARDS or {"forward", "_conv_forward"} & vars(module).keys():
        return False
    return _FORWARDS[forward] is getattr(type(module), "_conv_forward", None)


def _graph(logits: Tensor) -> tuple[set[Node], Counter[int]]:
    """Return the nodes that the logits come from, and how often each leaf, by id, is used there."""
    assert logits.grad_fn is not None
    nodes, uses = {logits.grad_fn}, Counter[int]()
    waiting = [logits.grad_fn]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is None:
                continue
            if (leaf := getattr(node, "variable", None)) is not None:
                uses[id(leaf)] += 1
            if node not in nodes:
                nodes.add(node)
                waiting.append(node)
    return nodes, uses


def _examples_dimension(module: nn.Module, two: torch.Size, three: torch.Size) -> int | None:
    """Return the one dimension that is 2 of two examples and 3 of three; None where there is none."""
    if len(two) != len(three):
        return None
    differ = [i for i, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    if len(differ) != 1 or (two[differ[0]], three[differ[0]]) != (2, 3):
        return None
    last = 1 if isinstance(module, nn.Linear) else len(two)
    return differ[0] if differ[0] <= len(two) - 1 - last or differ[0] == 0 else None


def _keeps_examples_apart(logits: Tensor, layers: Sequence[tuple[Layer, GradientEdge]]) -> list[bool]:
    """Whether the logits of the first and of the last example depend on that example's part of each layer alone."""
    fine = [True] * len(layers)
    weights = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    for example in (0, len(logits) - 1) if layers else ():
        column = (logits[example] * weights).sum()
        gradients = torch.autograd.grad(column, [edge for _, edge in layers], retain_graph=True, allow_unused=True)
        for i, ((layer, _), gradient) in enumerate(zip(layers, gradients, strict=True)):
            if gradient is not None:
                rows = gradient.movedim(layer.batch, 0).flatten(1).ne(0).any(1)
                rows[example] = False
                fine[i] &= not bool(rows.any())
    return fine
