"""Sparsity by layer: where the zeros are, and the arithmetic that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import (
    Bar,
    BarPanel,
    Bars,
    Column,
    Comparison,
    Measure,
    ObservedMember,
    StudyColumns,
    Summary,
    Table,
    register,
)

MOST_DRAWN = 30
"""Layers in a figure: more could not be told apart at column width."""
MOST_NAMED = 3
"""Empty layers that a sentence names one by one."""
THEORY = (
    "MACs are the multiply–accumulates of one image, biases left out; those left are theory, the ones whose weight is "
    "not zero: zeros scattered over a layer save no time by themselves on usual hardware"
)

Shares = NDArray[np.float64]


def macs_left(macs: NDArray[np.integer], weights: NDArray[np.integer], zeros: NDArray[np.integer]) -> Shares:
    """Return the multiply–accumulates with a weight that is not zero, [M, L], of layers that have ``macs`` [L] in all.

    ``weights`` [L] is how many a layer has, ``zeros`` [M, L] how many of them are zero: every weight of a layer takes
    part in equally many. Raises ValueError unless 0 ≤ zeros ≤ weights and there are weights.
    """
    if np.any(weights <= 0) or np.any(zeros < 0) or np.any(zeros > weights):
        raise ValueError("a layer has at least one weight, and no more zeros than weights")
    left: Shares = macs * ((weights - zeros) / weights)
    return left


@dataclass(frozen=True)
class _Layers:
    """The layers of a population's members; all have the same, but for their zeros."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    weights: NDArray[np.int64]
    """[L]."""
    zeros: NDArray[np.int64]
    """[M, L]."""
    macs: NDArray[np.int64]
    """[L]."""

    @classmethod
    def of(cls, notes: Sequence[Mapping[str, Any]]) -> _Layers:
        members = [list(zip(*note["layers"], strict=True)) for note in notes]
        names, kinds, weights, _, macs = members[0]
        zeros = np.array([member[3] for member in members])
        return cls(names, kinds, np.array(weights), zeros, np.array(macs))

    @property
    def zero(self) -> Shares:
        """Shares of zeros, [M, L]."""
        shares: Shares = self.zeros / self.weights
        return shares

    @property
    def zero_overall(self) -> float:
        """Mean over members."""
        return float(self.zeros.sum(axis=1).mean() / self.weights.sum())

    @cached_property
    def macs_left(self) -> Shares:
        """[L], mean over members."""
        mean: Shares = macs_left(self.macs, self.weights, self.zeros).mean(axis=0)
        return mean

    @property
    def share_of_macs(self) -> float:
        """Of all multiply–accumulates, those that are left."""
        return float(self.macs_left.sum() / self.macs.sum())

    @property
    def emptied(self) -> NDArray[np.int64]:
        """In how many members nothing is left of each layer, [L]."""
        members: NDArray[np.int64] = np.count_nonzero(self.zeros == self.weights, axis=0)
        return members


@register("layers")
class Layers(Measure):
    """Weights, zeros and theoretical multiply–accumulates of every convolution and linear layer."""

    notes = True

    def note(self, member: ObservedMember) -> dict[str, Any]:
        """Return the layers in the order of the network: [name, kind, weights, zeros, multiply–accumulates] each."""
        return {"layers": [list(astuple(layer)) for layer in member.layers()]}

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate what is left of every population, and layer by layer of every comparison."""
        found = {name: _Layers.of(population.notes(self.name)) for name, population in study.populations.items()}
        summary = Summary(
            populations={name: _as_json(layers) for name, layers in found.items()},
            tables=[_overall(found)],
            readings=["layers: every convolution and linear layer, weights without biases, tied ones counted once"],
        )
        for each in comparisons:
            before, after = found[each.reference], found[each.pruned]
            new = (after.emptied > 0) & (before.emptied == 0)
            summary.comparisons.append(
                {
                    "macs_left": after.share_of_macs,
                    "emptied": [name for name, empty in zip(after.names, new, strict=True) if empty],
                }
            )
            summary.clauses.append(_clause(after, new))
            summary.tables.append(_by_layer(each, before, after))
            summary.figures.append(_figure(each, before, after))
        return summary


def _as_json(layers: _Layers) -> dict[str, Any]:
    weights = int(layers.weights.sum())
    columns = {
        "layer": layers.names,
        "kind": layers.kinds,
        "weights": layers.weights,
        "zero": layers.zero.mean(axis=0),
        "lowest": layers.zero.min(axis=0),
        "highest": layers.zero.max(axis=0),
        "macs": layers.macs,
        "macs_left": layers.macs_left,
        "emptied": layers.emptied,
    }
    return {
        "weights": weights,
        "nonzero": weights * (1 - layers.zero_overall),
        "zero": layers.zero_overall,
        "macs": int(layers.macs.sum()),
        "macs_left": float(layers.macs_left.sum()),
        "layers": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }


# ----------------------------------------------------------------------------------------------------------- tables


def _overall(found: dict[str, _Layers]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name, layers in found.items():
        weights, zero = int(layers.weights.sum()), layers.zero_overall
        macs, left = int(layers.macs.sum()), float(layers.macs_left.sum())
        emptied = int(np.count_nonzero(layers.emptied))
        rows.append((name, weights, weights * (1 - zero), zero, macs, left, layers.share_of_macs, emptied))
    return Table(
        title="Weights and arithmetic",
        columns=(
            Column("Population"),
            Column("Weights", ",d"),
            Column("Not zero", ",.0f"),
            Column("Zero", ".2%"),
            Column("MACs", ",d"),
            Column("MACs left", ",.0f"),
            Column("Share left", ".2%"),
            Column("Empty layers", "d"),
        ),
        rows=rows,
        note=f"Of convolutions and linear layers, mean over members. {THEORY}. "
        "Empty layers: those of which nothing is left in some member.",
    )


def _by_layer(comparison: Comparison, before: _Layers, after: _Layers) -> Table:
    columns = (
        after.names,
        after.kinds,
        after.weights.tolist(),
        before.zero.mean(axis=0).tolist(),
        after.zero.mean(axis=0).tolist(),
        after.zero.min(axis=0).tolist(),
        after.zero.max(axis=0).tolist(),
        before.macs_left.tolist(),
        after.macs_left.tolist(),
    )
    total = (
        "all layers",
        "",
        int(after.weights.sum()),
        before.zero_overall,
        after.zero_overall,
        None,
        None,
        float(before.macs_left.sum()),
        float(after.macs_left.sum()),
    )
    return Table(
        title=f"Sparsity by layer: {comparison.name}",
        columns=(
            Column("Layer"),
            Column("Kind"),
            Column("Weights", ",d"),
            Column(f"Zero in {comparison.reference}", ".2%"),
            Column(f"Zero in {comparison.pruned}", ".2%"),
            Column("Lowest", ".2%"),
            Column("Highest", ".2%"),
            Column(f"MACs left in {comparison.reference}", ",.0f"),
            Column(f"MACs left in {comparison.pruned}", ",.0f"),
        ),
        rows=[*zip(*columns, strict=True), total],
        note=f"Zero: share of the weights, mean over members; lowest and highest: among the {len(after.zeros)} members "
        f"of {comparison.pruned}. MACs left are theory: zeros save no time by themselves on usual hardware.",
        comparison=comparison,
    )


# ------------------------------------------------------------------------------------------------ words and figure


def _clause(layers: _Layers, new: NDArray[np.bool_]) -> str:
    """Name the layers that pruning emptied, and in how many members where it is not all; "" where there are none."""
    members = len(layers.zeros)
    found = [
        layers.names[i] + (f" ({often} of {members} members)" if (often := layers.emptied[i]) < members else "")
        for i in np.flatnonzero(new)
    ]
    if not found:
        return ""
    more = f" and of {len(found) - MOST_NAMED} more layers" if len(found) > MOST_NAMED else ""
    return f"nothing is left of {', '.join(found[:MOST_NAMED])}{more}"


def _figure(comparison: Comparison, before: _Layers, after: _Layers) -> Bars:
    """Show what is left of the largest layers, in the order of the network."""
    shown = np.sort(np.argsort(-after.weights, kind="stable")[:MOST_DRAWN])
    left, reference = (100 * (1 - layers.zero.mean(axis=0)) for layers in (after, before))
    bars = [Bar(comparison.pruned, left[shown])]
    if np.any(reference < 100):
        bars.insert(0, Bar(comparison.reference, reference[shown]))
    least, most = (f"{after.names[i]} ({left[i]:.2f} %)" for i in (int(np.argmin(left)), int(np.argmax(left))))
    said = "The same share is left of all." if np.ptp(left) < 0.005 else f"Least is left of {least}, most of {most}."
    omitted = len(after.names) - len(shown)
    return Bars(
        name=f"layers.{comparison.slug}",
        title=f"Weights left by layer: {comparison.name}",
        caption=f"Share of the weights of each layer that are not zero, mean over {len(after.zeros)} members of "
        f"{comparison.pruned}; {100 * (1 - after.zero_overall):.2f} % of all weights. {said}"
        + (f" The {len(shown)} largest layers; {omitted} smaller ones are in the table alone." if omitted else ""),
        comparison=comparison,
        categories=tuple(after.names[i].removeprefix("encoder.") for i in shown),
        value_name="weights left, %",
        panels=(BarPanel("", tuple(bars)),),
    )
