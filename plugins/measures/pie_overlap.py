"""Whether two comparisons lose the same examples: PIEs that they share, beside chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import (
    Bar,
    BarPanel,
    Bars,
    Column,
    Comparison,
    Measure,
    PopulationColumns,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._overlap import LEVELS, Overlap, overlap, vote_strata
from ._votes import Ties, ties_reading
from .pie import pruning_identified_exemplars

FEW = 4
"""Comparisons of which every two are paired; of more, those that are equally sparse."""
NEAR = 0.005
"""Sparsities that differ by no more are equal."""
DISPUTED, PLAIN = "Among equally disputed", "Among all"
VOTERS = 3
"""Members whose votes tell disputed examples from others."""
CHANCE = (
    "overlap of PIEs by chance: both sets drawn independently among equally disputed examples, where the modal label "
    "has the same share of the reference's votes; of two references, in each of them (strata crossed; shares of more "
    f"than {LEVELS} members in steps of 1/{LEVELS}). Beside it among all, which hard examples exceed in any case"
)


@dataclass(frozen=True, eq=False)
class _Change:
    """A comparison and its PIEs."""

    index: int
    """Its place among the comparisons."""
    name: str
    """That of the pruned population, or of both where this one is compared twice."""
    reference: PopulationColumns
    pruned: PopulationColumns
    pies: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.pies))


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two comparisons, and what their PIEs have in common."""

    one: _Change
    other: _Change
    disputed: Overlap
    """By chance among equally disputed examples."""
    plain: Overlap
    """By chance among all examples."""

    @property
    def shared(self) -> NDArray[np.bool_]:
        return self.one.pies & self.other.pies

    @property
    def jaccard(self) -> float | None:
        union = np.count_nonzero(self.one.pies | self.other.pies)
        return self.disputed.shared / union if union else None

    @property
    def telling(self) -> bool:
        """Whether the votes of the references tell disputed examples from others."""
        return all(len(each.reference.seeds) >= VOTERS for each in (self.one, self.other))

    @property
    def ratio(self) -> float | None:
        """Shared to expected; None where it would deceive, or nothing is expected."""
        return self.disputed.shared / self.disputed.expected if self.telling and self.disputed.expected else None

    @property
    def common(self) -> list[str]:
        """Populations that stand in both comparisons."""
        mine, theirs = ({each.reference.name, each.pruned.name} for each in (self.one, self.other))
        return sorted(mine & theirs)

    @property
    def tests(self) -> tuple[float, float, float] | tuple[None, None, None]:
        """p and the smallest p among equally disputed examples, p among all; none where they would deceive."""
        if self.common or not self.telling:
            return None, None, None
        return self.disputed.p, self.disputed.smallest_p, self.plain.p

    @property
    def titles(self) -> tuple[str, str]:
        """What the two are called: the titles of their groups, where these tell them apart, or their names."""
        one, other = self.one.pruned.place, self.other.pruned.place
        if one and other and one.group != other.group:
            return one.group, other.group
        return self.one.name, self.other.name

    @property
    def sparsity(self) -> str:
        shares = [self.one.pruned.sparsity, self.other.pruned.sparsity]
        if _equal(*shares):
            shares.pop()
        return f"{' and '.join(f'{100 * share:.4g} %' for share in shares)} pruned"


@register("pie_overlap", source="Corti et al. 2022, arXiv 2207.00200, figures 4 and 7")
class PieOverlap(Measure):
    """Whether two comparisons lose the same examples: the PIEs that they share, beside chance."""

    needs = ()

    ties: Ties = "smallest"
    """Which class index wins of labels with as many votes."""
    figures: int = Field(default=6, ge=0)
    """Pairs of groups that are drawn, at most: those with different references first."""

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate the overlap of every two comparisons, or of those that are equally sparse where there are many."""
        pairs = _pairs(study, _changes(study, comparisons, self.ties))
        overlaps: list[list[dict[str, Any]]] = [[] for _ in comparisons]
        for pair in pairs:
            for one, other in ((pair.one, pair.other), (pair.other, pair.one)):
                overlaps[one.index].append(_as_json(study, pair, one, other))
        together = _together(pairs)
        readings = [ties_reading(self.ties), CHANCE] if pairs else []
        if len(together) > self.figures:
            readings.append(f"overlap of PIEs: {self.figures} of {len(together)} pairs of groups are drawn")
        return Summary(
            comparisons=list(overlaps),
            tables=[_table(pairs, len(comparisons))],
            figures=[_figure(study, k, each) for k, each in enumerate(together[: self.figures], start=1)],
            readings=readings,
        )


# ------------------------------------------------------------------------------------------------------------ pairs


def _changes(study: StudyColumns, comparisons: Sequence[Comparison], ties: Ties) -> list[_Change]:
    distinct = len({each.pruned for each in comparisons}) == len(comparisons)
    changes = []
    for index, each in enumerate(comparisons):
        reference, pruned = study.populations[each.reference], study.populations[each.pruned]
        pies = pruning_identified_exemplars(reference["prediction"], pruned["prediction"], ties)
        name = each.pruned if distinct else each.name
        changes.append(_Change(index, name, reference, pruned, pies))
    return changes


def _pairs(study: StudyColumns, changes: Sequence[_Change]) -> list[_Pair]:
    """Return every two changes, or those that are equally sparse where there are many; the sparsest last."""

    @cache  # few references
    def strata(one: str, other: str) -> NDArray[np.intp]:
        return vote_strata(study.populations[one]["prediction"], study.populations[other]["prediction"])

    everywhere = np.zeros(len(study.labels), dtype=np.intp)
    pairs = []
    for one, other in combinations(changes, 2):
        if len(changes) <= FEW or _comparable(one.pruned, other.pruned):
            disputed = strata(one.reference.name, other.reference.name)
            tests = (overlap(one.pies, other.pies, each) for each in (disputed, everywhere))
            pairs.append(_Pair(one, other, *tests))
    return sorted(pairs, key=lambda pair: round(pair.one.pruned.sparsity + pair.other.pruned.sparsity, 2))


def _comparable(one: PopulationColumns, other: PopulationColumns) -> bool:
    """Whether two populations are equally sparse, and at the same value of the axis along which both are repeated."""
    here, there = one.place, other.place
    if here and there and here.axis == there.axis and here.value != there.value:
        return False
    return _equal(one.sparsity, other.sparsity)


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= NEAR


def _together(pairs: Sequence[_Pair]) -> list[list[_Pair]]:
    """Return the pairs that have PIEs by the groups that meet in them: those with different references first."""
    found: dict[tuple[str, str], list[_Pair]] = {}
    for pair in (each for each in pairs if each.one.count or each.other.count):
        found.setdefault(pair.titles, []).append(pair)
    in_order = sorted(found.values(), key=lambda each: (each[0].one.index, each[0].other.index))
    return sorted(in_order, key=lambda each: bool(each[0].common))


# ------------------------------------------------------------------------------------------------------------- JSON


def _as_json(study: StudyColumns, pair: _Pair, one: _Change, other: _Change) -> dict[str, Any]:
    """What ``one`` says of its overlap with ``other``."""
    p, smallest_p, plain_p = pair.tests
    return {
        "reference": other.reference.name,
        "pruned": other.pruned.name,
        "common": pair.common,
        "shared": pair.disputed.shared,
        "unique": one.count - pair.disputed.shared,
        "unique_to_other": other.count - pair.disputed.shared,
        "jaccard": pair.jaccard,
        "expected": pair.disputed.expected,
        "ratio": pair.ratio,
        "p": p,
        "smallest_p": smallest_p,
        "plain": {"expected": pair.plain.expected, "p": plain_p},
        "per_class": _per_class(study, pair, one, other),
    }


def _per_class(study: StudyColumns, pair: _Pair, one: _Change, other: _Change) -> dict[str, Any]:
    shared, mine, theirs = (
        _by_class(study, mask) for mask in (pair.shared, one.pies & ~other.pies, other.pies & ~one.pies)
    )
    expected = np.bincount(study.labels, weights=pair.disputed.by_example, minlength=len(study.classes))
    return {
        name: {"shared": int(s), "unique": int(m), "unique_to_other": int(t), "expected": float(e)}
        for name, s, m, t, e in zip(study.classes, shared, mine, theirs, expected, strict=True)
    }


def _by_class(study: StudyColumns, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.bincount(study.labels[mask], minlength=len(study.classes))


# ------------------------------------------------------------------------------------------------- table and figures


def _table(pairs: Sequence[_Pair], comparisons: int) -> Table:
    return Table(
        title="PIEs that two comparisons share",
        columns=(
            Column("Comparisons"),
            Column("First", ",d", "PIEs"),
            Column("Second", ",d", "PIEs"),
            Column("Shared", ",d", "PIEs"),
            Column("Jaccard", ".2f", "PIEs"),
            Column("By chance", ",.1f", DISPUTED),
            Column("Ratio", ".1f", DISPUTED),
            Column("p", ".2g", DISPUTED),
            Column("Smallest p", ".2g", DISPUTED),
            Column("By chance", ",.1f", PLAIN),
            Column("p", ".2g", PLAIN),
        ),
        rows=[_row(pair) for pair in pairs],
        note=_note(pairs, comparisons),
    )


def _row(pair: _Pair) -> tuple[Any, ...]:
    one, other = pair.one, pair.other
    p, smallest_p, plain_p = pair.tests
    chance = pair.disputed.expected, pair.ratio, p, smallest_p, pair.plain.expected, plain_p
    return f"{one.name} and {other.name}", one.count, other.count, pair.disputed.shared, pair.jaccard, *chance


def _note(pairs: Sequence[_Pair], comparisons: int) -> str:
    if comparisons < 2:
        return "An overlap takes two comparisons."
    if not pairs:
        return f"No two of the {comparisons} comparisons are equally sparse."
    which = "" if comparisons <= FEW else "Only comparisons that are equally sparse. "
    return (
        f"{which}Jaccard: shared of all that are PIEs of either. By chance: shared if either were drawn from examples "
        "that the reference members dispute equally, or from all; ratio: shared to that; p: how often chance shares as "
        "many. Each p stands as it is. Votes do not tell all of how hard an example is: the ratio is 1.2 in simulated "
        "studies where pruning changes nothing. No p stands where a population is in both comparisons, as its seed "
        f"noise makes PIEs of both, and neither ratio nor p where a reference has fewer than {VOTERS} members."
    )


def _figure(study: StudyColumns, number: int, pairs: Sequence[_Pair]) -> Bars:
    one, other = pairs[0].titles
    found = [f"{pair.sparsity} {pair.disputed.shared:,} ({pair.disputed.expected:.1f})" for pair in pairs]
    return Bars(
        name=f"pie-overlap.{number}",
        title=f"PIEs by class: {one} and {other}",
        caption=f"Strong: PIEs of both {one} and {other}; light: of one alone. Shared in all, and in brackets by "
        f"chance among equally disputed examples: {', '.join(found)}."
        + (" Each panel has a scale of its own." if len(pairs) > 1 else ""),
        categories=study.classes,
        value_name="PIEs",
        panels=tuple(BarPanel(pair.sparsity, _bars(study, pair)) for pair in pairs),
        one_scale=False,
    )


def _bars(study: StudyColumns, pair: _Pair) -> tuple[Bar, ...]:
    """A stack for each: shared below, unique above."""
    shared = _by_class(study, pair.shared)
    bars = []
    for title, change in zip(pair.titles, (pair.one, pair.other), strict=True):
        unique = _by_class(study, change.pies & ~pair.shared)
        bars += [Bar(f"{title}, shared", shared, title), Bar(f"{title}, unique", unique, title, light=True)]
    return tuple(bars)
