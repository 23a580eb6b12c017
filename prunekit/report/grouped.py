"""A table whose columns stand in groups, for a terminal: side by side as far as the width goes, the rest below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len
from rich.text import Text

from prunekit.report.cells import MARK, shown
from prunekit.tables import Column, Table, Value

GAP = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class _Block:
    """Columns of one group, all lines of one width."""

    group: str
    lines: list[str]
    """The names of the columns, then the rows."""

    @property
    def width(self) -> int:
        return cell_len(self.lines[0])


def grouped(table: Table, width: int) -> Iterator[Text]:
    """Yield the lines of ``table``; its first column, the label of the rows, comes again where groups go on below."""
    label, *columns = table.columns
    first = _padded([label.name, *(shown(row[0], label) for row in table.rows)], flush_right=False)
    blocks = []
    for group, members in groupby(enumerate(columns, 1), key=lambda each: each[1].group):
        blocks.append(_block(group, [_column(column, [row[i] for row in table.rows]) for i, column in members]))
    for page, beside in enumerate(_pages(blocks, width - cell_len(first[0]) - 1)):
        if page:
            yield Text()
        yield from _lines(first, beside)


def _column(column: Column, values: list[Value]) -> list[str]:
    """Return name and cells, flush right but for the marks, so that digits stand below digits."""
    cells = [shown(value, column) for value in values]
    if any(cell.endswith(MARK) for cell in cells):
        cells = [cell if cell.endswith(MARK) else f"{cell} " for cell in cells]
    return _padded([column.name, *cells], flush_right=True)


def _padded(cells: list[str], *, flush_right: bool) -> list[str]:
    room = max(map(cell_len, cells))
    spaces = [" " * (room - cell_len(cell)) for cell in cells]
    return [space + cell if flush_right else cell + space for cell, space in zip(cells, spaces, strict=True)]


def _block(group: str, columns: list[list[str]]) -> _Block:
    lines = [(" " * GAP).join(cells) for cells in zip(*columns, strict=True)]
    missing = max(0, cell_len(group) - cell_len(lines[0]))
    return _Block(group, [" " * missing + line for line in lines])


def _pages(blocks: list[_Block], width: int) -> Iterator[list[_Block]]:
    """Yield the blocks that stand side by side; one that is wider than the width stands alone."""
    page: list[_Block] = []
    for block in blocks:
        if page and sum(GAP + each.width for each in [*page, block]) > width:
            yield page
            page = []
        page.append(block)
    yield page


def _lines(label: list[str], blocks: list[_Block]) -> Iterator[Text]:
    gap, indent = " " * GAP, " "
    names = gap.join(f"{block.group:^{block.width}}" for block in blocks)
    rules = gap.join("─" * width for width in (cell_len(label[0]), *(block.width for block in blocks)))
    head, *rows = [indent + gap.join(line) for line in zip(label, *(block.lines for block in blocks), strict=True)]
    yield _line(indent + " " * cell_len(label[0]) + gap + names, "bold")
    yield _line(head, "bold")
    yield _line(indent + rules, "dim")
    for row in rows:
        yield _line(row)


def _line(text: str, style: str = "") -> Text:
    return Text(text.rstrip(), style=style, overflow="fold")
