"""The report on a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from prunekit.comparison import Comparison
from prunekit.report.build import Report, build_report
from prunekit.report.terminal import MOST_ROWS, print_report
from prunekit.tables import Column, Table


def printed(report, width=80, terminal=False):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False)
    print_report(report, console)
    return console.file.getvalue()


def report_of(table):
    return Report("a report", {}, (table,), {}, (), (), (), (), ())


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_off(make, width):
    study = make()
    report = build_report(study, study.comparisons[:1])
    text = printed(report, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert "…" not in text
    words = set(text.split())
    for table in report.tables:
        for column in table.columns:
            assert set(column.name.split()) <= words
        for row in table.rows:
            assert set(str(row[0]).split()) <= words


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (39, [" Populations     95 % from  By chance"]),
        (38, ["                 95 %      By", " Populations     from  chance"]),
    ],
)
def test_headings_take_no_more_lines_than_the_width_asks_for_and_keep_per_cent_with_its_number(width, lines):
    columns = (Column("Populations"), Column("95 % from", ".1f"), Column("By chance", ".1f"))
    text = printed(report_of(Table("t", columns, [("dense → sparse", 4.9, 6.0)])), width)
    heading = text[: text.index("─")].splitlines()[3:]
    assert [line.rstrip() for line in heading] == lines


def test_the_chance_table_fits_80_columns_with_a_line_per_row(make):
    study = make()
    lines = printed(build_report(study, study.comparisons)).splitlines()
    start = lines.index("Pruning-identified exemplars")
    assert lines[start + 2].split() == ["Populations", "PIEs", "Share", "from", "to", "chance", "count", "votes", "p"]
    assert [line.split("  ")[0] for line in lines[start + 4 : start + 7]] == [
        " dense → sparse", " dense → control", " control → sparse"
    ]  # fmt: skip


def test_a_pipe_gets_no_colour_codes(make):
    study = make()
    report = build_report(study, study.comparisons)
    assert "\x1b" not in printed(report)
    assert "\x1b" in printed(report, terminal=True)


def test_the_closing_sentence_comes_last(make):
    study = make()
    report = build_report(study, study.comparisons[:1])
    assert " ".join(printed(report, 120).split()).endswith(report.sentences[0].text)


def test_readings_and_notes_are_shown(make):
    study = make()
    study.notes = ["sparse: 7 of 8 members are finished"]
    text = printed(build_report(study, study.comparisons), 120)
    assert "ties go to the smallest class index" in text
    assert "sparse: 7 of 8 members are finished" in text


def test_names_that_look_like_markup_are_shown_as_they_are():
    table = Table("[bold]x[/bold]", (Column("[red]Class[/red]"),), [("[/]",)], note="[link]")
    text = printed(report_of(table))
    for name in ("[bold]x[/bold]", "[red]Class[/red]", "[/]", "[link]"):
        assert name in text


def test_a_long_table_says_how_many_rows_are_left_out():
    rows = [(i,) for i in range(MOST_ROWS + 5)]
    comparison = Comparison("dense", "sparse", None, True)
    text = printed(report_of(Table("long", (Column("n", "d"),), rows, comparison=comparison)))
    assert "5 more rows: --format csv shows all of them" in text
    assert f" {MOST_ROWS - 1} " in text
    assert f" {MOST_ROWS} " not in text


def test_a_table_of_all_populations_is_never_cut():
    text = printed(report_of(Table("long", (Column("n", "d"),), [(i,) for i in range(MOST_ROWS + 5)])))
    assert f" {MOST_ROWS + 4} " in text
    assert "more rows" not in text


def test_missing_values_are_dashes_and_empty_tables_say_so():
    text = printed(report_of(Table("one", (Column("n", ".1%"), Column("m", "d")), [(None, 1), (float("nan"), 2)])))
    assert text.count("–") == 2
    assert "none" in printed(report_of(Table("empty", (Column("n"),), [])))


def test_long_ids_are_folded_not_cut():
    name = "folder/" * 20 + "image.png"
    text = printed(report_of(Table("ids", (Column("Example"), Column("Votes", ".0%")), [(name, 0.5)])))
    assert name in "".join(line[1:].split("  ")[0].strip() for line in text.splitlines()).replace("50%", "")
