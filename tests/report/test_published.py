"""Published numbers in the tables of measures; those of the overview are in test_overview."""

from __future__ import annotations

import pytest

from prunekit.errors import InputError
from prunekit.report.arrays import Published
from prunekit.report.build import build_report
from prunekit.report.published import with_published
from prunekit.report.text import to_csv, to_latex, to_markdown
from prunekit.tables import Column, Number, Table

PAPER = Published(
    "A paper, Table 3",
    {
        "dense": {"q_score": {"q": Number(0.72), "l1": Number(7.15, 0.5)}, "pie": Number(3)},
        "sparse": {"q_score": {"z": Number(4.47)}, "other": {"q": Number(1)}},
    },
)
COLUMNS = (Column("Population"), Column("Q", ".2f", key="q"), Column("std, Q", ".2f"), Column("‖h‖₁", ".2f", key="l1"))


def table(names, about=None):
    rows = [(name, 1.0 + i, 0.1, 9.0) for i, name in enumerate(names)]
    about = tuple((name,) for name in names) if about is None else about
    return Table("Representations", COLUMNS, rows, note="Means.", about=about)


def test_published_numbers_stand_below_their_population_in_the_column_of_their_key():
    found = with_published(table(["dense", "sparse"]), "q_score", PAPER)
    assert found.rows == [
        ("dense", 1.0, 0.1, 9.0),
        ("published", Number(0.72), None, Number(7.15, 0.5)),
        ("sparse", 2.0, 0.1, 9.0),  # nothing that this table shows is published of it
    ]
    assert found.note == "Means. published: A paper, Table 3."


@pytest.mark.parametrize(
    ("about", "measure"),
    [((), "q_score"), (((), ()), "q_score"), (None, "pie"), (None, "accuracy"), ((("else",), ("where",)), "q_score")],
)
def test_a_table_without_a_place_for_them_stays_as_it_is(about, measure):
    untouched = table(["dense", "sparse"], about)
    assert with_published(untouched, measure, PAPER) is untouched


def test_a_population_may_have_several_rows_and_rows_may_be_about_none():
    found = with_published(table(["a", "b", "c"], (("dense",), (), ("dense",))), "q_score", PAPER)
    assert [row[0] for row in found.rows] == ["a", "published", "b", "c", "published"]


def test_numbers_that_depend_on_other_populations_stand_only_where_those_were_published_too():
    about = (("dense", "dense", "sparse"), ("dense", "dense", "control"), ("dense", "control", "sparse"))
    found = with_published(table(["a", "b", "c"], about), "q_score", PAPER)
    assert [row[0] for row in found.rows] == ["a", "published", "b", "c"]


def test_a_table_that_says_of_too_few_rows_what_they_are_about_is_no_table():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        with_published(table(["a", "b"], (("dense",),)), "q_score", PAPER)


def test_a_report_has_them_in_every_format(make):
    study = make()
    study.published = PAPER
    report = build_report(study, study.comparisons[:1], published=True)
    assert "published" not in to_markdown(build_report(study, study.comparisons[:1]))
    assert "| published | 0.720 | – | – | – | 7.150 ± 0.500 | – |" in to_markdown(report)
    assert r"published & 0.720 & -- & -- & -- & 7.150 $\pm$ 0.500 & -- \\ \addlinespace" in to_latex(report)
    assert "Representations,2,‖h‖₁,7.15\nRepresentations,2,‖h‖₁: spread,0.5\n" in to_csv(report)
    assert report.document["published"]["populations"]["dense"]["q_score"] == {
        "q": {"value": 0.72, "spread": None},
        "l1": {"value": 7.15, "spread": 0.5},
    }
    (shown,) = [each for each in report.tables if each.title == "Representations"]
    assert shown in report.by_measure["q_score"].tables


def test_numbers_of_tables_alone_are_enough(make):
    study = make()
    study.published = Published("A paper", {"sparse": {"q_score": {"q": Number(0.56)}}})
    assert "Overview by population" not in [
        t.title for t in build_report(study, study.comparisons, published=True).tables
    ]
    study.published = Published("A paper", {"sparse": {"pie": {"q": Number(0.56)}}})
    with pytest.raises(InputError, match="'made-up' has no published numbers of what is compared"):
        build_report(study, study.comparisons, published=True)
