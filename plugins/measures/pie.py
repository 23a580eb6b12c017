"""Pruning-identified exemplars: the examples whose modal label changes with pruning, and how many would by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import Column, Comparison, Measure, PopulationColumns, StudyColumns, Summary, Table, register

from ._chance import PermutationTest, count_interval, permutation_test
from ._votes import Ties, modal_labels, modal_shares, tied

__all__ = ["Pie", "modal_labels", "pruning_identified_exemplars"]

CLEAREST = 10
TESTS = (
    "two tests are made of every change, one of the count of PIEs and one of the distance between the vote shares; "
    "neither p is corrected for there being two"
)


def pruning_identified_exemplars(
    reference: NDArray[np.integer], pruned: NDArray[np.integer], ties: Ties = "smallest"
) -> NDArray[np.bool_]:
    """Return which examples, bool [N], have different modal labels in two populations, [M, N] and [M', N].

    The true label plays no part (Hooker et al. 2019). Raises ValueError where the numbers of examples differ.
    """
    before, after = modal_labels(reference, ties), modal_labels(pruned, ties)
    if len(before) != len(after):
        raise ValueError(f"both populations predict the same examples: got {len(before)} and {len(after)}")
    changed: NDArray[np.bool_] = before != after
    return changed


@dataclass(frozen=True)
class _Change:
    """From a reference to another population: modal labels, shares and chance."""

    population: str
    members: tuple[int, int]
    paired: bool
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    share_before: NDArray[np.float64]
    share_after: NDArray[np.float64]
    ties: tuple[int, int]
    chance: PermutationTest
    interval: tuple[float, float] | None

    @property
    def pies(self) -> NDArray[np.bool_]:
        changed: NDArray[np.bool_] = self.before != self.after
        return changed

    @property
    def clearest(self) -> NDArray[np.intp]:
        """Positions of the PIEs, those with the largest sum of both vote shares first."""
        found = np.flatnonzero(self.pies)
        return found[np.argsort(-(self.share_before + self.share_after)[found], kind="stable")]


@register("pie", source="Hooker et al. 2019, arXiv 1911.05248; Corti et al. 2022, arXiv 2207.00200")
class Pie(Measure):
    """Pruning-identified exemplars: examples whose modal label changes with pruning, beside what chance gives."""

    ties: Ties = "smallest"
    """Which class index wins of labels with as many votes."""
    permutations: int = Field(default=1000, gt=0)
    """Permutations of the members that give the chance level; fewer where there are no more distinct ones."""

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Count PIEs per comparison, with the control's beside them."""
        summary = Summary(readings=[f"modal label: ties go to the {self.ties} class index", TESTS])
        headline: list[tuple[Any, ...]] = []
        for comparison in comparisons:
            reference = study.populations[comparison.reference]
            change = self._change(reference, study.populations[comparison.pruned], comparison.paired)
            control = (
                self._change(reference, study.populations[comparison.control], comparison.paired)
                if comparison.control is not None
                else None
            )
            changes = [change, *([control] if control else [])]
            rows = [_headline_row(comparison.reference, each) for each in changes]
            headline += [row for row in rows if row not in headline]  # comparisons may share a control
            summary.comparisons.append(_as_json(study, change, control))
            summary.tables += [_class_table(study, comparison, changes), _clearest_table(study, comparison, change)]
            summary.clauses.append(_clause(change, control))
            summary.readings.append(self._reading(comparison, change))
        if headline:
            summary.tables.insert(0, _headline_table(headline))
        return summary

    def _change(self, reference: PopulationColumns, other: PopulationColumns, related: bool) -> _Change:
        paired = related and reference.seeds == other.seeds
        one, two = reference["prediction"], other["prediction"]
        before, after = modal_labels(one, self.ties), modal_labels(two, self.ties)
        return _Change(
            population=other.name,
            members=(len(one), len(two)),
            paired=paired,
            before=before,
            after=after,
            share_before=modal_shares(one, before),
            share_after=modal_shares(two, after),
            ties=(int(tied(one).sum()), int(tied(two).sum())),
            chance=permutation_test(one, two, paired=paired, ties=self.ties, permutations=self.permutations),
            interval=count_interval(one, two, paired=paired, ties=self.ties),
        )

    def _reading(self, comparison: Comparison, change: _Change) -> str:
        chance, ties = change.chance, change.ties
        how = "swaps within seed pairs" if change.paired else "deals of all members"
        number = (
            f"{chance.permutations:,} {how} drawn" if chance.drawn else f"all {chance.permutations:,} distinct {how}"
        )
        return (
            f"{comparison.reference} → {comparison.pruned}: {change.members[0]} + {change.members[1]} members, "
            f"chance from {number}; "
            f"ties: {ties[0]:,} in {comparison.reference}, {ties[1]:,} in {comparison.pruned}"
        )


# ------------------------------------------------------------------------------------------------------------- JSON


def _as_json(study: StudyColumns, change: _Change, control: _Change | None) -> dict[str, Any]:
    per_class = np.bincount(study.labels[change.pies], minlength=len(study.classes))
    return {
        **_counts(change),
        "ties": {"reference": change.ties[0], "pruned": change.ties[1]},
        "per_class": {name: int(n) for name, n in zip(study.classes, per_class, strict=True)},
        "examples": [_example(study, change, i) for i in change.clearest],
        "control": None if control is None else {"population": control.population, **_counts(control)},
    }


def _counts(change: _Change) -> dict[str, Any]:
    chance, examples = change.chance, len(change.before)
    return {
        "count": chance.count,
        "fraction": chance.count / examples if examples else None,
        "expected": chance.expected,
        "p": chance.p,
        "smallest_p": chance.smallest_p,
        "votes_p": chance.votes_p,
        "permutations": chance.permutations,
        "drawn": chance.drawn,
        "paired": change.paired,
        "interval": None if change.interval is None else list(change.interval),
    }


def _example(study: StudyColumns, change: _Change, i: int) -> dict[str, Any]:
    return {
        "id": study.ids[i],
        "label": study.classes[study.labels[i]],
        "reference": study.classes[change.before[i]],
        "pruned": study.classes[change.after[i]],
        "reference_share": float(change.share_before[i]),
        "pruned_share": float(change.share_after[i]),
    }


# ----------------------------------------------------------------------------------------------------------- tables


def _headline_row(reference: str, change: _Change) -> tuple[Any, ...]:
    chance, examples = change.chance, len(change.before)
    low, high = change.interval or (None, None)
    share = chance.count / examples if examples else None
    where = f"{reference} → {change.population}"
    return where, chance.count, share, low, high, chance.expected, chance.p, chance.votes_p, chance.smallest_p


def _headline_table(rows: list[tuple[Any, ...]]) -> Table:
    return Table(
        title="Pruning-identified exemplars",
        columns=(
            Column("Populations"),
            Column("PIEs", ",d"),
            Column("Share", ".1%"),
            Column("95 % from", ",.1f"),
            Column("95 % to", ",.1f"),
            Column("By chance", ",.1f"),
            Column("p of count", ".2g"),
            Column("p of votes", ".2g"),
            Column("Smallest p", ".2g"),
        ),
        rows=rows,
        note="95 %: interval for the count that studies like this one give on average. "
        "By chance: mean count when it does not matter which population a member belongs to. "
        "Two tests are made: p of count is the share of such counts that are as large; p of votes is the same for the "
        "distance between the vote shares, which also sees changes that all members agree on. Neither is corrected "
        "for there being two. Smallest p: what so few members or permutations can reach at best, in either.",
    )


def _class_table(study: StudyColumns, comparison: Comparison, changes: list[_Change]) -> Table:
    """PIEs by true class: the pruned population's, those expected by chance, the control's."""
    classes, labels = len(study.classes), study.labels
    images = np.bincount(labels, minlength=classes)
    columns: list[Column] = [Column("Class"), Column("Images", ",d")]
    values: list[list[Any]] = [list(study.classes), images.tolist()]
    for change in changes:
        whose = "" if change.population == comparison.pruned else f", {change.population}"
        columns += [Column(f"PIEs{whose}", ",d"), Column(f"By chance{whose}", ",.1f")]
        values.append(np.bincount(labels[change.pies], minlength=classes).tolist())
        values.append(np.bincount(labels, weights=change.chance.by_example, minlength=classes).tolist())
    return Table(
        title=f"PIEs by true class: {comparison.reference} → {comparison.pruned}",
        columns=tuple(columns),
        rows=list(zip(*values, strict=True)),
    )


def _clearest_table(study: StudyColumns, comparison: Comparison, change: _Change) -> Table:
    examples = (_example(study, change, i) for i in change.clearest[:CLEAREST])
    keys = ("id", "label", "reference", "reference_share", "pruned", "pruned_share")
    return Table(
        title=f"Clearest PIEs: {comparison.reference} → {comparison.pruned}",
        columns=(
            Column("Example"),
            Column("True class"),
            Column(f"In {comparison.reference}"),
            Column(f"Votes in {comparison.reference}", ".0%"),
            Column(f"In {comparison.pruned}"),
            Column(f"Votes in {comparison.pruned}", ".0%"),
        ),
        rows=[tuple(example[key] for key in keys) for example in examples],
        note="The modal label in either population and the share of its members that vote for it; "
        "clearest: the largest sum of both shares.",
    )


# ------------------------------------------------------------------------------------------------------------ words


def _clause(change: _Change, control: _Change | None) -> str:
    """Say what changed, and no more than the p-value allows."""
    chance, images = change.chance, len(change.before)
    whose = "its" if chance.count < 2 else "their"
    what = f"{_number(chance.count)} of {images:,} test images changed {whose} modal label"
    expected = _rounded(chance.expected)
    if chance.p <= 0.05:
        text = f"{what} where seed noise alone changes {expected} (p = {chance.p:.2g})"
    elif chance.smallest_p > 0.05:
        members = f"{change.members[0]} + {change.members[1]} members cannot tell"
        text = f"{what} where seed noise alone changes {expected} ({members}: smallest p {chance.smallest_p:.2g})"
    elif chance.votes_p <= 0.05:
        text = (
            f"{what}, a number that seed noise alone can give ({expected} expected, p = {chance.p:.2g}), "
            f"but vote shares moved further than seed noise moves them (p = {chance.votes_p:.2g})"
        )
    else:
        text = f"{what}, no more than seed noise alone can give ({expected} expected, p = {chance.p:.2g})"
    if control is not None:
        text += f"; fine-tuning without pruning changes {_number(control.chance.count)}"
    return text


def _number(count: int) -> str:
    return f"{count:,}" if count else "none"


def _rounded(expected: float) -> str:
    """Return 6, 6.5 or 241: one decimal below ten, none where it says nothing."""
    return f"{expected:,.0f}" if expected >= 10 else f"{expected:.1f}".removesuffix(".0")
