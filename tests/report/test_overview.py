"""The overview of populations that repeat along an axis, and the published numbers in it."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from prunekit.errors import InputError, PrunekitError
from prunekit.plugins.measures.accuracy import Accuracy
from prunekit.plugins.measures.pie import Pie
from prunekit.protocols import Comparison, Measure, Place
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, LoadedStudy, Published
from prunekit.report.build import build_report
from prunekit.report.cells import shown
from prunekit.report.terminal import print_report
from prunekit.report.text import to_csv, to_latex, to_markdown
from prunekit.tables import Headline, Number, Summary

METHODS = ["Sup/GMP", "Sup/One-Shot", "SCL/GMP", "SCL/ΔGMP", "SCL/One-Shot"]


class Told(Measure):
    """Has the headline numbers that a test gives it."""

    name = "told"
    numbers: dict[str, Number]
    of_comparisons: bool = True

    def summarise(self, study, comparisons):
        if self.of_comparisons:
            return Summary(headline=Headline("PIE", ",d", comparisons=[self.numbers[c.pruned] for c in comparisons]))
        return Summary(headline=Headline("accuracy, %", ".2f", populations=self.numbers))


class Kept(Told):
    """The same, of populations."""

    name = "kept"
    of_comparisons: bool = False


def study_of(places, references=("dense",), measures=(), missing=(), published=None, reference_of=None):
    """Return a study in which every placed population is compared with a reference, the first by default."""
    names = [*references, *(name for name in places if name not in missing)]
    populations = {name: ArrayPopulation(name, (0, 1), 0.0, {"prediction": np.zeros((2, 3), int)}) for name in names}
    return LoadedStudy(
        name="grid",
        data={"name": "made-up", "split": "test", "examples": 3},
        columns=ArrayStudy(("cat",), ("a", "b", "c"), np.zeros(3, int), populations),
        comparisons=[
            Comparison((reference_of or {}).get(name, references[0]), name, None, True)
            for name in names[len(references) :]
        ],
        measures=list(measures),
        places=places,
        published=published,
    )


def numbered(names, start=1, **options):
    return {name: Number(start + i, **options) for i, name in enumerate(names)}


TWO = {
    "a-0.9": Place("s", 0.9, "A"),
    "a-0.3": Place("s", 0.3, "A"),
    "b-0.3": Place("s", 0.3, "B"),
    "b-0.9": Place("s", 0.9, "B"),
}


def overview(study, comparisons=None, **options):
    """Return the overview's headings and rows as text."""
    report = build_report(study, study.comparisons if comparisons is None else comparisons, **options)
    (table,) = [table for table in report.tables if table.title.startswith("Overview")]
    rows = [[shown(value, column) for value, column in zip(row, table.columns, strict=True)] for row in table.rows]
    return table, [(column.group, column.name) for column in table.columns], rows


def printed(report, width=120):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_report(report, console)
    return console.file.getvalue()


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
    assert "* after PIE: more than seed noise alone gives (p ≤ 0.05, each on its own)." in table.note


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


# -------------------------------------------------------------------------------------------------------- published

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
    assert document["published"] == "A paper, Table 1"
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


def test_a_number_says_its_p_in_csv():
    study = study_of(TWO, measures=[Told(numbers=numbered(TWO, p=0.5))])
    assert "Overview by s,2,A: PIE,2\nOverview by s,2,A: PIE: p,0.5\n" in to_csv(build_report(study, study.comparisons))


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


# --------------------------------------------------------------------------------------------------------- terminal


def grid(methods=METHODS, values=(0.3, 0.5, 0.7, 0.9, 0.95, 0.99)):
    """A study as large as the table of the paper, with counts of four digits and marks."""
    places = {f"{method}-{value}": Place("sparsity", value, method) for method in methods for value in values}
    everybody = ["dense", *places]
    return study_of(
        places,
        measures=[
            Told(numbers=numbered(everybody, 1900, p=0.01)),
            Kept(numbers=numbered(everybody, 60, spread=0.25)),
        ],
        published=Published("A paper", {name: {"kept": Number(90.5, 0.39), "told": Number(1188)} for name in places}),
    )


def test_five_methods_fit_120_columns_with_a_line_per_row():
    study = grid()
    text = printed(build_report(study, study.comparisons, published=True))
    lines = text[text.index("Overview") :].splitlines()
    assert lines[1].split() == METHODS
    assert lines[2].split() == ["sparsity", *["PIE", "accuracy,", "%"] * 5]
    assert [line.split()[0] for line in lines[4:17]] == [
        "reference", *(row for value in ("0.3", "0.5", "0.7", "0.9", "0.95", "0.99") for row in (value, "published"))
    ]  # fmt: skip
    assert all(cell_len(line) <= 120 for line in text.splitlines())
    assert max(cell_len(line.rstrip()) for line in lines[4:17]) == 120


def test_digits_stand_below_digits_whether_marked_or_not():
    numbers = {"a-0.9": Number(61, p=0.01), "a-0.3": Number(8, p=0.5), "b-0.3": Number(1), "b-0.9": Number(2)}
    study = study_of(TWO, measures=[Told(numbers=numbers)])
    lines = printed(build_report(study, study.comparisons)).splitlines()
    (eight,) = [line for line in lines if line.startswith(" 0.3")]
    (marked,) = [line for line in lines if line.startswith(" 0.9")]
    assert eight.index("8") == marked.index("61*") + 1


@pytest.mark.parametrize("width", [40, 80, 100])
def test_methods_that_do_not_fit_go_on_below_with_their_labels(width):
    study = grid()
    text = printed(build_report(study, study.comparisons), width)
    lines = text[text.index("Overview") :].splitlines()
    headings = [line for line in lines if line.split()[:1] == ["sparsity"]]
    assert len(headings) > 1
    assert [word for line in lines for word in line.split() if word in METHODS][:5] == METHODS
    cells = " ".join(line for line in lines if line.startswith(" 0.99 ")).split()
    assert [word for word in cells if word.endswith("*")] == [f"{1906 + 6 * i:,}*" for i in range(5)]
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_a_long_title_makes_room_for_itself():
    places = {f"p-{v}": Place("s", v, "A method with quite a long title") for v in (1, 2)}
    study = study_of(places, measures=[Told(numbers=numbered(places))])
    lines = printed(build_report(study, study.comparisons)).splitlines()
    (heading,) = [line for line in lines if "A method with quite a long title" in line]
    (names,) = [line for line in lines if line.startswith(" s ")]
    assert cell_len(names) == cell_len(heading)


# ---------------------------------------------------------------------------------------------------- many compared


def many(make, comparisons):
    study = make(examples=40)
    pair = study.comparisons[0]
    return build_report(study, [pair, study.comparisons[1], pair, pair, pair][:comparisons])


def test_up_to_four_comparisons_are_shown_in_full(make):
    text = printed(many(make, 4))
    assert text.count("Clearest PIEs") == text.count("Accuracy by class") == 4
    assert text.count("of the weights pruned: accuracy") == 4
    assert "--compare" not in text


def test_of_more_a_terminal_shows_what_is_about_all_of_them_and_says_how_to_see_one(make):
    text = printed(many(make, 5))
    for title in ("Accuracy\n", "Pruning-identified exemplars\n", "Representations\n", "How it was measured\n"):
        assert f"\n{title}" in text
    for title in ("Clearest PIEs", "by class", "by true class", "of the weights pruned"):
        assert title not in text
    assert text.rstrip().endswith("5 comparisons: --compare dense,sparse shows one in full; other formats show all.")


def test_other_formats_show_all_of_many(make):
    report = many(make, 5)
    for render in (to_markdown, to_latex, to_csv):
        assert render(report).count("PIEs by true class: dense") >= 4
    assert len(report.document["comparisons"]) == 5
