"""Published numbers in the overview."""

from __future__ import annotations

import csv
import io

import pytest
from helpers_overview import TWO, Kept, Told, numbered, overview, printed, study_of

from prunekit.comparison import Comparison
from prunekit.errors import InputError
from prunekit.observed import Place
from prunekit.report.arrays import Published
from prunekit.report.build import build_report
from prunekit.report.text import to_csv, to_latex, to_markdown
from prunekit.tables import Number

PUBLISHED = Published(
    "A paper, Table 1",
    {"dense": {"kept": Number(90.58, 0.38)}, "a-0.3": {"told": Number(188), "kept": Number(90.5, 0.39)}},
)


def published_study(places=TWO, published=PUBLISHED, references=("dense",)):
    everybody = [*references, *places]
    measures = [Told(numbers=numbered(everybody)), Kept(numbers=numbered(everybody, 80, spread=0.5))]
    return study_of(places, references, measures, published=published)


def test_published_numbers_stand_below_the_studys_where_there_are_any():
    table, _, rows = overview(published_study(), published=True)
    assert rows == [
        ["reference", "–", "80.00 ± 0.50", "–", "80.00 ± 0.50"],
        ["published", "–", "90.58 ± 0.38", "–", "90.58 ± 0.38"],
        ["0.3", "3", "82.00 ± 0.50", "4", "83.00 ± 0.50"],
        ["published", "188", "90.50 ± 0.39", "–", "–"],
        ["0.9", "2", "81.00 ± 0.50", "5", "84.00 ± 0.50"],
    ]
    assert table.note.endswith("published: A paper, Table 1.")


def test_published_numbers_are_not_shown_unless_asked_for():
    report = build_report(published_study(), published_study().comparisons)
    assert "published" not in {row[0] for row in report.tables[0].rows}
    assert report.document["published"] is None


def test_the_document_has_the_raw_numbers():
    document = build_report(published_study(), published_study().comparisons, published=True).document
    assert document["published"] == {
        "source": "A paper, Table 1",
        "populations": {
            "dense": {"kept": {"value": 90.58, "spread": 0.38}},
            "a-0.3": {"told": {"value": 188, "spread": None}, "kept": {"value": 90.5, "spread": 0.39}},
        },
    }
    (found,) = document["overview"]
    assert found["axis"] == "s"
    assert found["cells"][3] == {
        "group": "A",
        "value": 0.3,
        "population": "a-0.3",
        "reference": "dense",
        "numbers": {
            "told": dict.fromkeys(("spread", "p", "smallest_p", "interval", "chance")) | {"value": 3},
            "kept": dict.fromkeys(("p", "smallest_p", "interval", "chance")) | {"value": 82, "spread": 0.5},
        },
        "published": {"told": {"value": 188, "spread": None}, "kept": {"value": 90.5, "spread": 0.39}},
    }


def test_every_format_has_the_overview_with_the_published_numbers():
    study = published_study()
    report = build_report(study, study.comparisons, published=True)
    assert "| published | 188 | 90.50 ± 0.39 | – | – |" in to_markdown(report)
    assert "| s | A: PIE | A: accuracy, % | B: PIE | B: accuracy, % |" in to_markdown(report)
    latex = to_latex(report)
    assert r"     & \multicolumn{2}{c}{A} & \multicolumn{2}{c}{B} \\" in latex
    assert r"    \cmidrule(lr){2-3} \cmidrule(lr){4-5}" in latex
    assert r"    published & 188 & 90.50 $\pm$ 0.39 & -- & -- \\" in latex
    rows = [(row["row"], row["column"], row["value"]) for row in csv.DictReader(io.StringIO(to_csv(report)))]
    assert rows[rows.index(("4", "s", "published")) :][:4] == [
        ("4", "s", "published"),
        ("4", "A: PIE", "188"),
        ("4", "A: accuracy, %", "90.5"),
        ("4", "A: accuracy, %: spread", "0.39"),
    ]
    assert "published  188  90.50 ± 0.39" in printed(report)


def test_published_numbers_make_an_overview_of_one_comparison_and_without_an_axis():
    study = published_study()
    assert overview(study, study.comparisons[1:2], published=True)[2][2:] == [
        ["0.3", "3", "82.00 ± 0.50"],
        ["published", "188", "90.50 ± 0.39"],
    ]
    study.places = {}
    table, headings, rows = overview(study, published=True)
    assert headings == [("", "population"), ("", "PIE"), ("", "accuracy, %")]
    assert [row[0] for row in rows] == ["reference", "published", "a-0.9", "a-0.3", "published", "b-0.3", "b-0.9"]
    assert "reference: dense." in table.note


def test_what_is_published_of_a_population_that_is_not_finished_stands_there_already():
    study = published_study(published=Published("A paper", {"a-0.9": {"told": Number(273)}}))
    study.columns.populations.pop("a-0.9")
    study.comparisons = [each for each in study.comparisons if each.pruned != "a-0.9"]
    rows = overview(study, published=True)[2]
    assert rows[-2:] == [["0.9", "–", "–", "5", "84.00 ± 0.50"], ["published", "273", "–", "–", "–"]]


def test_an_axis_of_which_nothing_is_published_keeps_its_overview():
    study = published_study(places={**TWO, "w-1": Place("width", 1, "W"), "w-2": Place("width", 2, "W")})
    tables = build_report(study, study.comparisons, published=True).tables
    assert [table.title for table in tables] == ["Overview by s", "Overview by width"]


def test_a_published_comparison_is_not_set_beside_one_with_another_reference():
    study = published_study(references=("dense", "control"))
    comparisons = [Comparison("control", each.pruned, None, True) for each in study.comparisons]
    assert ["published", "–", "90.50 ± 0.39", "–", "–"] in overview(study, comparisons, published=True)[2]


def test_published_populations_that_the_study_has_not_are_counted():
    more = Published("A paper", {**PUBLISHED.populations, "a-0.5": {"told": Number(1)}, "c": {"told": Number(2)}})
    assert (
        "published: A paper (2 populations more than stand here)."
        in overview(published_study(published=more), published=True)[0].note
    )


@pytest.mark.parametrize("published", [None, Published("A paper", {"elsewhere": {"told": Number(1)}})])
def test_without_published_numbers_the_option_is_refused(published):
    study = published_study(published=published)
    with pytest.raises(InputError, match="'grid' has no published numbers of what is compared"):
        build_report(study, study.comparisons, published=True)
