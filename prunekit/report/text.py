"""A report as text for other programs: JSON, CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby

from prunekit.report.build import Report
from prunekit.report.cells import exists, full_name, is_numeric, shown
from prunekit.tables import Number, Table, Value


def to_json(report: Report) -> str:
    """Return the report's document."""
    return json.dumps(report.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """Return all tables as one tidy table of raw values: ``table,row,column,value``; a missing value is empty.

    A number with a standard deviation or a p has lines of its own for these: ``accuracy, %: spread``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value"))
    for table in report.tables:
        for number, row in enumerate(table.rows, start=1):
            for column, value in zip(table.columns, row, strict=True):
                for name, raw in _raw(full_name(column), value):
                    writer.writerow((table.title, number, name, raw if exists(raw) else ""))
    return out.getvalue()


def _raw(name: str, value: Value) -> Iterator[tuple[str, Value]]:
    if not isinstance(value, Number):
        yield name, value
        return
    yield name, value.value
    for part, said in (("spread", value.spread), ("p", value.p)):
        if said is not None:
            yield f"{name}: {part}", said


def to_markdown(report: Report) -> str:
    """Return the report as a Markdown page with pipe tables."""
    blocks = [f"# {_md(report.title)}", *(_markdown_table(table) for table in report.tables)]
    blocks += [f"**{_md(each.comparison)}.** {_md(each.text)}" for each in report.sentences]
    for heading, lines in (("How it was measured", report.readings), ("Notes", report.notes)):
        if lines:
            blocks.append(f"## {heading}\n\n" + "\n".join(f"- {_md(line)}" for line in lines))
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: Table) -> str:
    rules = ["---:" if numeric else "---" for numeric in _numeric(table)]
    lines = [[_md(full_name(column)) for column in table.columns], rules, *_rows(table, _md)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {_md(table.title)}\n\n{text}" + (f"\n\n{_md(table.note)}" if table.note else "")


def to_latex(report: Report) -> str:
    """Return the report's tables as LaTeX with booktabs, ready to be ``\\input``; the sentences are comments."""
    head = [f"% {report.title}", "% \\usepackage{booktabs}"]
    said = [f"% {each.comparison}: {each.text}" for each in report.sentences]
    return "\n\n".join(["\n".join(head + said), *(_latex_table(table) for table in report.tables)]) + "\n"


def _latex_table(table: Table) -> str:
    alignment = "".join("r" if numeric else "l" for numeric in _numeric(table))
    header = " & ".join(_tex(column.name) for column in table.columns) + r" \\"
    caption = _tex(table.title) + (f". {_tex(table.note)}" if table.note else "")
    body = [" & ".join(row) + r" \\" for row in _rows(table, _tex)]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \begin{{tabular}}{{{alignment}}}",
            r"    \toprule",
            *(f"    {line}" for line in [*_latex_groups(table), header]),
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_groups(table: Table) -> list[str]:
    """Return the line of group names over their columns, with a rule below each; nothing where there are no groups."""
    if not any(column.group for column in table.columns):
        return []
    names, rules, start = [], [], 1
    for group, members in groupby(column.group for column in table.columns):
        width = len(list(members))
        names.append(rf"\multicolumn{{{width}}}{{c}}{{{_tex(group)}}}" if group else " & ".join([""] * width))
        rules += [rf"\cmidrule(lr){{{start}-{start + width - 1}}}"] if group else []
        start += width
    return [" & ".join(names) + r" \\", " ".join(rules)]


def _numeric(table: Table) -> list[bool]:
    return [is_numeric(column, [row[i] for row in table.rows]) for i, column in enumerate(table.columns)]


def _rows(table: Table, escape: Callable[[str], str]) -> list[list[str]]:
    return [[escape(shown(v, c)) for v, c in zip(row, table.columns, strict=True)] for row in table.rows]


def _md(text: str) -> str:
    """Escape what Markdown would read as markup."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
    "≤": r"$\le$",
    "Δ": r"$\Delta$",
    "‖": r"$\Vert$",
    "₁": r"$_1$",
    "₂": r"$_2$",
    "–": "--",
    "…": r"\dots{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def _tex(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(_TEX.get(character, character) for character in " ".join(text.split()))
