"""Squared per-example gradients of a linear or convolutional layer, summed without storing one per example.

Both kinds of layer are brought into one form. Of an example, x [I, P] is the input at P positions and δ_c [O, L] the
gradient of column c with respect to the output at L positions; at output position l, tap κ of the kernel sees the
input at taps[κ, l]. With tokens, or without positions at all, a linear layer has one tap. The gradient of weight
(o, i, κ) is Σ_l δ_c[o, l] · x[i, taps[κ, l]], and its square, summed over columns and examples, is found in one of
two ways:

* *products*: the gradients of a few examples at a time are multiplied out, squared and added;
* *pairs*: the square is written as a sum over pairs of positions, so that columns and examples are summed first,
  Σ_{l,m} Σ_n (Σ_c δ_c[o, l] δ_c[o, m]) · (x[i, taps[κ, l]] x[i, taps[κ, m]]): a matrix product over examples and pairs.
  Its cost does not grow with the columns, and taps that lie in the padding cost nothing. It wins on few positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
PositionLayer = nn.Linear | Convolution

_MOST_PAIRS = 4096
_BLOCK = 1 << 20
"""Elements of gradients that are multiplied out at a time: they stay in the cache."""
_SQUARING, _COPYING = 10, 60
"""What it costs to square and add an element, and to copy one, in multiply-adds of a matrix product; measured."""
_SLICE = 1 << 14
"""Elements from which squares are added slice by slice: faster than a sum over all, but for the overhead of calls."""


@dataclass(frozen=True)
class _Pairs:
    """Which products of positions there are. A pair counts once; ``first`` and ``second`` are positions of δ, [Q]."""

    first: Tensor
    second: Tensor
    lower: Tensor
    """[U]: the first input position of every pair of them that some tap sees."""
    upper: Tensor
    """[U]: the second."""
    of_delta: Sequence[Tensor]
    """By tap: the pairs of δ, indices into [Q], whose positions lie in the input."""
    of_input: Sequence[Tensor]
    """By tap, for each of these: the pair of input positions that it sees, indices into [U]."""

    @property
    def products(self) -> int:
        """Pairs over all taps."""
        return sum(len(each) for each in self.of_delta)


def weight_squares(layer: PositionLayer, inputs: Tensor, deltas: Tensor) -> Tensor:
    """Return Σ over examples and columns of (∂ column / ∂ weight)², in the weight's shape.

    ``inputs``: what the layer was called with, [B, ..., I] or [B, I, ...]. ``deltas``: [C, B, ...], the gradients of C
    columns with respect to what it returned.
    """
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    taps = _taps(layer, inputs)
    pairs = _cheaper_pairs(layer, taps, len(deltas))
    by_position = _by_position(layer, deltas)
    if pairs is None:
        return _from_products(layer, inputs, by_position, groups)
    squares = _from_pairs(pairs, _input_by_position(layer, inputs), by_position, groups)  # [κ, O, I / groups]
    return squares.permute(1, 2, 0).reshape(layer.weight.shape)


def bias_squares(layer: PositionLayer, deltas: Tensor) -> Tensor:
    """Return Σ over examples and columns of (∂ column / ∂ bias)², [O]."""
    return _by_position(layer, deltas).sum(-1).square_().sum((0, 1))


def transient_elements(layer: PositionLayer, inputs: Tensor, columns: int) -> int:
    """Return about how many elements :func:`weight_squares` takes of memory for each example."""
    taps = _taps(layer, inputs)
    outputs, positions = layer.weight.shape[0], taps.shape[1]
    pairs = _cheaper_pairs(layer, taps, columns)
    copies = 2 * columns * outputs * positions
    if pairs is None:
        return copies
    width = outputs + _channels(layer)
    return copies + width * (len(pairs.first) + len(pairs.lower) + max(len(each) for each in pairs.of_delta))


# -------------------------------------------------------------------------------------------------------- positions


def _channels(layer: PositionLayer) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _input_by_position(layer: PositionLayer, inputs: Tensor) -> Tensor:
    """Return the input as [B, I, P]."""
    if isinstance(layer, nn.Linear):
        return inputs.reshape(len(inputs), -1, inputs.shape[-1]).transpose(1, 2)
    return inputs.flatten(2)


def _by_position(layer: PositionLayer, deltas: Tensor) -> Tensor:
    """Return gradients of outputs as [C, B, O, L]."""
    if isinstance(layer, nn.Linear):
        return deltas.reshape(*deltas.shape[:2], -1, deltas.shape[-1]).transpose(2, 3)
    return deltas.flatten(3)


def _windows(layer: PositionLayer, inputs: Tensor, fill: float = 0.0) -> Tensor:
    """Return what each tap sees at each output position, [B, I, κ, L]; ``fill`` where the layer pads zeros."""
    if isinstance(layer, nn.Linear):
        return _input_by_position(layer, inputs)[:, :, None]
    padding = _padding(layer)
    if any(padding) and layer.padding_mode == "zeros":
        inputs = F.pad(inputs, padding, value=fill)
    elif any(padding):
        inputs = F.pad(inputs, padding, mode=layer.padding_mode)
    inputs = inputs.contiguous()
    spatial = inputs.stride()[2:]
    spans = [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    outputs = [(s - n) // t + 1 for s, n, t in zip(inputs.shape[2:], spans, layer.stride, strict=True)]
    strides = [s * d for s, d in zip(spatial, layer.dilation, strict=True)]
    strides += [s * t for s, t in zip(spatial, layer.stride, strict=True)]
    windows = inputs.as_strided(
        (*inputs.shape[:2], *layer.kernel_size, *outputs), (*inputs.stride()[:2], *strides), inputs.storage_offset()
    )
    return windows.reshape(*inputs.shape[:2], math.prod(layer.kernel_size), math.prod(outputs))


def _padding(layer: Convolution) -> list[int]:
    """Return what the layer pads, in the order of torch.nn.functional.pad: before and after, last dimension first."""
    sides: list[tuple[int, int]] = []
    for dimension, (kernel, dilation) in enumerate(zip(layer.kernel_size, layer.dilation, strict=True)):
        if layer.padding == "same":
            total = dilation * (kernel - 1)
            sides.append((total // 2, total - total // 2))
        elif layer.padding == "valid":
            sides.append((0, 0))
        else:
            width = int(layer.padding[dimension])
            sides.append((width, width))
    return [each for side in reversed(sides) for each in side]


def _taps(layer: PositionLayer, inputs: Tensor) -> Tensor:
    """Return the input position that each tap sees at each output position, int64 [κ, L]; −1: zero padding."""
    shape = inputs.shape[1:-1] if isinstance(layer, nn.Linear) else inputs.shape[2:]
    numbers = torch.arange(math.prod(shape), dtype=torch.float32)  # below 2²⁴, hence exact
    image = numbers[None, :, None] if isinstance(layer, nn.Linear) else numbers.view(1, 1, *shape)
    return _windows(layer, image, fill=-1.0)[0, 0].to(torch.int64)


# ------------------------------------------------------------------------------------------------------ the two ways


def _cheaper_pairs(layer: PositionLayer, taps: Tensor, columns: int) -> _Pairs | None:
    """Return the pairs where summing over them is cheaper than multiplying out; None where it is not."""
    kernel, positions = taps.shape
    if positions * (positions + 1) // 2 > _MOST_PAIRS:
        return None
    weights, outputs, inputs = layer.weight.numel(), layer.weight.shape[0], _channels(layer)
    pairs = _pairs(taps)
    by_pairs = pairs.products * (weights // kernel + (outputs + inputs) * _COPYING / 3)
    by_pairs += len(pairs.first) * columns * outputs * _SQUARING
    by_products = columns * weights * (positions + _SQUARING) + inputs * taps.numel() * _COPYING
    return pairs if by_pairs < by_products else None


def _pairs(taps: Tensor) -> _Pairs:
    positions = taps.shape[1]
    first, second = torch.triu_indices(positions, positions)
    one, other = taps[:, first], taps[:, second]
    inside = (one >= 0) & (other >= 0)
    size = int(taps.max()) + 1
    codes = torch.minimum(one, other) * size + torch.maximum(one, other)
    seen, which = torch.unique(codes[inside], return_inverse=True)
    places = [each.nonzero()[:, 0] for each in inside]
    return _Pairs(first, second, seen // size, seen % size, places, torch.split(which, [len(each) for each in places]))


def _from_pairs(pairs: _Pairs, inputs: Tensor, deltas: Tensor, groups: int) -> Tensor:
    """Return the squares, [κ, O, I / groups], of inputs [B, I, P] and deltas [C, B, O, L]."""
    device = deltas.device
    delta_pairs = _delta_pairs(deltas, pairs)
    there = delta_pairs.flatten(1).any(1)  # max-pooling lets one position of a window through: most pairs are zero
    x = inputs.permute(2, 0, 1).contiguous()
    input_pairs = x[pairs.lower.to(device)] * x[pairs.upper.to(device)]
    outputs, channels = deltas.shape[2], inputs.shape[1]
    squares = deltas.new_zeros(len(pairs.of_delta), outputs, channels // groups)
    for square, of_delta, of_input in zip(squares, pairs.of_delta, pairs.of_input, strict=True):
        mine, seen = of_delta.to(device), of_input.to(device)
        chosen = there[mine]
        left = delta_pairs[mine[chosen]].view(-1, groups, outputs // groups)
        right = input_pairs[seen[chosen]].view(-1, groups, channels // groups)
        if groups == 1:
            torch.mm(left[:, 0].T, right[:, 0], out=square)
        else:
            torch.bmm(left.permute(1, 2, 0), right.transpose(0, 1), out=square.view(groups, -1, channels // groups))
    return squares


def _delta_pairs(deltas: Tensor, pairs: _Pairs) -> Tensor:
    """Return Σ_c δ_c[·, l] δ_c[·, m] of all pairs l ≤ m, twice where l < m: [Q, B, O]."""
    _, examples, outputs, positions = deltas.shape
    by_position = deltas.permute(3, 0, 1, 2).contiguous()
    result = deltas.new_empty(len(pairs.first), examples, outputs)
    begin = 0
    for position in range(positions):
        end = begin + positions - position
        torch.sum(by_position[position] * by_position[position:], 1, out=result[begin:end])
        result[begin + 1 : end] *= 2
        begin = end
    return result


def _from_products(layer: PositionLayer, inputs: Tensor, deltas: Tensor, groups: int) -> Tensor:
    """Return the squares, in the weight's shape, of inputs as the layer sees them and deltas [C, B, O, L]."""
    columns, examples, outputs, positions = deltas.shape
    size = layer.weight.numel()
    rows, width = outputs // groups, size // outputs
    squares = deltas.new_zeros(groups, rows, width)
    at_once = min(examples, max(1, _BLOCK // (columns * size)))
    columns_at_once = columns if columns * size <= 2 * _BLOCK else 1
    space = deltas.new_empty(at_once * groups, columns_at_once * rows, width)  # new memory each time would be slow
    for block in torch.split(deltas, at_once, 1):
        seen, inputs = _windows(layer, inputs[: block.shape[1]]), inputs[block.shape[1] :]
        seen = seen.reshape(len(seen) * groups, width, positions).transpose(1, 2)
        for some in torch.split(block, columns_at_once):
            wide = some.reshape(len(some), -1, groups, rows, positions).permute(1, 2, 0, 3, 4)
            wide = wide.reshape(len(seen), -1, positions)
            products = torch.bmm(wide, seen, out=space[: len(seen)])
            _add_squares(squares, products.view(-1, groups, len(some), rows, width))
    return squares.view(layer.weight.shape)


def _add_squares(total: Tensor, products: Tensor) -> None:
    """Add the squares of products [B, groups, C, O, K], summed over B and C, to total [groups, O, K]."""
    if total.shape[0] > 1 or total.numel() < _SLICE:
        total.add_(products.square_().sum((0, 2)))
        return
    for each in products.flatten(0, 2):
        total[0].addcmul_(each, each)
