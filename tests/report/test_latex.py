"""LaTeX that LaTeX takes: every table of a report is compiled, whatever its text holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from prunekit.report.build import Report, Sentence, build_report
from prunekit.report.tex import escaped
from prunekit.report.text import MOST_ROWS, to_latex
from prunekit.tables import Column, Number, Table

NASTY = [
    "&", "%", "$", "#", "_", "{", "}", "^", "~", "\\", "<", ">", "|", "*", "[", "]", '"', "'", "`", "@", "!`", "?`",
    "$x$", "\\end{document}", "\\input{x}", "%comment", "{", "}}", "[1ex]", "*", "^^M", "~^\\_", "a--b", "a & b",
    "100 %", "±", "→", "Δ", "‖h‖₁", "≤", "p² ≈ 10⁻³", "αβγδεζηθικλμνξοπρςστυφχψω", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ",
    "Bär, Ölfaß, naïve, Čapek, Łódź, Åse, Çelik, Śliwa, Żak, fiancée, mañana, Đorđe, İstanbul, ą, ế, ǖ", "猫", "кот",
    "😀", "\u200b", "\u202e", "e\u0301", "\u0301", "\x00\x07", "a\tb\nc", "μέγα", "ﬁ", "“quoted” ‘so’ — – …",
    "<script>alert(1)</script>", "",
]  # fmt: skip


def report_of(*tables, sentences=()):
    return Report("a %\\title", {}, tables, {}, (), (), sentences, (), ())


def compiled(tex, folder, columns=""):
    """Compile a document of ``tex`` and return its log; skipped where there is no LaTeX."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex with booktabs (Debian: texlive-latex-base, texlive-latex-recommended)")
    (folder / "tables.tex").write_text(tex, encoding="utf-8")
    (folder / "document.tex").write_text(
        rf"\documentclass{columns}{{article}}\usepackage{{booktabs,graphicx}}"
        r"\begin{document}\input{tables}\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        cwd=folder, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


def complaints(log):
    """Return what LaTeX says of boxes that are too wide, floats that are too high and labels that stand twice."""
    return re.findall(r"Overfull \\hbox.*|.*too large for page.*|.*multiply defined.*|Missing character.*", log)


# ------------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of $x_1$ & more", r"50 \% of \$x\_1\$ \& more"),
        ("\\{~^}", r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}\}"),
        ("a → b ± 1", r"a $\rightarrow$ b $\pm$ 1"),
        ("ΔGMP, ‖h‖₁, χ²", r"$\Delta$GMP, $\Vert$h$\Vert$$_1$, $\chi$$^2$"),
        ("λ Λ ς", r"$\lambda$ $\Lambda$ $\varsigma$"),
        ("Bär Łódź", r"B\"{a}r \L{}\'{o}d\'{z}"),
        ("e\u0301", r"\'{e}"),
        ("猫 😀", "[U+732B] [U+1F600]"),
        ("--compare", "-{}-compare"),
        ("---", "-{}-{}-"),
        ("0.3–0.5", "0.3--0.5"),
        (" two\n lines\t", "two lines"),
    ],
)
def test_text_is_printed_and_not_obeyed(text, expected):
    assert escaped(text) == expected


@pytest.mark.parametrize("text", NASTY)
def test_all_of_it_is_plain_ascii_on_one_line(text):
    found = escaped(text)
    assert found.isascii()
    assert "\n" not in found


def test_different_letters_stay_different():
    letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0xA1, 0x180), 0x4E2D, 0x4E2E) if code != 0xAD]
    found = [escaped(letter) for letter in letters]
    assert len(set(found)) == len(found)


# ------------------------------------------------------------------------------------------------------ whole reports


def test_the_worst_text_compiles_wherever_it_stands(tmp_path):
    columns = (Column("[Class"), Column("&_%", ",d", "a^b"), Column("$x$", ".2f", "a^b"), Column("猫", ".1%", "→"))
    rows = [(text, 1234, Number(-0.5, spread=0.1, p=0.01), None) for text in NASTY]
    tables = [Table(f"Title {text}", columns, [(text, 1, -2.0, 0.5)], note=f"Note {text}") for text in NASTY]
    sentence = Sentence("a → b", "50 % of it:\n\\end{document} 猫.")
    log = compiled(to_latex(report_of(Table("All", columns, rows), *tables, sentences=(sentence,))), tmp_path)
    assert complaints(log) == []


def grid(groups, values):
    """A table like the overview of many methods, with published rows and marks."""
    columns = [Column("sparsity")]
    for name in groups:
        columns += [Column("PIE", ",d", name), Column("accuracy, %", ".2f", name)]
    rows = []
    for value in values:
        rows.append((str(value), *(Number(1271, p=0.01), Number(46.49, 15.47)) * len(groups)))
        rows.append(("published", *(Number(188), Number(90.5, 0.39)) * len(groups)))
    return Table("Overview by sparsity", tuple(columns), rows, note="PIE: examples whose modal label changes. " * 8)


METHODS = ["Sup/GMP", "Sup/One-Shot", "SCL/GMP", "SCL/ΔGMP", "SCL/One-Shot"]


@pytest.mark.parametrize("columns", ["", "[twocolumn]", "[12pt,a5paper]"])
def test_the_wide_table_1_fits_into_the_text(tmp_path, columns):
    table = grid(METHODS, [0.3, 0.5, 0.7, 0.9, 0.95, 0.99])
    assert complaints(compiled(to_latex(report_of(table)), tmp_path, columns)) == []


def test_a_whole_report_fits_and_compiles(tmp_path, make):
    study = make(members=3, examples=60, classes=120)
    study.columns.classes = tuple(f"{NASTY[i % len(NASTY)]} {i}" for i in range(120))
    report = build_report(study, study.comparisons)
    assert max(len(table.rows) for table in report.tables) > MOST_ROWS
    assert complaints(compiled(to_latex(report), tmp_path)) == []


def test_a_hundred_tables_compile(tmp_path):
    table = Table("Class", (Column("Class"), Column("n", "d")), [(str(i), i) for i in range(10)])
    assert complaints(compiled(to_latex(report_of(*[table] * 100)), tmp_path)) == []


# ------------------------------------------------------------------------------------------------------------- shape


def test_a_long_table_goes_on_in_another_and_published_rows_stay_below_their_own():
    rows = [row for i in range(30) for row in ((f"p{i}", i), ("published", i))]
    table = Table(
        "Long", (Column("Population"), Column("n", "d")), [("first", 0), *rows, *[("last", 1)] * 3], note="At the end."
    )
    first, second = to_latex(report_of(table)).split(r"\end{table}")[:2]
    assert rows[32 - 1][0] == "published"  # the middle of all 64
    assert (first.count(r" \\") - 1, second.count(r" \\") - 1) == (31, 33)
    assert r"\caption{Long (continued)}" in second
    assert "At the end." not in first
    assert "At the end." in second
    assert second.index("p15") < second.index("published")


def test_labels_name_their_table_and_no_two_are_the_same():
    columns = (Column("Class"),)
    titles = ["PIEs by true class: a_1 → b_0.9", "PIEs by true class: a_1 → b_0.9", "猫"]
    tex = to_latex(report_of(*(Table(title, columns, [("x",)]) for title in titles)))
    assert re.findall(r"\\label\{(.*)\}", tex) == [
        "tab:pies-by-true-class-a-1-b-0.9",
        "tab:pies-by-true-class-a-1-b-0.9-2",
        "tab:table",
    ]


def test_marks_take_no_room_and_minus_signs_are_no_hyphens():
    columns = (Column("Population"), Column("n", ".1f"))
    rows = [("-1", -1.5), ("a", Number(-2.0, p=0.01)), ("b", Number(3.0, 0.5, p=0.01))]
    tex = to_latex(report_of(Table("t", columns, rows)))
    assert r"    -1 & $-$1.5 \\" in tex
    assert r"    a & $-$2.0\rlap{*} \\" in tex
    assert r"    b & 3.0 $\pm$ 0.5\rlap{*} \\" in tex


def test_a_table_without_rows_says_so():
    assert r"    \multicolumn{2}{l}{none} \\" in to_latex(report_of(Table("t", (Column("a"), Column("b")), [])))


def test_a_sentence_in_a_comment_stays_one_line():
    sentences = (Sentence("a → b", "one\nline", whom="On\rsome.", certainty="Hardly."),)
    head = to_latex(replace(report_of(), sentences=sentences)).splitlines()
    assert head[2:] == ["% a → b: one line On some. Hardly."]
