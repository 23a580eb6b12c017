"""Prediction depth: how far into a network the nearest neighbours of an example still tell the wrong class."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, erfc, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import (
    Column,
    Comparison,
    InputError,
    Measure,
    ObservedMember,
    Points,
    PopulationColumns,
    PrunekitError,
    Representation,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._chance import permutation_test
from ._neighbours import neighbour_votes
from ._statistics import spread
from .pie import pruning_identified_exemplars

__all__ = ["PredictionDepth", "neighbour_votes", "prediction_depth"]

Depths = NDArray[np.float64]
"""[N]: depth of each example, mean over members."""


def prediction_depth(
    votes: NDArray[np.integer], reference: NDArray[np.integer], *, lowest: int = 1
) -> NDArray[np.int64]:
    """Return the last probe, counted from 1, whose vote differs from the reference: int64 [N] in ``lowest`` … P.

    ``votes`` [P, N] are the labels that P probes give N examples, the probe next to the input first; ``reference`` [N]
    are the true labels (Corti et al. 2022) or the network's predictions (Baldock et al. 2021). Where no probe differs
    the depth is ``lowest``. 1 is how Corti et al. count. With 0 and the input as first probe the depth is the layer of
    Baldock et al.: they count the input as 0, and look for the first probe from which all agree.

    Raises ValueError unless there is at least one probe and one reference per example.
    """
    votes, reference = np.asarray(votes), np.asarray(reference)
    if votes.ndim != 2 or not len(votes) or votes.shape[1:] != reference.shape:
        raise ValueError(
            "votes are [probes, examples] of at least one probe, references [examples]: "
            f"got {votes.shape} and {reference.shape}"
        )
    differ = votes != reference
    last = np.where(differ.any(axis=0), len(votes) - differ[::-1].argmax(axis=0), 0)
    return np.maximum(last, lowest).astype(np.int64)


def difference_p(values: Depths, marked: NDArray[np.bool_]) -> float | None:
    """Return how often marks dealt at random part the means of marked and other ``values`` [N] as much, two-sided.

    Normal approximation of the permutation distribution (Pitman 1937), no smaller than a permutation can tell. None
    where all or no examples are marked.
    """
    examples, count = len(values), int(marked.sum())
    if count in (0, examples):
        return None
    deviation = sqrt(values.var(ddof=1) / count * (1 - count / examples))
    distance = abs(values[marked].mean() - values.mean())
    p = erfc(distance / deviation / sqrt(2)) if deviation > 0 else 1.0
    return max(p, min(1.0, 2 / comb(examples, count)))


@register(
    "prediction_depth",
    version=2,
    source="Baldock et al. 2021, arXiv 2106.09647; as in Corti et al. 2022, arXiv 2207.00200",
)
class PredictionDepth(Measure):
    """Depth at which an example's class is decided, by k-nearest-neighbour probes along the network."""

    columns = ("depth",)
    published_keys = ("pies", "others")
    summary_options = frozenset({"members"})

    probes: str | list[str] = Field(default="paper", min_length=1)
    """Where to look: ``paper`` (where a paper did; of a model that none did, ``blocks``), ``blocks`` (the images, after
    every block, the class probabilities: Baldock et al.), ``convolutions``, or a list of patterns of module names,
    such as ``groups.*.conv2`` or, for what goes into a module, ``groups.*.conv2:input``."""
    reference: Literal["label", "prediction"] = "label"
    """What a probe has to agree with: the true label (Corti et al.) or the member's own prediction (Baldock et al.)."""
    pool: bool = True
    """Whether maps are averaged over their positions, and tokens over each other; else they are taken whole."""
    k: int = Field(default=30, gt=0)
    """Neighbours that vote, of the un-augmented training images; of labels with as many votes the smallest wins."""
    members: int = Field(default=5, gt=0)
    """Of how many members of each population, the first ones by seed."""

    @property
    def most_members(self) -> int:
        return self.members

    def observe(self, member: ObservedMember) -> dict[str, NDArray[Any]]:
        """Return the column depth, int64 [N]."""
        labels, logits = member.bank_labels(), member.logits()

        def votes(held: Representation) -> NDArray[np.int64]:
            itself = held.bank is held.queries
            if self.k > (most := len(held.bank) - itself):
                raise InputError(f"prediction_depth: k is {self.k:,}, but there are {most:,} training images to vote")
            try:
                return neighbour_votes(held.bank, labels, held.queries, self.k, logits.shape[1], exclude_self=itself)
            except ValueError as error:
                raise PrunekitError(f"prediction_depth: probe {held.probe}: {error}") from None

        # map, not a loop: it lets go of each representation before it asks for the next
        by_probe = np.stack(list(map(votes, member.representations(self.probes, pool=self.pool))))
        if self.reference == "label":
            return {"depth": prediction_depth(by_probe, member.labels())}
        return {"depth": prediction_depth(by_probe, logits.argmax(axis=1), lowest=0)}

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate the mean depth of every population, and of the PIEs and other examples of every comparison."""
        depths = {name: _over_members(population) for name, population in study.populations.items()}
        summary = Summary(
            populations={name: _over_examples(each) for name, each in study.populations.items()},
            readings=[self._reading],
            clauses=["" for _ in comparisons],
        )
        summary.tables.append(_table(summary.populations))
        rows: list[tuple[Any, ...]] = []
        about: list[tuple[str, ...]] = []
        for each in comparisons:
            one, other = (study.populations[name]["prediction"] for name in (each.reference, each.pruned))
            pies, by_chance = pruning_identified_exemplars(one, other), _by_chance(study, each)
            names = {"reference": each.reference, "pruned": each.pruned, "control": each.control}
            found = {role: _parts(depths[name], pies, by_chance) if name else None for role, name in names.items()}
            rows += [(each.name, names[role], *parts.values()) for role, parts in found.items() if parts]
            about += [(name, each.reference, each.pruned) for name in names.values() if name]
            summary.comparisons.append(found)
            summary.figures.append(_figure(depths, each, pies))
        if comparisons:
            summary.tables.append(_pie_table(rows, about))
        return summary

    @property
    def _reading(self) -> str:
        where = self.probes if isinstance(self.probes, str) else ", ".join(self.probes)
        where = "paper (blocks, of a model that no paper probed)" if where == "paper" else where
        pooled = "averaged over positions" if self.pool else "taken whole"
        what = (
            "the true label, at least 1 (as Corti et al.)"
            if self.reference == "label"
            else "the member's own prediction, 0 where none does (as Baldock et al.)"
        )
        return (
            f"prediction depth: the last probe, counted from 1, whose vote differs from {what}; votes of the {self.k} "
            f"nearest un-augmented training images (exact, Euclidean; ties go to the smallest class); probes: {where}, "
            f"{pooled}; averaged over at most {self.members} members"
        )


def _over_members(population: PopulationColumns) -> Depths:
    depths: Depths = population["depth"].mean(axis=0, dtype=np.float64)
    return depths


def _over_examples(population: PopulationColumns) -> dict[str, Any]:
    """Return mean depth over examples, its deviation over members, and how many members these are."""
    depths = population["depth"]
    if not depths.size:
        return {"mean": None, "std": None, "members": len(depths)}
    by_member = depths.mean(axis=1, dtype=np.float64)
    return {"mean": float(by_member.mean()), "std": spread(by_member), "members": len(depths)}


def _by_chance(study: StudyColumns, comparison: Comparison) -> NDArray[np.float64]:
    """Return how often each example changes its modal label when members are dealt anew, [N]."""
    one, other = (study.populations[name] for name in (comparison.reference, comparison.pruned))
    paired = comparison.paired and one.seeds == other.seeds
    return permutation_test(one["prediction"], other["prediction"], paired=paired).by_example


def _parts(depths: Depths, pies: NDArray[np.bool_], by_chance: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the mean depth of PIEs, of PIEs by chance, and of other examples, in the order of the table."""
    marked, others = _mean(depths, pies), _mean(depths, ~pies)
    return {
        "pies": marked,
        "by_chance": _mean(depths, by_chance),
        "others": others,
        "difference": None if marked is None or others is None else marked - others,
        "p": difference_p(depths, pies),
    }


def _mean(depths: Depths, weights: NDArray[Any]) -> float | None:
    return float(np.average(depths, weights=weights)) if weights.any() else None


# ---------------------------------------------------------------------------------------------- tables and figure


def _table(populations: dict[str, dict[str, Any]]) -> Table:
    return Table(
        title="Prediction depth",
        columns=(Column("Population"), Column("Members", "d"), Column("Mean depth", ".2f"), Column("Std", ".2f")),
        rows=[(name, found["members"], found["mean"], found["std"]) for name, found in populations.items()],
        note="Mean over examples and members; standard deviation (ddof 1) over members.",
    )


def _pie_table(rows: list[tuple[Any, ...]], about: list[tuple[str, ...]]) -> Table:
    """Tables 5 and 6 of Corti et al."""
    return Table(
        title="Prediction depth of PIEs",
        columns=(
            Column("Populations"),
            Column("Depth in"),
            Column("PIEs", ".2f", key="pies"),
            Column("PIEs by chance", ".2f"),
            Column("Other examples", ".2f", key="others"),
            Column("Difference", "+z.2f"),
            Column("p", ".2g"),
        ),
        rows=rows,
        note="Mean depth of the examples whose modal label changes from one population to the other (of all their "
        "members; ties go to the smallest class index) and of all others. PIEs by chance: of those that change it when "
        "it does not matter which population a member belongs to; hard examples do, and are deep. p: how often as many "
        "examples drawn at random are as far from the others, either way; at least what so few can tell.",
        about=tuple(about),
    )


def _figure(depths: dict[str, Depths], comparison: Comparison, pies: NDArray[np.bool_]) -> Points:
    """Figure 3 of Corti et al."""
    reference, pruned = comparison.reference, comparison.pruned
    return Points(
        name=f"prediction-depth.{comparison.slug}",
        title=f"Prediction depth: {comparison.name}",
        caption=f"A point per example: its prediction depth, mean over members, in {reference} and in {pruned}. On the "
        "line it is the same in both, above the line it is decided later after pruning. PIEs, whose modal "
        "label changes (ties go to the smallest class index), are drawn last.",
        comparison=comparison,
        x=depths[reference],
        y=depths[pruned],
        x_name=f"depth in {reference}",
        y_name=f"depth in {pruned}",
        marked=pies,
    )
