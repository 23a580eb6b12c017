"""How far members agree: the halves of one population, two members of it, a member and the pruned one of its seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import (
    Column,
    Comparison,
    Measure,
    Number,
    PopulationColumns,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._chance import SEED, SPLITS, deals, halves
from ._statistics import spread
from ._votes import Ties, Votes, ties_reading, vote_counts
from .pie import pruning_identified_exemplars

Groups = NDArray[np.bool_]
"""[R, members]: who stands in each of R groups."""


# ------------------------------------------------------------------------------------------------------ noise floor


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """PIEs between disjoint halves of one population, in which nothing but the seed differs."""

    members: int
    """In each half; of an odd number one is left out."""
    counts: NDArray[np.int64]
    """[R]: PIEs in each split into halves."""
    drawn: bool
    """Whether the splits were drawn because all distinct ones were too many."""
    by_example: NDArray[np.float64]
    """[N]: share of splits in which the example is a PIE; sums to the mean of ``counts``."""


def noise_floor(predictions: NDArray[np.integer], ties: Ties = "smallest") -> NoiseFloor | None:
    """Count PIEs between the halves of a population, of predicted labels [M, N]; None for one member.

    All distinct splits are taken where there are at most 200, else that many are drawn. Smaller groups have more PIEs
    by chance than larger ones. Raises ValueError unless labels are whole numbers ≥ 0 of at least one member.
    """
    votes = Votes.of(predictions, ties, smallest=max(1, len(predictions) // 2))
    if len(predictions) < 2:
        return None
    one, other, drawn = _splits(len(predictions))
    counts, often = votes.changed(one, other)
    by_example = np.zeros(predictions.shape[1])
    by_example[votes.examples] = often / len(counts)
    return NoiseFloor(len(predictions) // 2, counts, drawn, by_example)


def _splits(members: int) -> tuple[Groups, Groups, bool]:
    """Return the two halves of each split, and whether the splits were drawn."""
    half = members // 2
    if comb(members, 2 * half) * comb(2 * half, half) // 2 > SPLITS:
        return *halves(members, np.random.default_rng(SEED)), True
    one, _ = deals(half, half, SPLITS)
    if members == 2 * half:
        return one, ~one, False
    each_left_out = range(members)
    return (
        np.concatenate([np.insert(one, member, False, axis=1) for member in each_left_out]),
        np.concatenate([np.insert(~one, member, False, axis=1) for member in each_left_out]),
        False,
    )


# ------------------------------------------------------------------------------------------------------------ churn


def churn_by_seed(one: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return on which share of the examples member k of both populations, [M, N], differ: [M] in [0, 1].

    NaN where there are no examples. Raises ValueError where the shapes differ.
    """
    if one.ndim != 2 or one.shape != other.shape:
        raise ValueError(f"expected [members, examples] of the same shape: got {one.shape} and {other.shape}")
    if not one.shape[1]:
        return np.full(len(one), np.nan)
    differ: NDArray[np.float64] = np.mean(one != other, axis=1)
    return differ


def churn_between(one: NDArray[np.integer], other: NDArray[np.integer]) -> float | None:
    """Return the share of the examples on which a member of each population differ: mean over all pairs, in [0, 1].

    None where there are no examples. Raises ValueError as :func:`vote_counts` does.
    """
    mine, theirs = vote_counts(one), vote_counts(other)
    both = min(len(mine), len(theirs))
    pairs = one.size * len(other)
    return 1 - float((mine[:both] * theirs[:both]).sum()) / pairs if pairs else None


def churn_within(predictions: NDArray[np.integer]) -> float | None:
    """Return the share of the examples on which two members differ: mean over all pairs of members, in [0, 1].

    None for one member, and where there are no examples. Raises ValueError as :func:`vote_counts` does.
    """
    votes = vote_counts(predictions)
    pairs = predictions.size * (len(predictions) - 1)
    return 1 - float((votes * (votes - 1)).sum()) / pairs if pairs else None


def accuracy_on(predictions: NDArray[np.integer], labels: NDArray[np.integer], weights: NDArray[Any]) -> float | None:
    """Return how often members, [M, N], are right on the examples that have weights, [N]: mean over members, in [0, 1].

    A mask is a weight, too. None where no example has any.
    """
    if not weights.any():
        return None
    return float(np.average(np.mean(predictions == labels, axis=0), weights=weights))


# ---------------------------------------------------------------------------------------------------------- measure


@dataclass(frozen=True)
class _Agreement:
    """How far two populations agree."""

    reference: str
    other: str
    paired: bool
    """Whether churn is that of members of one seed, or of any two members."""
    churn: Number
    within: tuple[float | None, float | None]
    """Churn between two members of the reference, and of the other."""
    pies: int
    on_pies: tuple[float | None, float | None]
    """Accuracy of the reference, and of the other."""
    on_rest: tuple[float | None, float | None]

    @classmethod
    def of(
        cls, study: StudyColumns, reference: PopulationColumns, other: PopulationColumns, related: bool, ties: Ties
    ) -> _Agreement:
        paired = related and reference.seeds == other.seeds
        one, two = reference["prediction"], other["prediction"]
        within = churn_within(one), churn_within(two)
        churn = _churn(one, two, paired, chance=within[0])
        pies = pruning_identified_exemplars(one, two, ties)
        known = np.full(len(pies), study.labelled)
        on_pies, on_rest = (
            (accuracy_on(one, study.labels, where & known), accuracy_on(two, study.labels, where & known))
            for where in (pies, ~pies)
        )
        return cls(reference.name, other.name, paired, churn, within, int(pies.sum()), on_pies, on_rest)


def _churn(one: NDArray[np.integer], other: NDArray[np.integer], paired: bool, chance: float | None) -> Number:
    if not paired or not one.size:
        return Number(churn_between(one, other), chance=chance)
    by_seed = churn_by_seed(one, other)
    return Number(float(by_seed.mean()), spread(by_seed), chance=chance)


@register("agreement", source="after Milani Fard et al. 2016 (churn); Hooker et al. 2019, arXiv 1911.05248")
class Agreement(Measure):
    """How far seeds alone change predictions: PIEs between halves of the reference, churn; accuracy on PIEs."""

    needs = ()

    ties: Ties = "smallest"
    """Which class index wins of labels with as many votes."""

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate the noise floor of every reference, and the churn of every comparison and of its control."""
        populations = study.populations
        references = list(dict.fromkeys(each.reference for each in comparisons))
        summary = Summary(readings=[ties_reading(self.ties)])
        for name, population in populations.items():
            floor = noise_floor(population["prediction"], self.ties) if name in references else None
            summary.populations[name] = {
                "churn": churn_within(population["prediction"]),
                "noise_floor": None if floor is None else _noise(study, population, floor),
            }

        @cache  # comparisons may share a control
        def agreement(reference: str, other: str, related: bool) -> _Agreement:
            return _Agreement.of(study, populations[reference], populations[other], related, self.ties)

        found: dict[_Agreement, None] = {}
        for each in comparisons:
            pruned = agreement(each.reference, each.pruned, each.paired)
            control = agreement(each.reference, each.control, each.paired) if each.control is not None else None
            found |= dict.fromkeys([pruned, *([control] if control else [])])
            summary.comparisons.append(_as_json(pruned) | {"control": None if control is None else _as_json(control)})
            summary.certainty.append(_certainty(pruned))
        if comparisons:
            summary.tables = [_noise_table(summary.populations, references), _table(list(found))]
        return summary


# ------------------------------------------------------------------------------------------------------------- JSON


def _noise(study: StudyColumns, population: PopulationColumns, floor: NoiseFloor) -> dict[str, Any]:
    mean, examples = float(floor.counts.mean()), len(study.labels)
    return {
        "members": floor.members,
        "splits": len(floor.counts),
        "drawn": floor.drawn,
        "mean": mean,
        "fraction": mean / examples if examples else None,
        "lowest": int(floor.counts.min()),
        "highest": int(floor.counts.max()),
        "accuracy": accuracy_on(population["prediction"], study.labels, floor.by_example * study.labelled),
    }


def _as_json(found: _Agreement) -> dict[str, Any]:
    def by_population(pair: tuple[float | None, float | None]) -> dict[str, float | None]:
        return dict(zip(("reference", "pruned"), pair, strict=True))

    return {
        "population": found.other,
        "churn": found.churn.value,
        "std": found.churn.spread,
        "paired": found.paired,
        "churn_within": by_population(found.within),
        "pies": found.pies,
        "accuracy_on_pies": by_population(found.on_pies),
        "accuracy_on_rest": by_population(found.on_rest),
    }


# ----------------------------------------------------------------------------------------------------------- tables


def _noise_table(populations: dict[str, Any], references: Sequence[str]) -> Table:
    keys = ("splits", "mean", "fraction", "lowest", "highest", "accuracy")
    rows: list[tuple[Any, ...]] = []
    for name in references:
        noise = populations[name]["noise_floor"]
        sizes = f"{noise['members']} + {noise['members']}" if noise else None
        rows.append((name, sizes, *(noise[key] if noise else None for key in keys)))
    return Table(
        title="Noise floor: PIEs between halves of a reference population",
        columns=(
            Column("Population"),
            Column("Members"),
            Column("Splits", ",d"),
            Column("PIEs", ",.1f"),
            Column("Share", ".1%"),
            Column("Fewest", ",d"),
            Column("Most", ",d"),
            Column("Accuracy on them", ".1%"),
        ),
        rows=rows,
        note="Random disjoint halves of one population differ in nothing but seeds: mean, fewest and most PIEs over "
        "splits. Smaller groups have more PIEs by chance than larger ones, so this is no substitute for the number by "
        "chance of a comparison of whole populations. Accuracy on them: of all members, on the PIEs of all splits.",
    )


def _table(agreements: Sequence[_Agreement]) -> Table:
    differ, on_pies, elsewhere = "Two members differ on", "Accuracy on PIEs", "Accuracy elsewhere"
    return Table(
        title="Agreement of members",
        columns=(
            Column("Populations"),
            Column("Churn", ".2%", differ),
            Column("In reference", ".2%", differ),
            Column("In other", ".2%", differ),
            Column("PIEs", ",d", on_pies),
            Column("Reference", ".1%", on_pies),
            Column("Other", ".1%", on_pies),
            Column("Reference", ".1%", elsewhere),
            Column("Other", ".1%", elsewhere),
        ),
        rows=[
            (f"{each.reference} → {each.other}", each.churn, *each.within, each.pies, *each.on_pies, *each.on_rest)
            for each in agreements
        ],
        note=f"Churn: share of examples on which {_whose(agreements)} predict different labels. In reference, "
        "in other: the same for two members of one population, mean over all pairs. Accuracy: mean over members. PIEs "
        "are the examples on which populations disagree, so that low accuracy on them is no effect of pruning in "
        "itself: see that on the PIEs between halves of the reference.",
    )


# ------------------------------------------------------------------------------------------------------------ words


def _whose(agreements: Sequence[_Agreement]) -> str:
    """Say what two members churn is about."""
    seeds = "the members of one seed (mean ± standard deviation over seeds, ddof 1)"
    anyone = "a member of each (mean over all pairs)"
    paired = {each.paired for each in agreements}
    if paired == {True, False}:
        return f"{seeds}, or, where seeds do not pair members, {anyone}"
    return seeds if paired == {True} else anyone


def _certainty(found: _Agreement) -> str:
    """Hold the churn of a pruned member against that of another seed."""
    churn, seeds = found.churn.value, found.within[0]
    if churn is None:
        return ""
    whose = f"that of {found.other} with the same seed" if found.paired else f"one of {found.other}"
    text = f"a member of {found.reference} and {whose} differ on {_percent(churn)} of the examples"
    if seeds is None:
        return f"{text}, and as {found.reference} has one member, nobody knows what a seed changes"
    return f"{text}, two members of {found.reference} on {_percent(seeds)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
