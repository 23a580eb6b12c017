"""JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from prunekit.report.build import Report, Sentence, build_report
from prunekit.report.text import to_csv, to_json, to_latex, to_markdown
from prunekit.tables import Column, Number, Table


@pytest.fixture
def awkward():
    """A report of one table with everything that an escape could forget."""
    table = Table(
        title="50% & more",
        columns=(Column("Class"), Column("n_x", ",d"), Column("Share", ".1%")),
        rows=[("a|b_c", 1234, 0.125), ('say "x", y', None, float("nan"))],
        note="100 % → 50 %",
    )
    return Report(
        title="title_1",
        document={"values": [1, None]},
        tables=(table,),
        by_measure={},
        figures=(),
        exemplars=(),
        sentences=(Sentence("dense → sparse", "90 % of it: *x*.", certainty="Hardly so."),),
        readings=("ties | smallest",),
        notes=("seed 3 <failed>",),
    )


def test_csv_is_one_tidy_table_of_raw_values(awkward):
    rows = list(csv.DictReader(io.StringIO(to_csv(awkward))))
    assert [(row["row"], row["column"], row["value"]) for row in rows] == [
        ("1", "Class", "a|b_c"), ("1", "n_x", "1234"), ("1", "Share", "0.125"),
        ("2", "Class", 'say "x", y'), ("2", "n_x", ""), ("2", "Share", ""),
    ]  # fmt: skip
    assert {row["table"] for row in rows} == {"50% & more"}


def test_csv_has_a_line_for_all_that_a_number_says(awkward):
    number = Number(241, spread=1.5, p=0.3, smallest_p=0.008, interval=(225.5, 266), chance=240)
    table = Table("t", (Column("PIE", ",d", "GMP"),), [(number,), (Number(None, interval=(1, 2)),), (Number(3),)])
    rows = list(csv.DictReader(io.StringIO(to_csv(replace(awkward, tables=(table,))))))
    assert [(row["row"], row["column"], row["value"]) for row in rows] == [
        ("1", "GMP: PIE", "241"), ("1", "GMP: PIE: spread", "1.5"), ("1", "GMP: PIE: low", "225.5"),
        ("1", "GMP: PIE: high", "266"), ("1", "GMP: PIE: chance", "240"), ("1", "GMP: PIE: p", "0.3"),
        ("1", "GMP: PIE: smallest p", "0.008"),
        ("2", "GMP: PIE", ""), ("2", "GMP: PIE: low", "1"), ("2", "GMP: PIE: high", "2"),
        ("3", "GMP: PIE", "3"),
    ]  # fmt: skip


def test_markdown_tables_have_rules_and_no_stray_markup(awkward):
    page = to_markdown(awkward)
    assert "| Class | n\\_x | Share |\n| --- | ---: | ---: |\n| a\\|b\\_c | 1,234 | 12.5% |" in page
    assert '| say "x", y | – | – |' in page
    assert page.startswith("# title\\_1\n")
    assert "**dense → sparse.** 90 % of it: \\*x\\*. Hardly so.\n" in page
    assert "- ties \\| smallest" in page
    assert "- seed 3 \\<failed\\>" in page


def test_latex_is_escaped_and_set_with_booktabs(awkward):
    page = to_latex(awkward)
    assert r"\caption{50\% \& more}" in page
    assert r"{\footnotesize 100 \% $\rightarrow$ 50 \%}" in page
    assert r"\begin{tabular}{lrr}" in page
    assert r"    Class & n\_x & Share \\" in page
    assert r"    a\textbar{}b\_c & 1,234 & 12.5\% \\" in page
    assert r"""    say "x", y & -- & -- \\""" in page
    assert page.count(r"\toprule") == page.count(r"\bottomrule") == 1


def test_latex_leaves_no_special_character_unescaped(make):
    study = make()
    study.columns.classes = ("50%_#1", r"\x{~}", "a^b$", *(f"c{i}" for i in range(7)))
    page = to_latex(build_report(study, study.comparisons))
    assert r"50\%\_\#1" in page
    assert r"\textbackslash{}x\{\textasciitilde{}\}" in page
    assert r"a\textasciicircum{}b\$" in page
    assert "→" not in "\n".join(line for line in page.splitlines() if not line.startswith("%"))


def test_json_is_the_document_with_letters_as_they_are(make):
    study = make()
    report = build_report(study, study.comparisons)
    text = to_json(report)
    assert json.loads(text) == report.document
    assert "→ " in text


@pytest.mark.parametrize("render", [to_csv, to_json, to_latex, to_markdown])
def test_every_format_ends_in_a_line_break_and_is_the_same_every_time(make, render):
    study = make()
    first, again = (render(build_report(study, study.comparisons)) for _ in range(2))
    assert first == again
    assert first.endswith("\n")
    assert not first.endswith("\n\n")
