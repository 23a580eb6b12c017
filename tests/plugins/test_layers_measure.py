"""Sparsity by layer, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from prunekit import Comparison, Layer
from prunekit.figures import Bars
from prunekit.plugins.measures.layers import Layers, macs_left
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.tables import Summary

COMPARISON = Comparison("dense", "sparse", None, True)


class Member:
    """A member of which only the layers are known."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    def layers(self) -> tuple[Layer, ...]:
        return self._layers


def summary(*, comparisons: Sequence[Comparison] = (COMPARISON,), **populations: list[list[int]]) -> Summary:
    """Summarise populations of which only the zeros, [M][L], differ: layers of 10, 20, 30… weights, used 100 times."""
    measure = Layers()
    made = {}
    for name, members in populations.items():
        notes = [measure.note(Member([layer(i, zeros) for i, zeros in enumerate(each)])) for each in members]  # type: ignore[arg-type]
        made[name] = ArrayPopulation(name, tuple(range(len(members))), 0.0, {}, noted={"layers": notes})
    return measure.summarise(ArrayStudy(("a",), ("0",), np.zeros(1, dtype=np.int64), made), comparisons)


def layer(i: int, zeros: int) -> Layer:
    weights = 10 * (i + 1)
    return Layer(f"encoder.{i}", "conv", weights, zeros, 100 * weights)


def test_arithmetic_that_is_left_by_hand() -> None:
    left = macs_left(np.array([900, 10]), np.array([9, 5]), np.array([[0, 5], [3, 1]]))
    assert left.tolist() == [[900, 0], [pytest.approx(600), 8]]


@pytest.mark.parametrize(("weights", "zeros"), [(4, 5), (4, -1), (0, 0)])
def test_more_zeros_than_weights_are_refused(weights: int, zeros: int) -> None:
    with pytest.raises(ValueError, match="no more zeros than weights"):
        macs_left(np.array([1]), np.array([weights]), np.array([[zeros]]))


def test_a_note_is_a_row_per_layer() -> None:
    found = Layers().note(Member([Layer("stem", "conv", 9, 3, 90), Layer("head", "linear", 4, 0, 4)]))  # type: ignore[arg-type]
    assert found == {"layers": [["stem", "conv", 9, 3, 90], ["head", "linear", 4, 0, 4]]}


def test_a_population_by_hand() -> None:
    # of 10 + 20 weights 5 + 10 are zero in one member, 10 + 10 in the other: shares .5 and 1, .5 and .5
    found = summary(dense=[[0, 0]], sparse=[[5, 10], [10, 10]]).populations["sparse"]
    rows = found.pop("layers")
    assert found == {
        "weights": 30,
        "nonzero": pytest.approx(12.5),
        "zero": pytest.approx(17.5 / 30),
        "macs": 3000,
        "macs_left": pytest.approx(250 + 1000),
    }
    assert [list(row.values()) for row in rows] == [
        ["encoder.0", "conv", 10, 0.75, 0.5, 1.0, 1000, 250, 1],
        ["encoder.1", "conv", 20, 0.5, 0.5, 0.5, 2000, 1000, 0],
    ]


def test_tables_by_hand() -> None:
    overall, by_layer = summary(dense=[[0, 5]], sparse=[[5, 10], [10, 10]]).tables
    dense, sparse = overall.rows
    assert dense == ("dense", 30, 25, pytest.approx(1 / 6), 3000, 2500, pytest.approx(5 / 6), 0)
    assert sparse == ("sparse", 30, pytest.approx(12.5), pytest.approx(17.5 / 30), 3000, 1250, pytest.approx(5 / 12), 1)
    assert "theory" in overall.note
    assert by_layer.comparison == COMPARISON
    assert by_layer.rows == [
        ("encoder.0", "conv", 10, 0.0, 0.75, 0.5, 1.0, 1000, 250),
        ("encoder.1", "conv", 20, 0.25, 0.5, 0.5, 0.5, 1500, 1000),
        ("all layers", "", 30, pytest.approx(5 / 30), pytest.approx(17.5 / 30), None, None, 2500, 1250),
    ]
    assert "theory" in by_layer.note


def test_layers_that_pruning_emptied_are_named_with_the_members() -> None:
    found = summary(dense=[[10, 0, 0], [0, 0, 0]], sparse=[[10, 20, 30], [10, 0, 30]])
    assert found.clauses == ["nothing is left of encoder.1 (1 of 2 members), encoder.2"]
    assert found.comparisons[0]["emptied"] == ["encoder.1", "encoder.2"]  # encoder.0 was empty before


def test_of_many_empty_layers_a_few_are_named() -> None:
    found = summary(dense=[[0] * 5], sparse=[[10, 20, 30, 40, 50]])
    assert found.clauses == ["nothing is left of encoder.0, encoder.1, encoder.2 and of 2 more layers"]
    assert found.comparisons == [{"macs_left": 0, "emptied": [f"encoder.{i}" for i in range(5)]}]


def test_nothing_is_said_where_no_layer_is_empty() -> None:
    found = summary(dense=[[0, 0]], sparse=[[9, 19]])
    assert found.clauses == [""]
    assert found.comparisons == [{"macs_left": pytest.approx(200 / 3000), "emptied": []}]


def test_a_study_without_comparisons_has_the_table_of_all_populations_alone() -> None:
    found = summary(comparisons=(), dense=[[0]], sparse=[[9]])
    assert [len(each) for each in (found.tables, found.figures, found.clauses, found.comparisons)] == [1, 0, 0, 0]


def figure(found: Summary) -> Bars:
    (each,) = found.figures
    assert isinstance(each, Bars)
    return each


def test_a_figure_shows_what_is_left() -> None:
    drawn = figure(summary(dense=[[0, 0]], sparse=[[5, 15], [7, 15]]))
    (bar,) = drawn.panels[0].bars
    assert (bar.name, bar.values.tolist()) == ("sparse", [pytest.approx(40), pytest.approx(25)])
    assert drawn.categories == ("0", "1")
    assert "Least is left of encoder.1 (25.00 %), most of encoder.0 (40.00 %)" in drawn.caption
    assert drawn.comparison == COMPARISON


def test_layers_that_were_pruned_alike_are_said_to_be() -> None:
    assert (
        "60.00 % of all weights. The same share is left of all."
        in figure(summary(dense=[[0, 0]], sparse=[[4, 8], [4, 8]])).caption
    )


def test_a_reference_that_is_pruned_stands_beside() -> None:
    drawn = figure(summary(dense=[[0, 2]], sparse=[[5, 15]]))
    assert [bar.name for bar in drawn.panels[0].bars] == ["dense", "sparse"]
    assert drawn.panels[0].bars[0].values.tolist() == [100, pytest.approx(90)]


def test_of_a_long_network_the_largest_layers_are_drawn_in_its_order() -> None:
    zeros = list(range(40))
    zeros[0], zeros[1] = 10, 0  # the extremes are among the small layers
    drawn = figure(summary(dense=[[0] * 40], sparse=[zeros]))
    assert drawn.categories == tuple(str(i) for i in range(10, 40))
    assert len(drawn.panels[0].bars[0].values) == 30
    assert drawn.panels[0].bars[0].values[0] == pytest.approx(100 * (1 - 10 / 110))
    assert drawn.caption.endswith("The 30 largest layers; 10 smaller ones are in the table alone.")
    assert "Least is left of encoder.0 (0.00 %), most of encoder.1 (100.00 %)" in drawn.caption
