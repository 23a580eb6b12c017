"""Pruning-identified exemplars: the examples whose modal label changes with pruning, and how many would by chance."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import (
    LEVEL,
    Bar,
    BarPanel,
    Bars,
    Column,
    Comparison,
    Exemplar,
    Exemplars,
    Headline,
    Measure,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._change import Change, Tally
from ._votes import Ties, modal_labels, ties_reading

__all__ = ["Pie", "modal_labels", "pruning_identified_exemplars"]

CLEAREST = 10
"""Examples in a table."""
PICTURED = 24
"""Examples in a figure."""
MOST_NAMED = 4
"""Comparisons and populations that a reading names one by one."""
ENOUGH = LEVEL / 2
"""The p at which one of two tests tells a change from seed noise: they share the level between them."""
TESTS = (
    "two tests are made of every change, one of the count of PIEs and one of the distance between the vote shares; "
    f"each p stands as it is, and is held against {ENOUGH:g}, as the two share {LEVEL:g}"
)
HEADLINE = (
    "PIE: examples whose modal label changes with pruning; its p is the smaller one of two tests, of the count and of "
    "the votes, doubled for being two"
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


@register("pie", source="Hooker et al. 2019, arXiv 1911.05248; Corti et al. 2022, arXiv 2207.00200")
class Pie(Measure):
    """Pruning-identified exemplars: examples whose modal label changes with pruning, beside what chance gives."""

    needs = ()

    ties: Ties = "smallest"
    """Which class index wins of labels with as many votes."""
    permutations: int = Field(default=1000, gt=0)
    """Permutations of the members that give the chance level; fewer where there are no more distinct ones."""

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Count PIEs per comparison, with the control's beside them."""

        @cache
        def votes(name: str) -> Tally:
            return Tally.of(study.populations[name], self.ties)

        @cache  # comparisons may share a control
        def change(reference: str, other: str, related: bool) -> Change:
            return Change.between(votes(reference), votes(other), related, self.ties, self.permutations)

        summary = Summary()
        changes: dict[str, Change] = {}
        numbers = []
        for each in comparisons:
            pruned = change(each.reference, each.pruned, each.paired)
            control = change(each.reference, each.control, each.paired) if each.control is not None else None
            both = [pruned, *([control] if control else [])]
            changes |= {one.where: one for one in both}
            exemplars = pruned.exemplars(study.classes)
            numbers.append(pruned.number)
            summary.comparisons.append(_as_json(study, pruned, control, exemplars))
            if study.labelled:
                summary.tables.append(_class_table(study, each, both))
                summary.figures.append(_class_figure(study, each, both))
            summary.tables.append(_clearest_table(study, each, exemplars))
            summary.figures.append(_example_figure(each, exemplars))
            summary.exemplars.append(exemplars)
            summary.clauses.append(_clause(pruned, control))
        if changes:
            summary.headline = Headline("PIE", ",d", comparisons=numbers, note=HEADLINE)
            summary.tables.insert(0, _headline_table(changes.values()))
        summary.readings = [ties_reading(self.ties), TESTS, *_readings(changes.values())]
        return summary


# ------------------------------------------------------------------------------------------------------------- JSON


def _as_json(
    study: StudyColumns, change: Change, control: Change | None, exemplars: Sequence[Exemplar]
) -> dict[str, Any]:
    counts = np.bincount(study.labels[change.pies], minlength=len(study.classes)).tolist()
    return {
        **_counts(change),
        "ties": {"reference": change.reference.ties, "pruned": change.other.ties},
        "per_class": dict(zip(study.classes, counts, strict=True)) if study.labelled else None,
        "examples": [_example(study, each) for each in exemplars],
        "control": None if control is None else {"population": control.other.name, **_counts(control)},
    }


def _counts(change: Change) -> dict[str, Any]:
    chance, examples = change.chance, len(change.pies)
    return {
        "count": chance.count,
        "fraction": chance.count / examples if examples else None,
        "expected": change.expected,
        "p": chance.p,
        "smallest_p": chance.smallest_p,
        "votes_p": chance.votes_p,
        "permutations": chance.permutations,
        "drawn": chance.drawn,
        "paired": change.paired,
        "interval": None if change.interval is None else list(change.interval),
    }


def _example(study: StudyColumns, exemplar: Exemplar) -> dict[str, Any]:
    return {
        "id": study.ids[exemplar.index],
        "label": study.classes[study.labels[exemplar.index]] if study.labelled else None,
        "reference": exemplar.reference,
        "pruned": exemplar.pruned,
        "reference_share": exemplar.reference_share,
        "pruned_share": exemplar.pruned_share,
        "change": exemplar.change,
    }


# ----------------------------------------------------------------------------------------------------------- tables


def _headline_row(change: Change) -> tuple[Any, ...]:
    chance, examples = change.chance, len(change.pies)
    low, high = change.interval or (None, None)
    share = chance.count / examples if examples else None
    return change.where, chance.count, share, low, high, change.expected, chance.p, chance.votes_p, chance.smallest_p


def _headline_table(changes: Collection[Change]) -> Table:
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
        rows=[_headline_row(each) for each in changes],
        note="95 %: interval for the count that studies like this one give on average. "
        "By chance: mean count when it does not matter which population a member belongs to. "
        "Two tests are made: p of count is the share of such counts that are as large; p of votes is the same for the "
        "distance between the vote shares, which also sees changes that all members agree on. "
        f"Each stands as it is; held against {ENOUGH:g}, the two share {LEVEL:g}. "
        "Smallest p: what so few members or permutations can reach at best, in either.",
    )


def _class_table(study: StudyColumns, comparison: Comparison, changes: list[Change]) -> Table:
    """PIEs by true class: the pruned population's (it comes first), those expected by chance, the control's."""
    classes, labels = len(study.classes), study.labels
    images = np.bincount(labels, minlength=classes)
    columns: list[Column] = [Column("Class"), Column("Examples", ",d")]
    values: list[list[Any]] = [list(study.classes), images.tolist()]
    for change in changes:
        whose = "" if change is changes[0] else f", {change.other.name}"
        columns += [Column(f"PIEs{whose}", ",d"), Column(f"By chance{whose}", ",.1f")]
        values.append(np.bincount(labels[change.pies], minlength=classes).tolist())
        values.append(_chance_by_class(study, change).tolist())
    return Table(
        title=f"PIEs by true class: {comparison.name}",
        columns=tuple(columns),
        rows=list(zip(*values, strict=True)),
        comparison=comparison,
    )


def _chance_by_class(study: StudyColumns, change: Change) -> NDArray[np.float64]:
    """Return how many PIEs of each true class chance gives, [C]."""
    expected = np.bincount(study.labels, weights=change.chance.expected_by_example, minlength=len(study.classes))
    return expected.astype(np.float64)


def _clearest_table(study: StudyColumns, comparison: Comparison, exemplars: Sequence[Exemplar]) -> Table:
    examples = (_example(study, each) for each in exemplars[:CLEAREST])
    keys = ("id", "label", "reference", "reference_share", "pruned", "pruned_share", "change")
    return Table(
        title=f"Clearest PIEs: {comparison.name}",
        columns=(
            Column("Example"),
            Column("True class"),
            Column(f"In {comparison.reference}"),
            Column(f"Votes in {comparison.reference}", ".0%"),
            Column(f"In {comparison.pruned}"),
            Column(f"Votes in {comparison.pruned}", ".0%"),
            Column("Change of votes", ".0%"),
        ),
        rows=[tuple(example[key] for key in keys) for example in examples],
        note="The modal label in either population and the share of its members that vote for it; change of votes: "
        "total variation distance between all vote shares, the largest first.",
        comparison=comparison,
    )


# ---------------------------------------------------------------------------------------------------------- figures


def _class_figure(study: StudyColumns, comparison: Comparison, changes: Sequence[Change]) -> Bars:
    """What the table by class says: the pruned population's PIEs, then the control's."""
    count = len(study.classes)
    return Bars(
        name=f"pie-classes.{comparison.slug}",
        title=f"PIEs by true class: {comparison.name}",
        caption="PIEs by true class, beside how many there are on average when it does not matter which population a "
        "member belongs to.",
        comparison=comparison,
        categories=study.classes,
        value_name="PIEs",
        panels=tuple(
            BarPanel(
                change.where,
                (
                    Bar("PIEs", np.bincount(study.labels[change.pies], minlength=count)),
                    Bar("by chance", _chance_by_class(study, change), light=True),
                ),
            )
            for change in changes
        ),
    )


def _example_figure(comparison: Comparison, exemplars: Sequence[Exemplar]) -> Exemplars:
    """Figure 6 of Corti et al."""
    shown = tuple(exemplars[:PICTURED])
    which = f"The {len(shown)} of" if len(shown) < len(exemplars) else "All"
    return Exemplars(
        name=f"pie-examples.{comparison.slug}",
        title=f"PIEs whose votes changed most: {comparison.name}",
        caption=f"{which} {len(exemplars):,} PIEs, those whose votes changed most first (total variation distance "
        f"between the vote shares), with their modal labels in {comparison.reference} and in {comparison.pruned}.",
        comparison=comparison,
        reference=comparison.reference,
        pruned=comparison.pruned,
        exemplars=shown,
    )


# ------------------------------------------------------------------------------------------------------------ words


def _clause(change: Change, control: Change | None) -> str:
    """Say what changed, and no more than the p-value allows."""
    chance, examples = change.chance, len(change.pies)
    whose = "its" if chance.count < 2 else "their"
    what = f"{_number(chance.count)} of {examples:,} test examples changed {whose} modal label"
    expected = _rounded(chance.expected)
    if chance.p <= ENOUGH:
        text = f"{what} where seed noise alone changes {expected} (p = {chance.p:.2g})"
    elif change.alone:
        text = (
            f"{what}; that is one network beside another: PIEs need populations, and how many labels another seed "
            "alone would change cannot be told"
        )
    elif chance.smallest_p > ENOUGH:
        least = change.number.smallest_p or 1.0  # of both tests, as it stands beside the count elsewhere
        few = f"{change.members} cannot tell: the smallest p that they can reach is {least:.2g}"
        noise = "" if change.expected is None else f" where seed noise alone changes {expected}"
        text = f"{what}{noise} ({few})"
    elif chance.votes_p <= ENOUGH:
        text = (
            f"{what}, a number that seed noise alone can give ({expected} expected, p = {chance.p:.2g}), "
            f"but vote shares moved further than seed noise moves them (p = {chance.votes_p:.2g})"
        )
    else:
        text = f"{what}, no more than seed noise alone can give ({expected} expected, p = {chance.p:.2g})"
    if control is not None:
        text += f"; fine-tuning without pruning changes {_number(control.chance.count)}"
    return text


def _readings(changes: Collection[Change]) -> list[str]:
    """Say how chance was found, once for all comparisons that share it, and how many modal labels are tied."""
    shared: dict[str, list[str]] = {}
    for change in changes:
        shared.setdefault(_how(change), []).append(change.where)
    readings = [
        f"{', '.join(where) if len(where) <= MOST_NAMED else f'{len(where)} comparisons'}: {how}"
        for how, where in shared.items()
    ]
    ties = {votes.name: votes.ties for change in changes for votes in (change.reference, change.other)}
    return [*readings, f"tied modal labels: {_tied(ties)}"] if ties else readings


def _tied(ties: dict[str, int]) -> str:
    """List the number of every population, or the fewest and the most where there are many of them."""
    listed = [f"{number:,} in {name}" for name, number in sorted(ties.items(), key=lambda each: each[1])]
    return f"from {listed[0]} to {listed[-1]}" if len(listed) > MOST_NAMED else ", ".join(listed)


def _how(change: Change) -> str:
    how = "swaps within seed pairs" if change.paired else "deals of all members"
    number = f"{change.chance.permutations:,}"
    return f"{change.members}, chance from " + (
        f"{number} {how} drawn" if change.chance.drawn else f"all {number} distinct {how}"
    )


def _number(count: int) -> str:
    return f"{count:,}" if count else "none"


def _rounded(expected: float) -> str:
    """Return 6, 6.5 or 241: one decimal below ten, none where it says nothing."""
    return f"{expected:,.0f}" if expected >= 10 else f"{expected:.1f}".removesuffix(".0")
