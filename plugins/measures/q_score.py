"""Q-Score: how sharply an example's representation stands out, from its features alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import (
    Column,
    Comparison,
    Measure,
    ObservedMember,
    Points,
    PopulationColumns,
    StudyColumns,
    Summary,
    Table,
    register,
)

from .pie import pruning_identified_exemplars

QUANTITIES = {"q": "Q-Score", "z": "Z-score", "l1": "‖h‖₁"}
BLOCK = 1024
"""Rows worked on at once: they stay in the processor's cache."""

Scores = NDArray[np.float64]


def q_score(features: NDArray[np.floating]) -> tuple[Scores, Scores, Scores]:
    """Return Q-Score, Z-score and L1 norm, each float64 [N], of features [N, D].

    With h ← h / ‖h‖₂: Z = (max h − mean h) / std h (ddof 0), Q = Z / ‖h‖₁ (Corti et al. 2022). Where all
    features of an example are equal none stands out: Z = Q = 0; where all are 0 there is no direction: ‖h‖₁ = 0, too.
    Features that are not finite give NaN. Raises ValueError unless features are [N, D] with D ≥ 1.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"features are [examples, dimensions] with at least one dimension: got {features.shape}")
    q, z, l1 = (np.empty(len(features)) for _ in range(3))
    space = np.empty((BLOCK, features.shape[1]))  # one for all blocks: fresh memory costs more than the arithmetic
    for start in range(0, len(features), BLOCK):
        rows = slice(start, start + BLOCK)
        block = space[: len(q[rows])]
        block[...] = features[rows]
        with np.errstate(invalid="ignore"):
            q[rows], z[rows], l1[rows] = _scores(block)
    return q, z, l1


def _scores(h: Scores) -> tuple[Scores, Scores, Scores]:
    """As :func:`q_score`; overwrites ``h``. Z does not depend on the length of h, so only ‖h‖₁ is divided by it."""
    length = np.sqrt(np.einsum("nd,nd->n", h, h))
    z, std = _standardised(h, length)
    near = np.flatnonzero(std <= 1e-3 * length)
    if len(near):  # all features nearly equal: moved to the first of them no digits cancel, and equal ones are 0
        moved = h[near] - h[near, :1]
        z[near], _ = _standardised(moved, np.sqrt(np.einsum("nd,nd->n", moved, moved)))
    l1 = np.abs(h, out=h) @ np.ones(h.shape[1]) / np.where(length == 0, 1, length)
    return z / np.where(l1 == 0, 1, l1), z, l1


def _standardised(h: Scores, length: Scores) -> tuple[Scores, Scores]:
    """Return (max − mean) / std, or 0 where std is, and std · √D; by moments, which read ``h`` less often."""
    dimensions = h.shape[1]
    mean = h @ np.ones(dimensions) / dimensions
    std = np.sqrt(np.maximum(length**2 / dimensions - mean**2, 0))
    return np.where(std == 0, 0, (h.max(axis=1) - mean) / np.where(std == 0, 1, std)), std * np.sqrt(dimensions)


@register("q_score", source="Corti et al. 2022, arXiv 2207.00200; after Kalibhat et al. 2022")
class QScore(Measure):
    """Q-Score, Z-score and L1 norm of the features: averaged over members per example, then over examples."""

    columns = tuple(QUANTITIES)
    published_keys = tuple(QUANTITIES)

    def observe(self, member: ObservedMember) -> dict[str, NDArray[Any]]:
        """Return the columns q, z and l1, [N]."""
        return dict(zip(QUANTITIES, q_score(member.features()), strict=True))

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate mean and standard deviation over examples for every population; plot every comparison."""
        averaged = {name: _over_members(population) for name, population in study.populations.items()}
        values = {name: _over_examples(each) for name, each in averaged.items()}
        return Summary(
            populations=dict(values),
            comparisons=[_compared(values, each) for each in comparisons],
            tables=[_table(values)],
            figures=[_figure(study, averaged, each) for each in comparisons],
            clauses=["" for _ in comparisons],
            readings=[
                "Q-Score: features divided by their L2 norm, standard deviation over dimensions with ddof 0 (as in the "
                "paper of Corti et al.); averaged over members per example, then mean and std (ddof 0) over examples"
            ],
        )


def _over_members(population: PopulationColumns) -> dict[str, Scores]:
    return {key: population[key].mean(axis=0, dtype=np.float64) for key in QUANTITIES}


def _over_examples(averaged: dict[str, Scores]) -> dict[str, dict[str, float]]:
    found = {}
    for key, per_example in averaged.items():
        some = per_example.size > 0
        found[key] = {
            "mean": float(per_example.mean()) if some else float("nan"),
            "std": float(per_example.std()) if some else float("nan"),
        }
    return found


def _compared(values: dict[str, Any], comparison: Comparison) -> dict[str, Any]:
    return {
        "reference": values[comparison.reference],
        "pruned": values[comparison.pruned],
        "control": None if comparison.control is None else values[comparison.control],
    }


def _table(values: dict[str, dict[str, dict[str, float]]]) -> Table:
    columns = [Column("Population")]
    for key, text in QUANTITIES.items():
        columns += [Column(text, ".3f", key=key), Column(f"std, {text}", ".3f")]
    rows: list[tuple[Any, ...]] = [
        (name, *(found[key][statistic] for key in QUANTITIES for statistic in ("mean", "std")))
        for name, found in values.items()
    ]
    return Table(
        title="Representations",
        columns=tuple(columns),
        rows=rows,
        note="Mean and standard deviation over examples of the mean over members.",
        about=tuple((name,) for name in values),
    )


def _figure(study: StudyColumns, averaged: dict[str, dict[str, Scores]], comparison: Comparison) -> Points:
    """Figure 2 of Corti et al.: where do PIEs stand out less?"""
    reference, pruned = comparison.reference, comparison.pruned
    one, other = study.populations[reference], study.populations[pruned]
    return Points(
        name=f"q-score.{comparison.slug}",
        title=f"Q-Score: {comparison.name}",
        caption=f"A point per example: its Q-Score, mean over members, in {reference} and in {pruned}. On the line "
        "it is the same in both, below the line it is lower after pruning. PIEs, whose modal label changes (ties go to "
        "the smallest class index), are drawn last.",
        comparison=comparison,
        x=averaged[reference]["q"],
        y=averaged[pruned]["q"],
        x_name=f"Q-Score in {reference}",
        y_name=f"Q-Score in {pruned}",
        marked=pruning_identified_exemplars(one["prediction"], other["prediction"]),
    )
