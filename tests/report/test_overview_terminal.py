"""The overview on a terminal, and what a terminal shows of many comparisons."""

from __future__ import annotations

import pytest
from helpers_overview import TWO, Kept, Told, numbered, printed, study_of
from rich.cells import cell_len

from prunekit.observed import Place
from prunekit.report.arrays import Published
from prunekit.report.build import build_report
from prunekit.report.text import to_csv, to_latex, to_markdown
from prunekit.tables import Number

METHODS = ["Sup/GMP", "Sup/One-Shot", "SCL/GMP", "SCL/ΔGMP", "SCL/One-Shot"]


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
