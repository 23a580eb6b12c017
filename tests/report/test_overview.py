"""The overview of populations that repeat along an axis."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_overview import TWO, Kept, Told, numbered, overview, study_of

from prunekit.comparison import Comparison
from prunekit.errors import PrunekitError
from prunekit.observed import Place
from prunekit.plugins.measures.accuracy import Accuracy
from prunekit.plugins.measures.pie import Pie
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, LoadedStudy
from prunekit.report.build import build_report
from prunekit.report.text import to_csv
from prunekit.tables import Headline, Number, Summary


def test_rows_are_values_by_size_and_groups_are_methods_in_the_order_of_the_comparisons():
    accuracies = {"dense": Number(90.58, 0.38), **{name: Number(80 + i, 0.5) for i, name in enumerate(TWO)}}
    study = study_of(TWO, measures=[Kept(numbers=accuracies), Told(numbers=numbered(TWO))])
    table, headings, rows = overview(study)
    assert table.title == "Overview by s"
    assert headings == [("", "s"), ("A", "PIE"), ("A", "accuracy, %"), ("B", "PIE"), ("B", "accuracy, %")]
    assert rows == [
        ["reference", "–", "90.58 ± 0.38", "–", "90.58 ± 0.38"],
        ["0.3", "2", "81.00 ± 0.50", "3", "82.00 ± 0.50"],
        ["0.9", "1", "80.00 ± 0.50", "4", "83.00 ± 0.50"],
    ]
    assert "reference: dense." in table.note


def test_numbers_of_real_measures_and_their_marks():
    """All 8 members agree, and all pruned ones are wrong about the last of four: no swap moves the votes further."""
    labels = np.array([0, 1, 0, 1])
    wrong = np.array([0, 1, 0, 0])
    members = {"dense": [labels] * 8, "s0": [labels] * 8, "s9": [wrong] * 8}
    populations = {
        name: ArrayPopulation(name, tuple(range(8)), 0.0, {"prediction": np.array(values)})
        for name, values in members.items()
    }
    study = LoadedStudy(
        name="grid",
        data={"name": "made-up", "split": "test", "examples": 4},
        columns=ArrayStudy(("cat", "dog"), tuple("abcd"), labels, populations),
        comparisons=[Comparison("dense", "s0", None, True), Comparison("dense", "s9", None, True)],
        measures=[Accuracy(), Pie()],
        places={"s0": Place("sparsity", 0, "GMP"), "s9": Place("sparsity", 0.9, "GMP")},
    )
    table, headings, rows = overview(study)
    assert headings[1:] == [("GMP", "PIE"), ("GMP", "accuracy, %")]
    assert rows == [
        ["reference", "–", "100.00 ± 0.00"],
        ["0", "0", "100.00 ± 0.00"],
        ["0.9", "1*", "75.00 ± 0.00"],
    ]
    pruned = table.rows[2][1]
    assert (pruned.value, pruned.p, pruned.smallest_p) == (1, 2 / 128, 2 / 128)  # the smaller p of two tests, doubled
    assert "* after PIE: told from seed noise (p ≤ 0.05, each on its own)." in table.note


@pytest.mark.parametrize(
    ("p", "smallest", "said"),
    [
        ([0.01, 0.2, 0.2, 0.2], [0.01] * 4, "each on its own)."),
        ([0.2] * 4, [0.01] * 4, "each on its own); none has it."),
        ([0.25] * 4, [0.25] * 4, "4 of 4 have too few members to earn it (p is 0.25 at best)."),
        ([0.01, 0.2, 0.5, 0.25], [0.01, 0.01, 0.5, 0.25], "2 of 4 have too few members to earn it (p is 0.25 at best)"),
    ],
)
def test_the_note_says_what_a_mark_means_and_who_cannot_earn_it(p, smallest, said):
    numbers = {name: Number(7, p=each, smallest_p=least) for name, each, least in zip(TWO, p, smallest, strict=True)}
    table, _, rows = overview(study_of(TWO, measures=[Told(numbers=numbers)]))
    assert said in table.note
    assert sum(cell == "7*" for row in rows for cell in row) == sum(each <= 0.05 for each in p)


def test_numbers_without_a_p_are_not_marked_and_the_note_is_silent():
    table, _, rows = overview(study_of(TWO, measures=[Told(numbers=numbered(TWO))]))
    assert "*" not in table.note + str(rows)


def test_one_comparison_has_no_overview_and_two_have():
    study = study_of(TWO, measures=[Told(numbers=numbered(TWO))])
    assert build_report(study, study.comparisons[:1]).tables == ()
    assert build_report(study, study.comparisons[:1]).document["overview"] == []
    assert overview(study, study.comparisons[:2])[2] == [["reference", "–"], ["0.3", "2"], ["0.9", "1"]]


def test_what_is_not_finished_is_a_dash_in_its_place():
    study = study_of(TWO, measures=[Told(numbers=numbered(TWO))], missing=["b-0.3", "a-0.3"])
    assert overview(study)[2] == [["reference", "–", "–"], ["0.3", "–", "–"], ["0.9", "1", "4"]]


def test_text_along_the_axis_keeps_the_order_of_the_recipe():
    places = {f"p-{text}": Place("criterion", text, "P") for text in ("random", "magnitude", "2")}
    assert [row[0] for row in overview(study_of(places, measures=[Told(numbers=numbered(places))]))[2]] == [
        "reference", "random", "magnitude", "2"
    ]  # fmt: skip


def test_populations_along_two_different_axes_have_an_overview_each():
    places = {**TWO, "w-1": Place("width", 1, "W"), "w-2": Place("width", 2, "W")}
    study = study_of(places, measures=[Told(numbers=numbered(places))])
    tables = build_report(study, study.comparisons).tables
    assert [table.title for table in tables] == ["Overview by s", "Overview by width"]


def test_every_method_has_its_own_reference_and_the_note_says_which():
    study = study_of(
        TWO,
        ("one", "two"),
        [Kept(numbers=numbered(["one", "two", *TWO]))],
        reference_of={"b-0.3": "two", "b-0.9": "two"},
    )
    table, _, rows = overview(study)
    assert rows[0] == ["reference", "1.00", "2.00"]
    assert "reference: one for A; two for B." in table.note


def test_a_method_whose_references_differ_has_none_above_it():
    study = study_of(TWO, ("one", "two"), [Kept(numbers=numbered(["one", "two", *TWO]))], reference_of={"b-0.3": "two"})
    assert overview(study)[2][0] == ["reference", "1.00", "–"]
    both = study_of(
        TWO,
        ("one", "two"),
        [Kept(numbers=numbered(["one", "two", *TWO]))],
        reference_of={"b-0.3": "two", "a-0.9": "two"},
    )
    table, _, rows = overview(both)
    assert [row[0] for row in rows] == ["0.3", "0.9"]
    assert "reference" not in table.note


def test_what_is_compared_twice_stands_there_once_against_its_first_reference():
    study = study_of(TWO, ("dense", "control"), [Told(numbers=numbered(TWO))])
    twice = [*study.comparisons, *(Comparison("control", c.pruned, None, True) for c in study.comparisons)]
    table, _, rows = overview(study, twice)
    assert rows[1] == ["0.3", "2", "3"]
    assert "reference: dense." in table.note


def test_a_study_without_an_axis_has_no_overview(make):
    study = make()
    assert build_report(study, study.comparisons).document["overview"] == []


def test_a_headline_has_a_number_per_comparison():
    class Forgetful(Told):
        name = "forgetful"

        def summarise(self, study, comparisons):
            return Summary(headline=Headline("n", "d", comparisons=[Number(1)]))

    study = study_of(TWO, measures=[Forgetful(numbers={})])
    with pytest.raises(PrunekitError, match="'forgetful' gave 1 numbers for 4 comparisons"):
        build_report(study, study.comparisons)


def test_a_number_says_its_p_in_csv():
    study = study_of(TWO, measures=[Told(numbers=numbered(TWO, p=0.5))])
    assert "Overview by s,2,A: PIE,2\nOverview by s,2,A: PIE: p,0.5\n" in to_csv(build_report(study, study.comparisons))


# ----------------------------------------------------------------------------------------------------------- figure


def curves(study, comparisons=None):
    report = build_report(study, study.comparisons if comparisons is None else comparisons)
    return [figure for figure in report.figures if figure.name.startswith("overview")]


def test_the_figure_has_a_panel_per_number_and_a_line_per_method_with_the_reference_first():
    accuracies = {"dense": Number(90.5), **{name: Number(80 + i) for i, name in enumerate(TWO)}}
    (figure,) = curves(study_of(TWO, measures=[Kept(numbers=accuracies), Told(numbers=numbered(TWO))]))
    assert (figure.name, figure.x_name, figure.comparison) == ("overview.s", "s", None)
    found = {panel.y_name: {line.name: (line.x, line.y) for line in panel.lines} for panel in figure.panels}
    positions = ("reference", "0.3", "0.9")
    assert found == {
        "PIE": {"A": (positions, (None, 2, 1)), "B": (positions, (None, 3, 4))},
        "accuracy, %": {"A": (positions, (90.5, 81, 80)), "B": (positions, (90.5, 82, 83))},
    }
    assert "reference: dense." in figure.caption


def test_the_figure_has_intervals_and_chance_where_there_are_any():
    numbers = numbered(TWO) | {"a-0.9": Number(5, interval=(3.0, 9.0), chance=4.0)}
    (figure,) = curves(study_of(TWO, measures=[Told(numbers=numbers)]))
    first, second = figure.panels[0].lines
    assert (first.low, first.high, first.chance) == ((None, None, 3.0), (None, None, 9.0), (None, None, 4.0))
    assert (second.low, second.high, second.chance) == ((), (), ())
    assert "Vertical bars: 95 % intervals. Dashed: what chance alone gives." in figure.caption


def test_what_is_not_finished_or_no_number_is_a_gap_in_the_figure():
    numbers = numbered(TWO) | {"a-0.9": Number(float("nan"))}
    (figure,) = curves(study_of(TWO, measures=[Told(numbers=numbers)], missing=["b-0.3"]))
    assert [line.y for line in figure.panels[0].lines] == [(None, 2, None), (None, None, 4)]


def test_there_is_no_figure_without_an_overview_or_without_numbers():
    study = study_of(TWO, measures=[Told(numbers=numbered(TWO))])
    assert curves(study, study.comparisons[:1]) == []
    assert curves(study_of(TWO)) == []


def test_the_overview_of_real_measures_has_intervals_and_chance_in_document_and_figure(make):
    study = make(members=5)
    study.comparisons = [Comparison("dense", name, None, True) for name in ("sparse", "control")]
    study.places = {"sparse": Place("sparsity", 0.9, "GMP"), "control": Place("sparsity", 0.0, "GMP")}
    report = build_report(study, study.comparisons)
    cells = {cell["population"]: cell["numbers"] for cell in report.document["overview"][0]["cells"]}
    count = report.document["comparisons"][0]["pie"]
    assert cells["sparse"]["pie"]["interval"] == count["interval"]
    assert cells["sparse"]["pie"]["chance"] == count["expected"]
    low, high = cells["dense"]["accuracy"]["interval"]
    assert low < cells["dense"]["accuracy"]["value"] < high
    pie, accuracy = report.figures[0].panels
    assert pie.lines[0].chance[-1] == count["expected"]
    assert (accuracy.lines[0].low[0], accuracy.lines[0].high[0]) == (low, high)
