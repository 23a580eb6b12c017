"""A report for the eye: plain tables on a terminal, the same without colours in a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from prunekit.report.build import MOST_IN_FULL, Report
from prunekit.report.cells import ABSENT, FINDINGS, is_numeric, shown
from prunekit.report.grouped import GAP, grouped
from prunekit.tables import Table

MOST_ROWS = 30
"""Rows that are shown of a table about one comparison; the other formats hold all of them."""
PIPE_WIDTH = 120
MOST_LINES = 4
"""Lines of a heading."""


def print_report(report: Report, console: Console | None = None) -> None:
    """Print ``report`` on ``console``, standard output by default."""
    if console is None:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = PIPE_WIDTH
    console.print(Group(*_parts(report, console.width)))


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    in_full = len(report.sentences) <= MOST_IN_FULL
    yield Text(report.title, style="bold")
    for table in report.tables:
        if in_full or table.comparison is None:
            yield from _titled(table, width)
    for heading, lines in (("How it was measured", report.readings), ("Notes", report.notes)):
        if lines:
            yield Text()
            yield Text(heading, style="bold cyan")
            yield from (_bullet(line) for line in lines)
    if report.findings:
        yield Text()
        yield Text(FINDINGS, style="bold cyan")
        yield from (_bullet(line) for line in report.findings)
    for sentence in report.sentences if in_full else ():
        yield Text()
        yield Text.assemble((sentence.comparison, "bold"), "\n", sentence.text)
    if not in_full:
        first = report.document["comparisons"][0]
        option = f"--compare {first['reference']},{first['pruned']}"
        yield Text()
        yield Text.assemble(
            f"{len(report.sentences)} comparisons: ", (option, "bold"), " shows one in full; other formats show all."
        )


def _titled(table: Table, width: int) -> Iterator[RenderableType]:
    """A table about one comparison may have a row per class or example: it is cut."""
    rows = table.rows if table.comparison is None else table.rows[:MOST_ROWS]
    yield Text()
    yield Text(table.title, style="bold cyan")
    yield _rendered(replace(table, rows=rows), width)
    if len(rows) < len(table.rows):
        yield _indented(f"… {len(table.rows) - len(rows)} more rows: --format csv shows all of them", "dim")
    if table.note:
        yield _indented(table.note, "dim")


def _rendered(table: Table, width: int) -> RenderableType:
    if not table.rows:
        return _indented("none", "")
    if any(column.group for column in table.columns):
        return Group(*grouped(table, width))
    rows = [[shown(v, c) for v, c in zip(row, table.columns, strict=True)] for row in table.rows]
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True, border_style="dim")
    for i, heading in enumerate(_headings(table, rows, width)):
        numeric = is_numeric(table.columns[i], [row[i] for row in table.rows])
        grid.add_column(
            Text(heading, style="bold"),
            justify="right" if numeric else "left",
            vertical="bottom",
            overflow="fold",
            no_wrap=numeric,
        )
    for row in rows:
        grid.add_row(*(Text(text, style="dim" if text == ABSENT else "") for text in row))
    return grid


def _headings(table: Table, rows: list[list[str]], width: int) -> list[str]:
    """Return the headings, on as few lines as they need for the table not to be too wide."""
    names = [column.name for column in table.columns]
    cells = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    headings: list[list[str]] = []
    for lines in range(1, MOST_LINES + 1):
        headings = [_wrapped(name, room, lines) for name, room in zip(names, cells, strict=True)]
        widths = [max(room, *map(cell_len, heading)) for room, heading in zip(cells, headings, strict=True)]
        if sum(widths) + GAP * len(widths) < width:
            break
    return ["\n".join(heading) for heading in headings]


def _wrapped(name: str, room: int, lines: int) -> list[str]:
    """Wrap ``name`` to at least ``room``, and wide enough for it to take no more than ``lines``."""
    held, wide = name.replace(" %", "\N{NO-BREAK SPACE}%"), max(room, 1)
    while len(found := textwrap.wrap(held, wide, break_long_words=False, break_on_hyphens=False)) > lines:
        wide += 1
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in found] or [""]


def _indented(text: str, style: str) -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 1), expand=False)


def _bullet(text: str) -> RenderableType:
    line = RichTable.grid(padding=(0, 1, 0, 0))
    line.add_row(Text(" ·", style="dim"), Text(text))
    return line
