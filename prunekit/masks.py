"""What is pruned and what is left of it. The only caller of torch.nn.utils.prune.

Every update ends in ``torch.nn.utils.prune.global_unstructured``, called on stand-ins for the layers: the caller's
modules keep their parameters, the order of these, their memory format and their hooks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import prune

from prunekit.errors import InputError, did_you_mean
from prunekit.protocols import Target, TargetSelection, Within

_MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    "linear": (nn.Linear,),
}
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Convolutions whose weight is [inputs, outputs / groups, …]."""
PRUNABLE = _MODULES["conv"] + _MODULES["linear"]
"""Modules with weights that may be pruned."""
_SAMPLE = 1 << 16
_ROUNDING = 1e-9
"""What a whole number of weights may fall short of itself: 0.29 · 100 is 28.999…"""

# ------------------------------------------------------------------------------------------------ what is pruned


def find_targets(
    model: nn.Module,
    selection: TargetSelection = TargetSelection(),  # noqa: B008  (immutable)
    masks: Mapping[str, Tensor] | None = None,
    within_parts: Collection[str] | None = None,
) -> list[Target]:
    """Return the parameters that ``selection`` prunes, in the model's order; tied ones once, by their first name.

    ``masks``: bool, of the parameter's shape, by name: what is left of them already; all of the others is kept.
    ``within_parts``: only parameters whose name begins with one of these components, such as ``encoder``.
    Raises InputError where nothing is selected, a parameter has no values yet, or a mask does not fit.
    """
    candidates = _prunable(model)
    targets = [
        _target(module, tensor, names[0], masks or {})
        for module, tensor, names in candidates
        if _selects(selection, module, names) and (within_parts is None or names[0].split(".")[0] in within_parts)
    ]
    if not targets:
        raise InputError(_nothing_selected(selection, within_parts, [names[0] for *_, names in candidates]))
    known = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for name in set(masks or {}).difference(known):
        raise InputError(f"there is a mask for {name!r}, which the model does not have" + did_you_mean(name, known))
    return targets


def _prunable(model: nn.Module) -> list[tuple[nn.Module, Tensor, list[str]]]:
    """Return (module, tensor, every name of it) of all weights and biases of convolutions and linear layers."""
    found: dict[int, tuple[nn.Module, Tensor, list[str]]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for kind in ("weight", "bias") if isinstance(module, PRUNABLE) else ():
            tensor = getattr(module, kind)
            if tensor is not None:
                name = f"{prefix}.{kind}" if prefix else kind
                found.setdefault(id(tensor), (module, tensor, []))[2].append(name)
    return list(found.values())


def _selects(selection: TargetSelection, module: nn.Module, names: Sequence[str]) -> bool:
    """Whether a parameter is selected: by any of its names, and excluded by none of them."""
    return (
        any(isinstance(module, _MODULES[kind]) for kind in selection.modules)
        and any(name.split(".")[-1] in selection.parameters for name in names)
        and any(fnmatchcase(name, glob) for name in names for glob in selection.include)
        and not any(fnmatchcase(name, glob) for name in names for glob in selection.exclude)
    )


def _target(module: nn.Module, tensor: Tensor, name: str, masks: Mapping[str, Tensor]) -> Target:
    if not isinstance(tensor, nn.Parameter):
        raise InputError(
            f"{name} is computed from other parameters (torch.nn.utils.prune, parametrize or weight_norm): remove that "
            "first, so that the weight itself can be pruned"
        )
    if is_lazy(tensor) or tensor.is_meta:
        raise InputError(f"{name} has no values yet: run one batch through the model before it is pruned")
    mask = torch.ones_like(tensor, dtype=torch.bool, requires_grad=False)  # in the parameter's memory format
    if name in masks:
        given = masks[name]
        if given.dtype != torch.bool or given.shape != mask.shape:
            raise InputError(
                f"the mask of {name} is {given.dtype} {list(given.shape)}: expected torch.bool {list(mask.shape)}"
            )
        mask.copy_(given)
    return Target(name, module, tensor, mask)


def _nothing_selected(selection: TargetSelection, parts: Collection[str] | None, names: Sequence[str]) -> str:
    if not names:
        return "nothing to prune: the model has no convolution and no linear layer"
    asked = ", ".join(f"{key} {value}" for key, value in selection)
    asked += "" if parts is None else f", parts {sorted(parts)}"
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"nothing to prune: {asked} selects none of the model's {shown}"


# ------------------------------------------------------------------------------------------------ how masks grow


def grow(targets: Sequence[Target], scores: Mapping[str, Tensor], sparsity: float, within: Within) -> float:
    """Prune the weights of lowest score until ``sparsity`` of them are pruned; zero them in place and return their Σθ².

    Of N weights exactly round(N · sparsity) are pruned then, those pruned before included: N is the weights of all
    targets (``network``) or of each layer (``layer``). Of each output of a layer (``row``; biases are one row) it is
    N · sparsity rounded down, as in the code of Wanda, so that no row is emptied. Pruned weights never return, so a
    group that is sparser already stays as it is. Among equal scores the first weight, in the model's order, goes first.

    ``scores``: by target name, of the parameter's shape, higher = keep, any sign, ±inf allowed. Raises InputError,
    before anything has changed, where scores are missing, of another shape or NaN, or ``sparsity`` is not in [0, 1).
    """
    if not 0.0 <= sparsity < 1.0:
        raise InputError(f"cannot prune to a sparsity of {sparsity}: expected at least 0 and less than 1")
    checked = {target.name: _checked(target, scores) for target in targets}
    if within == "row":
        for target in targets:
            _prune_rows(target, checked[target.name], sparsity)
    for group in _groups(targets, within):
        weights = sum(target.mask.numel() for target in group)
        kept = _count([target.mask for target in group])
        amount = round(weights * sparsity) - (weights - kept)
        if amount > 0:
            _prune_lowest(group, checked, amount)
    change = _squares_of_pruned(targets)
    apply(targets)
    return change


@torch.no_grad()
def _squares_of_pruned(targets: Sequence[Target]) -> float:
    """Return Σθ² of the pruned weights that are not zero yet."""
    return sum(float(t.parameter.masked_fill(t.mask.to(t.parameter.device), 0).square().sum()) for t in targets)


def _checked(target: Target, scores: Mapping[str, Tensor]) -> Tensor:
    """Return the scores of ``target`` as float32 or float64, which hold every smaller type exactly."""
    if target.name not in scores:
        raise InputError(f"it gave no scores for {target.name}")
    if not isinstance(scores[target.name], Tensor):
        given = type(scores[target.name]).__name__
        raise InputError(f"it gave a {given} for {target.name}: expected a tensor of scores")
    score = scores[target.name].detach()
    if score.shape != target.mask.shape:
        raise InputError(
            f"it gave scores of shape {list(score.shape)} for {target.name}: expected {list(target.mask.shape)}"
        )
    dtype = torch.promote_types(score.dtype, torch.float32) if score.is_floating_point() else torch.float64
    score = score.to(target.mask.device, dtype)
    if bool(score.sum().isnan()) and bool(score.isnan().any()):  # the sum is quicker, but inf − inf is NaN too
        raise InputError(f"it gave scores that are not numbers (NaN) for {target.name}")
    return score


def _groups(targets: Sequence[Target], within: Within) -> Iterator[Sequence[Target]]:
    """Yield the targets that are ranked against each other as a whole."""
    if within == "network":
        yield targets
    if within != "layer":
        return
    layers: dict[int, list[Target]] = {}
    for target in targets:
        layers.setdefault(id(target.module), []).append(target)
    yield from layers.values()


class _Shadow(nn.Module):
    """Stands in for a layer. Its weight is the mask so far: pruning it gives the new one, and copies no weights."""

    weight_mask: Tensor

    def __init__(self, left: Tensor) -> None:
        super().__init__()
        bits = left.to(torch.uint8)
        self.weight = nn.Parameter(bits, requires_grad=False)
        self.register_buffer("weight_mask", bits)  # only what it keeps is ranked


class _LowestScores(prune.BasePruningMethod):
    """Prunes exactly ``amount`` weights: those of lowest score, and of equal ones the first."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask, bool [n], of the scores ``t`` [n] of the weights that are left."""
        threshold = _kth_lowest(t, self.amount)
        keep = t > threshold
        short = t.numel() - self.amount - int(torch.count_nonzero(keep))
        if short:
            keep[(t == threshold).nonzero()[-short:]] = True
        return keep


def _kth_lowest(values: Tensor, k: int) -> Tensor:
    """Return the k-th lowest of ``values`` [n], k from 1 to n."""
    if values.device.type == "cpu":  # vectorised selection, four times as fast as kthvalue
        return torch.from_numpy(np.partition(values.numpy(), k - 1)[k - 1 : k])
    return values.sort().values[k - 1]  # kthvalue is refused under deterministic algorithms


def _prune_lowest(targets: Sequence[Target], scores: Mapping[str, Tensor], amount: int) -> None:
    flat = [scores[target.name].contiguous().view(-1) for target in targets]
    left = [target.mask.contiguous().view(-1) for target in targets]
    ranked = _without_the_certain(flat, left, amount)
    shadows = [_Shadow(each) for each in ranked]
    layers = [(shadow, "weight") for shadow in shadows]
    prune.global_unstructured(
        layers,
        _LowestScores,
        importance_scores=dict(zip(layers, flat, strict=True)),
        amount=amount - (_count(left) - _count(ranked)),
    )
    for target, shadow in zip(targets, shadows, strict=True):
        target.mask.copy_(shadow.weight_mask.view(target.mask.shape))


def _prune_rows(target: Target, score: Tensor, sparsity: float) -> None:
    """Prune the lowest weights of each output of a layer, all outputs in one update."""
    left, rows = _rows(target, target.mask), _rows(target, score)
    order = rows.masked_fill(~left, -torch.inf).sort(dim=1, stable=True).indices
    order = order.gather(1, left.gather(1, order).to(torch.uint8).sort(dim=1, stable=True).indices)  # the pruned first
    goes = torch.zeros_like(left).scatter_(1, order[:, : math.floor(left.shape[1] * sparsity + _ROUNDING)], True) & left
    amount = int(goes.count_nonzero())
    if amount:
        verdict = torch.where(goes, 0.0, 1.0)
        _prune_lowest([target], {target.name: _from_rows(target, verdict)}, amount)


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


def _without_the_certain(scores: Sequence[Tensor], left: Sequence[Tensor], amount: int) -> Sequence[Tensor]:
    """Return the masks ``left`` without weights that are certain to be among the ``amount`` of lowest score.

    global_unstructured takes its time by the weights that it ranks. The bound below which a weight is certain comes
    from a sample, and what lies below is counted: a bad sample costs time, never a weight. One is always left to prune.
    """
    stride = max(1, sum(each.numel() for each in left) // _SAMPLE)
    sample = torch.cat([s[::stride][m[::stride]] for s, m in zip(scores, left, strict=True)]).sort().values
    weights = _count(left)
    rank = int(len(sample) * amount / weights - 2 * len(sample) ** 0.5)  # at least four standard deviations low
    if rank <= 0:
        return left
    ranked = [m & (s >= sample[rank]) for s, m in zip(scores, left, strict=True)]
    return ranked if weights - _count(ranked) < amount else left


def _count(tensors: Sequence[Tensor]) -> int:
    """Return how many elements are not zero."""
    return sum(int(torch.count_nonzero(tensor)) for tensor in tensors)


# ------------------------------------------------------------------------------------------------ how masks are used


@torch.no_grad()
def apply(targets: Sequence[Target]) -> None:
    """Set the pruned weights to zero, in place."""
    for target in targets:
        target.mask = target.mask.to(target.parameter.device)  # the model may have moved since
        target.parameter.mul_(target.mask)


@torch.no_grad()
def mask_gradients(targets: Sequence[Target]) -> None:
    """Set the gradients of pruned weights to zero, in place; call it before gradients are clipped by their norm."""
    for target in targets:
        if target.parameter.grad is not None:
            target.parameter.grad.mul_(target.mask.to(target.parameter.grad.device))


def zeros_of(model: nn.Module) -> dict[str, Tensor]:
    """Return as masks, bool by name, which weights are not zero, of the targets where some are."""
    masks = {target.name: target.parameter.detach() != 0 for target in find_targets(model)}
    return {name: mask for name, mask in masks.items() if not mask.all()}


def count_zeros(targets: Sequence[Target]) -> tuple[int, int]:
    """Return how many of the targets' weights are zero, counted from the weights themselves, and how many there are."""
    total = sum(target.parameter.numel() for target in targets)
    return total - _count([target.parameter for target in targets]), total


def sparsity(targets: Sequence[Target]) -> float:
    """Return the share of the targets' weights that are zero, counted, in [0, 1]."""
    zeros, total = count_zeros(targets)
    return zeros / total


def pack(mask: Tensor) -> Tensor:
    """Return a bool mask as bits: uint8 [⌈n / 8⌉], on the CPU."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy()))


def unpack(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the bool mask of ``shape`` that :func:`pack` packed. Raises InputError where it is of another size."""
    count = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != (math.ceil(count / 8),):
        raise InputError(
            f"a packed mask of shape {list(shape)} is torch.uint8 [{math.ceil(count / 8)}], "
            f"not {packed.dtype} {list(packed.shape)}"
        )
    bits = np.unpackbits(packed.cpu().numpy(), count=count)
    return torch.from_numpy(bits.astype(np.bool_)).reshape(tuple(shape))
