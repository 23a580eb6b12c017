"""Which weights are the lowest: of a network, of a layer, of each of its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.protocols import Target

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Convolutions whose weight is [inputs, outputs / groups, …]."""
_SAMPLE = 1 << 16
_ROUNDING = 1e-9
"""What a whole number of weights may fall short of itself: 0.29 · 100 is 28.999…"""


def without_lowest(values: Tensor, amount: int) -> Tensor:
    """Return which of ``values`` [n] are kept, bool [n]: all but the ``amount`` lowest, of equal ones the first."""
    threshold = _kth_lowest(values, amount)
    keep = values > threshold
    short = values.numel() - amount - int(torch.count_nonzero(keep))
    if short:
        keep[(values == threshold).nonzero()[-short:]] = True
    return keep


def _kth_lowest(values: Tensor, k: int) -> Tensor:
    """Return the k-th lowest of ``values`` [n], k from 1 to n."""
    if values.device.type == "cpu":  # vectorised selection, four times as fast as kthvalue
        return torch.from_numpy(np.partition(values.numpy(), k - 1)[k - 1 : k])
    return values.sort().values[k - 1]  # kthvalue is refused under deterministic algorithms


def lowest_in_rows(target: Target, score: Tensor, sparsity: float) -> Tensor:
    """Return what each output of a layer loses to reach ``sparsity``: bool, of the parameter's shape."""
    left, rows = _rows(target, target.mask), _rows(target, score)
    order = rows.masked_fill(~left, -torch.inf).sort(dim=1, stable=True).indices
    order = order.gather(1, left.gather(1, order).to(torch.uint8).sort(dim=1, stable=True).indices)  # the pruned first
    goes = torch.zeros_like(left).scatter_(1, order[:, : math.floor(left.shape[1] * sparsity + _ROUNDING)], True) & left
    return _from_rows(target, goes)


def _rows(target: Target, values: Tensor) -> Tensor:
    """Return ``values``, of the parameter's shape, as [outputs, weights of each]; all biases are one row."""
    if values.dim() == 1:
        return values.view(1, -1)
    return _outputs_first(target, values).flatten(1)


def _from_rows(target: Target, rows: Tensor) -> Tensor:
    """Undo :func:`_rows`."""
    shape = target.mask.shape
    if len(shape) == 1:
        return rows.view(shape)
    return _outputs_first(target, rows.view(_outputs_first(target, target.mask).shape))


def _outputs_first(target: Target, values: Tensor) -> Tensor:
    """Exchange inputs and outputs of a transposed convolution, whose weight is [inputs, outputs / groups, …]."""
    if not isinstance(target.module, TRANSPOSED):
        return values
    groups = int(target.module.groups)
    return values.view(groups, -1, *values.shape[1:]).transpose(1, 2).flatten(0, 1)


def without_the_certain(scores: Sequence[Tensor], left: Sequence[Tensor], amount: int) -> Sequence[Tensor]:
    """Return the masks ``left`` without weights that are certain to be among the ``amount`` of lowest score.

    global_unstructured takes its time by the weights that it ranks. The bound below which a weight is certain comes
    from a sample, and what lies below is counted: a bad sample costs time, never a weight. One is always left to prune.
    """
    stride = max(1, sum(each.numel() for each in left) // _SAMPLE)
    sample = torch.cat([s[::stride][m[::stride]] for s, m in zip(scores, left, strict=True)]).sort().values
    weights = count(left)
    rank = int(len(sample) * amount / weights - 2 * len(sample) ** 0.5)  # at least four standard deviations low
    if rank <= 0:
        return left
    ranked = [m & (s >= sample[rank]) for s, m in zip(scores, left, strict=True)]
    return ranked if weights - count(ranked) < amount else left


def count(tensors: Sequence[Tensor]) -> int:
    """Return how many elements are not zero."""
    return sum(int(torch.count_nonzero(tensor)) for tensor in tensors)
