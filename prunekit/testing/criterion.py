"""What a criterion keeps to."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.errors import InputError
from prunekit.masks import find_targets, grow
from prunekit.protocols import Criterion, Schedule, Target, Within
from prunekit.pruner import Pruner
from prunekit.testing import networks
from prunekit.testing.contract import DoesNotApply, Suite
from prunekit.times import Progress

suite = Suite("criterion")
Scores = dict[str, Tensor]


def score(criterion: Criterion, model: nn.Module, network: str) -> Scores:
    """Return what ``criterion`` itself gives: nothing puts back what it leaves changed."""
    return dict(criterion.scores(networks.context(model, network)))


_USUAL: dict[str, tuple[Criterion, Scores]] = {}


def usual(criterion: Criterion, network: str) -> Scores:
    """Return its scores of a fresh network, computed once while the same plugin is checked."""
    if network not in _USUAL or _USUAL[network][0] is not criterion:
        _USUAL[network] = criterion, score(criterion, networks.fresh(network), network)
    return _USUAL[network][1]


def scorable(criterion: Criterion) -> Iterator[str]:
    """Yield the networks that it can score. Raises DoesNotApply where its ``check`` refuses all of them."""
    refused = ""
    for network in networks.NAMES:
        try:
            criterion.check(find_targets(networks.fresh(network)))
        except InputError as error:
            refused = refused or f"it refuses every network here, such as {network}: {error}"
        else:
            yield network
            refused = " "
    if refused.strip():
        raise DoesNotApply(refused)


# ------------------------------------------------------------------------------------------ the network as it was


@suite.states
def the_model_is_as_it_was(criterion: Criterion) -> None:
    """Parameters, gradients, buffers (BatchNorm statistics), modes, hooks, torch's settings and random state."""
    for network in scorable(criterion):
        model = networks.used(network)
        before = _everything(model)
        score(criterion, model, network)
        _assert_untouched(before, _everything(model), network)


class _BrokenError(Exception):
    pass


@suite.states
def the_model_is_as_it_was_where_the_model_raises(criterion: Criterion) -> None:
    """A criterion that never calls the model has nothing to undo."""
    for network in scorable(criterion):
        model = networks.used(network)
        before = _everything(model)
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        hook = last.register_forward_pre_hook(_fail)
        with contextlib.suppress(_BrokenError):
            score(criterion, model, network)
        hook.remove()
        _assert_untouched(before, _everything(model), f"{network}, after an exception")


def _fail(*_: object) -> None:
    raise _BrokenError


def _everything(model: nn.Module) -> dict[str, Any]:
    """Return a copy of all that a criterion might change."""
    return {
        "parameters": [p.detach().clone() for p in model.parameters()],
        "what needs a gradient": [p.requires_grad for p in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "BatchNorm statistics": [b.clone() for b in model.buffers()],
        "parameter objects": [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        "train or eval mode": [module.training for module in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        "global random state (draw from context.generator)": torch.get_rng_state(),
        "torch's settings": (torch.is_grad_enabled(), torch.backends.cuda.flash_sdp_enabled()),  # type: ignore[no-untyped-call]
    }


def _assert_untouched(before: dict[str, Any], after: dict[str, Any], where: str) -> None:
    changed = [name for name in before if not _same(before[name], after[name])]
    assert not changed, (
        f"{where}: it leaves changed: {', '.join(changed)}; `with prunekit.undisturbed(context.model):` puts back "
        "gradients, statistics and modes"
    )


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return torch.equal(left, right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


# ------------------------------------------------------------------------------------------ what scores are


@suite.states
def every_target_has_scores_of_its_shape_that_are_numbers(criterion: Criterion) -> None:
    """Of any sign, infinite ones too, but none NaN."""
    for network in scorable(criterion):
        model = networks.fresh(network)
        found = score(criterion, model, network)
        _assert_scores(found, find_targets(model), network)


def _assert_scores(found: Scores, targets: Sequence[Target], where: str) -> None:
    for target in targets:
        assert target.name in found, f"{where}: {target.name} has no score"
        scores, expected = found[target.name], list(target.parameter.shape)
        assert isinstance(scores, Tensor), f"{where}: the scores of {target.name} are a {type(scores).__name__}"
        assert list(scores.shape) == expected, f"{where}: {target.name}: scores {list(scores.shape)}, not {expected}"
        assert not scores.isnan().any(), f"{where}: some scores of {target.name} are NaN"


@suite.states
def the_same_generator_gives_the_same_scores(criterion: Criterion) -> None:
    """Two calls on equal networks, to the bit."""
    for network in scorable(criterion):
        again = score(criterion, networks.fresh(network), network)
        _assert_equal(
            usual(criterion, network),
            again,
            f"{network}: a second call gives other scores (draw from context.generator)",
        )


@suite.states
def the_mode_of_the_model_does_not_matter(criterion: Criterion) -> None:
    """A loop is in train mode where it prunes, with dropout on; a stage that only prunes is in eval mode."""
    for network in scorable(criterion):
        training = score(criterion, networks.fresh(network).train(), network)
        _assert_equal(
            usual(criterion, network), training, f"{network}: in train mode the scores differ (call model.eval() first)"
        )


@suite.states
def frozen_parameters_do_not_matter(criterion: Criterion) -> None:
    """Nor that the caller is inside ``torch.no_grad()``."""
    for network in scorable(criterion):
        with torch.no_grad():
            frozen = score(criterion, networks.fresh(network).requires_grad_(False), network)
        _assert_equal(usual(criterion, network), frozen, f"{network}: with frozen parameters the scores differ")


def _assert_equal(left: Scores, right: Scores, message: str) -> None:
    assert left.keys() == right.keys(), message
    assert all(torch.equal(left[name], right[name]) for name in left), message


@suite.states
def the_memory_format_does_not_matter(criterion: Criterion) -> None:
    """Scores belong to logical positions; sums may be made in another order."""
    for network in scorable(criterion):
        model = networks.fresh(network).to(memory_format=torch.channels_last)
        for name, scores in score(criterion, model, network).items():
            found, expected = scores.detach(), usual(criterion, network)[name].detach()
            largest = float(expected.where(expected.isfinite(), 0).abs().max())
            close = torch.isclose(found, expected, rtol=1e-3, atol=1e-3 * largest)
            assert close.all(), f"{network}, channels_last: other scores of {name}"


# ------------------------------------------------------------------------------------------ what is pruned


@suite.states
def exactly_the_weights_asked_for_are_pruned_and_the_lowest(criterion: Criterion) -> None:
    """At 0, 50, 90 and 99.8 %, within the network, each layer and each row; of equal scores the first go first."""
    network = next(scorable(criterion))
    scores = usual(criterion, network)
    for within in get_args(Within):
        for sparsity in (0.0, 0.5, 0.9, 1 - 1 / 500):
            pruner = _pruner(criterion, network, sparsity=sparsity, within=within)
            where = f"{network}, within {within}, sparsity {sparsity:g}"
            for group in _groups(pruner.targets, within):
                kept = _flat(group, pruner.masks) > 0
                count = _assert_count(kept, sparsity, within, where)
                lowest = np.argsort(_flat(group, scores), kind="stable")[:count]
                assert set(np.flatnonzero(~kept)) == set(lowest), f"{where}: it is not the lowest scores that went"


@suite.states
def what_is_pruned_stays_pruned(criterion: Criterion) -> None:
    """A network that is pruned to a half is pruned further, and counts what it had lost."""
    for network in scorable(criterion):
        half = Pruner(networks.fresh(network), sparsity=0.5).masks
        pruner = _pruner(criterion, network, sparsity=0.8, masks=half)
        asked = round(sum(mask.numel() for mask in half.values()) * 0.8)
        pruned = sum(int((~mask).sum()) for mask in pruner.masks.values())
        assert pruned == asked, f"{network}: {pruned} weights are pruned, {asked} were asked for"
        for target in pruner.targets:
            assert not (target.mask & ~half[target.name]).any(), f"{network}: pruned weights of {target.name} came back"
            assert not target.parameter[~target.mask].any(), f"{network}: pruned weights of {target.name} are not zero"


class _Quarters(Schedule):
    """Equal increments after each of four optimiser steps."""

    name = "quarters"

    def target(self, now: Progress) -> float | None:
        return self.sparsity * now.iteration / 4 if now.iteration else None


@suite.states
def it_prunes_step_by_step_in_a_loop(criterion: Criterion) -> None:
    """In four updates to 90 %, within the network, each layer and each row."""
    network = next(scorable(criterion))
    for within in get_args(Within):
        pruner = _pruner(criterion, network, _Quarters(sparsity=0.9), within=within)
        for _ in range(4):
            before = {name: mask.clone() for name, mask in pruner.masks.items()}
            pruner.step()
            for name, mask in pruner.masks.items():
                assert not (mask & ~before[name]).any(), f"{network}, within {within}: weights of {name} came back"
        for group in _groups(pruner.targets, within):
            _assert_count(_flat(group, pruner.masks) > 0, 0.9, within, f"{network}, within {within}")


@suite.states
def the_sign_of_scores_survives(criterion: Criterion) -> None:
    """Its scores, moved so that half are negative and made tiny, are ranked as they are: no magnitude is taken."""
    for network in scorable(criterion):
        targets = find_targets(networks.fresh(network))
        scores = usual(criterion, network)
        finite = torch.cat([each[each.isfinite()].double() for each in scores.values()])
        moved = {name: (each.double() - finite.median()) * 1e-30 for name, each in scores.items()}
        grow(targets, moved, 0.3, "network")
        values = _flat([(target, slice(None)) for target in targets], moved)
        kept = _flat([(target, slice(None)) for target in targets], {t.name: t.mask for t in targets}) > 0
        assert values[~kept].max() <= values[kept].min(), f"{network}: a higher score was pruned before a lower one"
        _assert_count(kept, 0.3, "network", network)


def _pruner(criterion: Criterion, network: str, schedule: str | Schedule = "one_shot", **options: Any) -> Pruner:
    model = networks.fresh(network)
    return Pruner(model, schedule, criterion=criterion, data=networks.data(network), loss=networks.loss, **options)


Group = Sequence[tuple[Target, slice | int]]
"""What is ranked against each other: (target, which outputs of it)."""


def _groups(targets: Sequence[Target], within: Within) -> Iterator[Group]:
    if within == "network":
        yield [(target, slice(None)) for target in targets]
    for target in targets if within != "network" else ():
        if within == "layer":
            yield [(target, slice(None))]
        else:
            yield from ([(target, output)] for output in range(len(target.mask)))


def _flat(group: Group, tensors: dict[str, Tensor]) -> NDArray[Any]:
    pieces = [tensors[target.name].detach()[which].reshape(-1).double() for target, which in group]
    return torch.cat(pieces).numpy()


def _assert_count(kept: NDArray[np.bool_], sparsity: float, within: Within, where: str) -> int:
    """Hold the number of pruned weights to what was asked: rounded, in a row down."""
    weights = len(kept) * sparsity
    asked = math.floor(weights + 1e-9) if within == "row" else round(weights)
    pruned = int((~kept).sum())
    assert pruned == asked, f"{where}: {pruned} of {len(kept)} weights are pruned, {asked} were asked for"
    return asked


# ------------------------------------------------------------------------------------------ types and devices


@suite.states
def it_works_in_float64(criterion: Criterion) -> None:
    """On the CPU."""
    _check_on(criterion, torch.float64, "cpu")


@suite.states
def it_works_in_bfloat16(criterion: Criterion) -> None:
    """On the CPU."""
    _check_on(criterion, torch.bfloat16, "cpu")


@suite.states
def it_works_on_cuda(criterion: Criterion) -> None:
    """In float32, where there is a GPU."""
    if not torch.cuda.is_available():
        raise DoesNotApply("no CUDA device at hand")
    _check_on(criterion, torch.float32, "cuda")


@suite.states
def it_works_on_mps(criterion: Criterion) -> None:
    """In float32, where there is one of Apple's GPUs."""
    if not torch.backends.mps.is_available():
        raise DoesNotApply("no MPS device at hand")
    _check_on(criterion, torch.float32, "mps")


def _check_on(criterion: Criterion, dtype: torch.dtype, device: str) -> None:
    """Score and prune networks with and without convolutions, of that type on that device."""
    for network in [each for each in scorable(criterion) if each in (networks.SMALLEST, "transformer")]:
        model = networks.fresh(network).to(device, dtype)
        batches = [(inputs.to(device, dtype), labels.to(device)) for inputs, labels in networks.data(network)]
        where = f"{network}, {dtype} on {device}".replace("torch.", "")
        context = networks.context(model, network)
        context.batches = lambda batches=batches: iter(batches)
        _assert_scores(dict(criterion.scores(context)), context.targets, where)
        pruner = Pruner(model, criterion=criterion, sparsity=0.5, data=batches, loss=networks.loss)
        _assert_count(np.concatenate([m.cpu().numpy().ravel() for m in pruner.masks.values()]), 0.5, "network", where)
