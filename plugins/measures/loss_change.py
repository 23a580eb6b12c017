"""How well pruning preserved the training loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prunekit import Column, Comparison, Headline, Measure, ObservedMember, StudyColumns, Summary, Table, register

from ._along_lambda import Quantity, lambda_figures
from ._lineage import Pruning, difference, last_pruning, losses, noted, size, training_loss
from ._populations import (
    Pruned,
    as_json,
    by_criterion,
    by_name,
    not_comparable,
    nothing_pruned,
    pruned_populations,
    shortened,
)
from ._schedule_figures import round_figures, round_findings
from ._setting import DEFAULT_CRITERION, setting_name
from ._statistics import known

DELTA = Quantity("delta", "ΔL", log=True)
KEYS = ("delta", "before", "after", "squared_change")


@register("loss_change", version=2, source="Laurent et al. 2020, arXiv 2006.12279: ΔL, ‖Δθ‖²")
class LossChange(Measure):
    """Loss change: ΔL = |L(θ + Δθ) − L(θ)|, how far pruning itself moves the training loss.

    L is the mean cross-entropy of all training images, un-augmented, in eval mode; θ is the network that was pruned,
    θ + Δθ what pruning left. Stages that prune in a row, with nothing trained or rewound between them, are one pruning.
    Of members that were pruned several times, as lottery tickets are, it is that of the last time, whose θ is sparse
    already: such numbers are tabulated and held against no others. Costs two passes over the training images per
    member.
    """

    notes = True
    published_keys = KEYS

    per_round: bool = False
    """Also compute ΔL after every round: a pass over the training images for each."""

    def note(self, member: ObservedMember) -> dict[str, Any]:
        """Return L before and after the last pruning and what each round changed; of others L alone."""
        pruning = last_pruning(member)
        if pruning is None:
            return {"pruning": None, "loss": training_loss(member)}
        found = {**noted(pruning), **losses(pruning)}
        changes = pruning.squared_changes
        found["squared_changes"] = changes
        found["squared_change"] = _total(changes)
        found["deltas"] = self._by_round(pruning, found["before"])
        return found

    def _by_round(self, pruning: Pruning, before: float | None) -> list[float | None] | None:
        """Return ΔL after every round; None where it is not asked for, or the network was not trained before."""
        if not self.per_round or before is None:
            return None
        rounds = [(stage, i) for stage in pruning.stages for i in range(len(stage.updates))]
        return [size(difference(training_loss(stage.after(i)), before)) for stage, i in rounds]

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate every population that was pruned, and draw ΔL against λ and rounds."""
        pruned = pruned_populations(study, self.name)
        found = {each.name: each for each in pruned}
        summary = Summary(
            populations=by_name(study, self.name, pruned, lambda each: as_json(each, (*KEYS, "change")), "loss"),
            findings=round_findings(pruned),
            headline=_headline(pruned),
            figures=[
                *lambda_figures(pruned, [DELTA], "loss_change.lambda", "ΔL against λ", _smallest),
                *round_figures(pruned),
            ],
        )
        if not pruned:
            summary.findings.append(nothing_pruned(self.name))
        else:
            summary.tables.append(_table(pruned))
            summary.readings.append(
                "loss_change: ΔL = |L(θ + Δθ) − L(θ)| of the last stages in a row that pruned without training, L the "
                "mean cross-entropy of the training images, un-augmented; ‖Δθ‖² the sum of θ² of the weights that "
                "they set to zero, over all of their rounds"
            )
        for each in comparisons:
            summary.comparisons.append(_compared(found.get(each.pruned)))
            summary.clauses.append(_clause(found.get(each.pruned)))
        return summary


def _total(changes: Sequence[float | None]) -> float | None:
    """Return ‖Δθ‖² of all rounds: no weight is pruned twice. None where one of them was not recorded."""
    there = [change for change in changes if change is not None]
    return known(sum(there)) if len(there) == len(changes) > 0 else None


def _headline(pruned: Sequence[Pruned]) -> Headline | None:
    numbers = {each.name: number for each in pruned if (number := each.number("delta")).value is not None}
    note = "ΔL: |training loss after pruning − before|, mean ± standard deviation (ddof 1) over members"
    return Headline("ΔL", ".3g", populations=numbers, note=note) if numbers else None


def _table(pruned: Sequence[Pruned]) -> Table:
    unknown = [each.name for each in pruned if each.mean("before") is None]
    return Table(
        title="Loss change",
        columns=(
            Column("Population"),
            Column("ΔL", ".3g", key="delta"),
            Column("L before", ".3g", key="before"),
            Column("L after", ".3g", key="after"),
            Column("‖Δθ‖²", ".3g", key="squared_change"),
        ),
        rows=[
            (each.name, each.number("delta"), each.mean("before"), each.mean("after"), each.number("squared_change"))
            for each in pruned
        ],
        note="Mean ± standard deviation (ddof 1) over members. L: training loss right before and after pruning, "
        "un-augmented; ΔL: the absolute value of its change. ‖Δθ‖²: Σθ² of the weights set to zero. Populations "
        "without a stage that only prunes are left out."
        + _without_before(unknown)
        + not_comparable(pruned)
        + _not_finite(pruned),
        about=tuple((each.name,) for each in pruned),
    )


def _without_before(names: Sequence[str]) -> str:
    return f" Not trained before they were pruned, and so without ΔL: {shortened(names)}." if names else ""


def _not_finite(pruned: Sequence[Pruned]) -> str:
    members = sum(int(np.count_nonzero(np.isnan(each.values("after")))) for each in pruned)
    return f" Members whose loss is no finite number are left out of means: {members}." if members else ""


def _compared(pruned: Pruned | None) -> dict[str, Any] | None:
    return None if pruned is None else {key: pruned.mean(key) for key in (*KEYS, "change")}


def _clause(pruned: Pruned | None) -> str:
    """Say where pruning took the training loss; "" where nothing was pruned or there is no loss before."""
    if pruned is None:
        return ""
    before, after, delta = (pruned.mean(key) for key in ("before", "after", "delta"))
    if before is None or after is None or delta is None:
        return ""
    what = "pruning itself" if pruned.sole else "the last pruning"
    return f"{what} took the training loss from {before:.3g} to {after:.3g} (ΔL = {delta:.3g})"


def _smallest(pruned: Sequence[Pruned]) -> str:
    """Say which setting of one sparsity preserves the loss best, and how magnitude does."""
    named = [(name, each) for name, group in by_criterion(pruned).items() for each in group]
    means = [(value, name, each) for name, each in named if (value := each.mean("delta")) is not None]
    if not means:
        return ""
    value, name, best = min(means, key=lambda each: each[0])
    text = f" The smallest mean is that of {setting_name(best.setting, name)}: {value:.3g}"
    level = [each[0] for each in means if each[2].setting.criterion == DEFAULT_CRITERION]
    if level and best.setting.criterion != DEFAULT_CRITERION:
        text += f", against {min(level):.3g} of magnitude"
    return f"{text}."
