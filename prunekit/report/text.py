"""A report as text for other programs: JSON, CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from math import ceil

from prunekit.report.build import Report, Sentence
from prunekit.report.cells import FINDINGS, MARK, PUBLISHED, exists, full_name, is_numeric, shown
from prunekit.report.tex import escaped
from prunekit.tables import Column, Number, Table, Value


def to_json(report: Report) -> str:
    """Return the report's document."""
    return json.dumps(report.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """Return all tables as one tidy table of raw values: ``table,row,column,value``; a missing value is empty.

    What else a number says of itself has lines of its own: ``accuracy, %: spread``.
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
    low, high = value.interval or (None, None)
    parts = {"spread": value.spread, "low": low, "high": high, "chance": value.chance}
    parts |= {"p": value.p, "smallest p": value.smallest_p}
    yield from ((f"{name}: {part}", said) for part, said in parts.items() if exists(said))


def to_markdown(report: Report) -> str:
    """Return the report as a Markdown page with pipe tables."""
    blocks = [f"# {_md(report.title)}", *(_markdown_table(table) for table in report.tables)]
    if report.findings:
        blocks.append(f"## {FINDINGS}\n\n" + "\n".join(f"- {_md(line)}" for line in report.findings))
    blocks += [f"**{_md(each.comparison)}.** {_md(_said(each))}" for each in report.sentences]
    for heading, lines in (("How it was measured", report.readings), ("Notes", report.notes)):
        if lines:
            blocks.append(f"## {heading}\n\n" + "\n".join(f"- {_md(line)}" for line in lines))
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: Table) -> str:
    rules = ["---:" if numeric else "---" for numeric in _numeric(table)]
    rows = [[_md(shown(v, c)) for v, c in zip(row, table.columns, strict=True)] for row in table.rows]
    lines = [[_md(full_name(column)) for column in table.columns], rules, *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {_md(table.title)}\n\n{text}" + (f"\n\n{_md(table.note)}" if table.note else "")


MOST_ROWS = 40
"""Rows of a LaTeX table: what does not fit on a page goes on in another."""
MOST_FLOATS = 10
"""LaTeX holds back so many tables, and some more, before it gives up on placing them."""


def to_latex(report: Report) -> str:
    """Return the report's tables as LaTeX with booktabs, ready to be ``\\input``; the sentences are comments.

    A table is labelled by its title, and made smaller where it is wider than the text.
    """
    head = [f"% {report.title}", "% \\usepackage{booktabs,graphicx}"]
    head += [f"% {' '.join(line.split())}" for line in report.findings]
    head += [f"% {each.comparison}: {_said(each)}" for each in report.sentences]
    pieces = [piece for table in report.tables for piece in _pieces(table)]
    tables = [_latex_table(piece, label) for piece, label in zip(pieces, _labels(pieces), strict=True)]
    for i in range(MOST_FLOATS, len(tables), MOST_FLOATS):
        tables[i] = f"\\clearpage\n\n{tables[i]}"
    return "\n\n".join(["\n".join(head), *tables]) + "\n"


def _pieces(table: Table) -> Iterator[Table]:
    """Yield ``table``, or equal parts of it that fit on a page; the last one has the note."""
    title, rows = table.title, table.rows
    while len(rows) > MOST_ROWS:
        cut = ceil(len(rows) / ceil(len(rows) / MOST_ROWS))
        cut -= rows[cut][0] == PUBLISHED  # published numbers stay below those that they go with
        yield replace(table, title=title, rows=rows[:cut], note="")
        title, rows = f"{table.title} (continued)", rows[cut:]
    yield replace(table, title=title, rows=rows)


def _labels(tables: Sequence[Table]) -> Iterator[str]:
    """Yield ``tab:`` and the words of the title, with a number where other tables have the same."""
    seen: Counter[str] = Counter()
    for table in tables:
        slug = re.sub(r"[^a-z0-9.]+", "-", table.title.lower()).strip("-") or "table"
        seen[slug] += 1
        yield f"tab:{slug}" + (f"-{seen[slug]}" if seen[slug] > 1 else "")


def _latex_table(table: Table, label: str) -> str:
    alignment = "".join("r" if numeric else "l" for numeric in _numeric(table))
    header = " & ".join(escaped(column.name) for column in table.columns) + r" \\"
    groups = _latex_groups(table)
    note = rf"  \par\smallskip\parbox{{\linewidth}}{{\footnotesize {escaped(table.note)}}}"
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"  \centering",
            rf"  \caption{{{escaped(table.title)}}}",
            rf"  \label{{{label}}}",
            r"  \smallskip",
            *([r"  \setlength{\tabcolsep}{4pt}"] if groups else []),
            r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"  \begin{{tabular}}{{{alignment}}}",
            r"    \toprule",
            *(f"    {line}" for line in [*groups, header]),
            r"    \midrule",
            *(f"    {line}" for line in _latex_rows(table)),
            r"    \bottomrule",
            r"  \end{tabular}}",
            *([note] if table.note else []),
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
        names.append(rf"\multicolumn{{{width}}}{{c}}{{{escaped(group)}}}" if group else " & ".join([""] * width))
        rules += [rf"\cmidrule(lr){{{start}-{start + width - 1}}}"] if group else []
        start += width
    return [" & ".join(names) + r" \\", " ".join(rules)]


def _latex_rows(table: Table) -> list[str]:
    if not table.rows:
        return [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{none}} \\"]
    rows = []
    for row in table.rows:
        line = " & ".join(map(_latex_cell, row, table.columns)) + r" \\"
        line = f"{{}}{line}" if line[0] in "[*" else line  # what follows \\ would be taken for its options
        rows.append(line + (r" \addlinespace" if row[0] == PUBLISHED else ""))
    return rows


def _latex_cell(value: Value, column: Column) -> str:
    """Marks take no room, so that digits stand below digits."""
    text = shown(value, column)
    if isinstance(value, str):
        return escaped(text)
    number, mark, _ = text.partition(MARK)
    return escaped(re.sub("^-", "−", number)) + (rf"\rlap{{{mark}}}" if mark else "")


def _numeric(table: Table) -> list[bool]:
    return [is_numeric(column, [row[i] for row in table.rows]) for i, column in enumerate(table.columns)]


def _said(sentence: Sentence) -> str:
    """Return what a comparison comes to, on one line."""
    return " ".join(f"{sentence.text} {sentence.whom} {sentence.certainty}".split())


def _md(text: str) -> str:
    """Escape what Markdown would read as markup."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))
