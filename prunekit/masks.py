"""What is pruned and what is left of it. The only caller of torch.nn.utils.prune.

Every update ends in ``torch.nn.utils.prune.global_unstructured``, called on stand-ins for the layers: the caller's
modules keep their parameters, the order of these, their memory format and their hooks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import prune

from prunekit.errors import InputError, did_you_mean
from prunekit.protocols import Target, TargetSelection, Within
from prunekit.ranking import count, lowest_in_rows, without_lowest, without_the_certain
from prunekit.ranks import Ranks
from prunekit.wrappers import plain_name

_MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    "linear": (nn.Linear,),
}
PRUNABLE = _MODULES["conv"] + _MODULES["linear"]
"""Modules with weights that may be pruned."""

# ------------------------------------------------------------------------------------------------ what is pruned


def find_targets(
    model: nn.Module,
    selection: TargetSelection = TargetSelection(),  # noqa: B008  (immutable)
    masks: Mapping[str, Tensor] | None = None,
    within_parts: Collection[str] | None = None,
) -> list[Target]:
    """Return the parameters that ``selection`` prunes, in the model's order; tied ones once, by their first name.

    ``masks``: bool, of the parameter's shape, by name: what is left of them already; all of the others is kept.
    Where torch.nn.utils.prune masks a parameter, that mask counts as well; see :func:`take_over`.
    ``within_parts``: only parameters whose name begins with one of these components, such as ``encoder``.
    Raises InputError where nothing is selected, a glob matches nothing, a parameter has no values yet, or a mask does
    not fit.
    """
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(tensor):
            raise InputError(f"{name} has no values yet: run one batch through the model before it is pruned")
    candidates = _prunable(model)
    known = [plain_name(name) for name, _ in model.named_parameters(remove_duplicate=False)]
    known += [name for each in candidates for name in each.names if name not in known]
    _refuse_idle_patterns(selection, known)
    targets = [
        _target(each, masks or {})
        for each in candidates
        if _selects(selection, each) and (within_parts is None or each.names[0].split(".")[0] in within_parts)
    ]
    if not targets:
        raise InputError(_nothing_selected(selection, within_parts, [each.names[0] for each in candidates]))
    for name in set(masks or {}).difference(known):
        raise InputError(f"there is a mask for {name!r}, which the model does not have" + did_you_mean(name, known))
    return targets


@dataclass
class _Candidate:
    """A weight or bias of a convolution or linear layer."""

    module: nn.Module
    tensor: Tensor
    names: list[str] = field(default_factory=list)
    """All of them, where it is tied."""
    torch_masks: list[Tensor] = field(default_factory=list)
    """Those that torch.nn.utils.prune has put on it."""


def _prunable(model: nn.Module) -> list[_Candidate]:
    """Return all weights and biases of convolutions and linear layers, in the model's order."""
    found: dict[int, _Candidate] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        hooks = _torch_hooks(module)
        for kind in ("weight", "bias") if isinstance(module, PRUNABLE) else ():
            tensor: object = getattr(module, f"{kind}_orig" if kind in hooks else kind)
            if isinstance(tensor, Tensor):  # quantised layers have a method there
                candidate = found.setdefault(id(tensor), _Candidate(module, tensor))
                candidate.names.append(plain_name(f"{prefix}.{kind}" if prefix else kind))
                candidate.torch_masks += [getattr(module, f"{kind}_mask")] if kind in hooks else []
    return list(found.values())


def _refuse_idle_patterns(selection: TargetSelection, names: Sequence[str]) -> None:
    """Raise InputError where a glob that somebody wrote matches none of the parameters ``names``."""
    usual = TargetSelection()
    for key, globs, silent in (
        ("include", selection.include, usual.include),
        ("exclude", selection.exclude, usual.exclude),
    ):
        for glob in globs:
            if glob not in silent and not any(fnmatchcase(name, glob) for name in names):
                pieces = [name.split(".") for name in names]
                modules = {".".join([*each[:i], "*"]) for each in pieces for i in range(1, len(each))}
                hint = did_you_mean(glob, modules.union(names))
                raise InputError(f"{key} {glob!r} matches none of the model's parameters{hint}")


def _selects(selection: TargetSelection, candidate: _Candidate) -> bool:
    """Whether a parameter is selected: by any of its names, and excluded by none of them."""
    names = candidate.names
    return (
        any(isinstance(candidate.module, _MODULES[kind]) for kind in selection.modules)
        and any(name.split(".")[-1] in selection.parameters for name in names)
        and any(fnmatchcase(name, glob) for name in names for glob in selection.include)
        and not any(fnmatchcase(name, glob) for name in names for glob in selection.exclude)
    )


def _target(candidate: _Candidate, masks: Mapping[str, Tensor]) -> Target:
    name, tensor = candidate.names[0], candidate.tensor
    if not isinstance(tensor, nn.Parameter):
        raise InputError(
            f"{name} is computed from other parameters (parametrize or weight_norm): remove that first, so that the "
            "weight itself can be pruned"
        )
    if tensor.is_meta:
        raise InputError(f"{name} has no values yet: it is on the meta device")
    if hasattr(tensor, "placements"):
        raise InputError(f"{name} is split over processes (DTensor): prune a model that every process has as a whole")
    mask = torch.ones_like(tensor, dtype=torch.bool, requires_grad=False)  # in the parameter's memory format
    if name in masks:
        given = masks[name]
        if given.dtype != torch.bool or given.shape != mask.shape:
            raise InputError(
                f"the mask of {name} is {given.dtype} {list(given.shape)}: expected torch.bool {list(mask.shape)}"
            )
        mask.copy_(given)
    for torchs in candidate.torch_masks:
        if not bool(((torchs == 0) | (torchs == 1)).all()):
            raise InputError(f"the mask that torch.nn.utils.prune has put on {name} is not of zeros and ones")
        mask &= torchs != 0
    return Target(name, candidate.module, tensor, mask)


def _nothing_selected(selection: TargetSelection, parts: Collection[str] | None, names: Sequence[str]) -> str:
    if not names:
        return "nothing to prune: the model has no convolution and no linear layer"
    asked = ", ".join(f"{key} {value}" for key, value in selection)
    asked += "" if parts is None else f", parts {sorted(parts)}"
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"nothing to prune: {asked} selects none of the model's {shown}"


# ------------------------------------------------------------------------------------------------ how masks grow


def grow(
    targets: Sequence[Target],
    scores: Mapping[str, Tensor],
    sparsity: float,
    within: Within,
    ranks: Ranks = Ranks(),  # noqa: B008  (immutable)
) -> float:
    """Prune the weights of lowest score until ``sparsity`` of them are pruned; zero them in place and return their Σθ².

    Of N weights exactly round(N · sparsity) are pruned then, those pruned before included: N is the weights of all
    targets (``network``) or of each layer (``layer``). Of each output of a layer (``row``; biases are one row) it is
    N · sparsity rounded down, as in the code of Wanda, so that no row is emptied. Pruned weights never return, so a
    group that is sparser already stays as it is. Among equal scores the first weight, in the model's order, goes first.

    Of several ``ranks`` all take the masks of the first, whatever their own scores say.

    ``scores``: by target name, of the parameter's shape, higher = keep, any sign, ±inf allowed. Raises InputError,
    before anything has changed, where scores are missing, of another shape or NaN, or ``sparsity`` is not in [0, 1).
    """
    if not 0.0 <= sparsity < 1.0:
        raise InputError(f"cannot prune to a sparsity of {sparsity}: expected at least 0 and less than 1")
    checked = {target.name: _checked(target, scores) for target in targets}
    if within == "row":
        for target in targets:
            goes = lowest_in_rows(target, checked[target.name], sparsity)
            if amount := int(goes.count_nonzero()):
                _prune_lowest([target], {target.name: torch.where(goes, 0.0, 1.0)}, amount)
    for group in _groups(targets, within):
        weights = sum(target.mask.numel() for target in group)
        kept = count([target.mask for target in group])
        amount = round(weights * sparsity) - (weights - kept)
        if amount > 0:
            _prune_lowest(group, checked, amount)
    for target in targets:
        ranks.give_first(target.mask)
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
        return without_lowest(t, self.amount)


def _prune_lowest(targets: Sequence[Target], scores: Mapping[str, Tensor], amount: int) -> None:
    flat = [scores[target.name].contiguous().view(-1) for target in targets]
    left = [target.mask.contiguous().view(-1) for target in targets]
    ranked = without_the_certain(flat, left, amount)
    shadows = [_Shadow(each) for each in ranked]
    layers = [(shadow, "weight") for shadow in shadows]
    prune.global_unstructured(
        layers,
        _LowestScores,
        importance_scores=dict(zip(layers, flat, strict=True)),
        amount=amount - (count(left) - count(ranked)),
    )
    for target, shadow in zip(targets, shadows, strict=True):
        target.mask.copy_(shadow.weight_mask.view(target.mask.shape))


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
    return total - count([target.parameter for target in targets]), total


def sparsity(targets: Sequence[Target]) -> float:
    """Return the share of the targets' weights that are zero, counted, in [0, 1]."""
    zeros, total = count_zeros(targets)
    return zeros / total


# ------------------------------------------------------------------------------------------------ masks of torch


def _torch_hooks(module: nn.Module) -> dict[str, int]:
    """Return the hooks of torch.nn.utils.prune, by the name of the parameter that they mask."""
    hooks = module._forward_pre_hooks.items()
    return {hook._tensor_name: key for key, hook in hooks if isinstance(hook, prune.BasePruningMethod)}


def take_over(model: nn.Module, targets: Sequence[Target]) -> None:
    """Make plain parameters of the targets that torch.nn.utils.prune masks: the same objects, in the same order.

    Their masks are those of ``targets`` already; what they prune is not set to zero here.
    """
    ours = {id(target.parameter) for target in targets}
    for module in model.modules():
        for name, hook in _torch_hooks(module).items():
            if id(module._parameters[f"{name}_orig"]) not in ours:
                continue
            del module._forward_pre_hooks[hook], module._buffers[f"{name}_mask"]
            delattr(module, name)  # computed from the two before every forward pass
            parameters = [(name if key == f"{name}_orig" else key, p) for key, p in module._parameters.items()]
            module._parameters.clear()
            module._parameters.update(parameters)


@torch.no_grad()
def give_back(model: nn.Module, targets: Sequence[Target]) -> None:
    """Leave the masks to torch.nn.utils.prune: ``weight_orig`` and ``weight_mask`` wherever a target is used."""
    masks = {id(target.parameter): target.mask for target in targets}
    for module in model.modules():
        given = {f"{name}_orig" for name in _torch_hooks(module)}
        for name, parameter in list(module._parameters.items()):
            if id(parameter) in masks and name not in given:
                prune.custom_from_mask(module, name, masks[id(parameter)])  # type: ignore[no-untyped-call]


# ------------------------------------------------------------------------------------------------ how masks are stored


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
