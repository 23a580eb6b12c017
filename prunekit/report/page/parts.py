"""Tables and figures as a page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from prunekit.comparison import Comparison
from prunekit.report.cells import ABSENT, exists, is_marked, is_numeric, shown
from prunekit.tables import Column, Number, Table, Value

SHORT, LONG = 28, 40
"""Characters up to which text stays in one line, and from which it is given room."""


@dataclass(frozen=True)
class Cell:
    """A cell as it is shown."""

    text: str
    look: str
    """Classes: number, short or long; absent; marked."""
    hint: str = ""
    """What it takes to judge the number."""


@dataclass(frozen=True)
class ShownTable:
    """A table as it is shown."""

    name: str
    title: str
    """The name; "" where the heading of the section says it."""
    groups: list[tuple[str, int]]
    """Name and number of columns of each group; [] where there are none."""
    heads: list[tuple[str, bool]]
    """Name of each column, and whether it holds numbers."""
    rows: list[list[Cell]]
    note: str
    comparison: int | None
    """Which comparison it is about; None: all of them."""


@dataclass(frozen=True)
class ShownFigure:
    """A figure as it is shown."""

    title: str
    caption: str
    svg: str
    wide: bool
    """Whether it takes the whole width."""
    comparison: int | None


def position(comparison: Comparison | None, comparisons: Sequence[Comparison]) -> int | None:
    """Return which of ``comparisons`` a table or figure is about; None where it is about none of them alone."""
    return comparisons.index(comparison) if comparison in comparisons else None


def shown_table(table: Table, comparisons: Sequence[Comparison]) -> ShownTable:
    """Return ``table`` with its cells as text."""
    numeric = [is_numeric(column, [row[i] for row in table.rows]) for i, column in enumerate(table.columns)]
    groups = [(group, len(list(members))) for group, members in groupby(column.group for column in table.columns)]
    return ShownTable(
        name=table.title,
        title=table.title,
        groups=groups if any(group for group, _ in groups) else [],
        heads=[(column.name, of_numbers) for column, of_numbers in zip(table.columns, numeric, strict=True)],
        rows=[[_cell(*each) for each in zip(row, table.columns, numeric, strict=True)] for row in table.rows],
        note=table.note,
        comparison=position(table.comparison, comparisons),
    )


def _cell(value: Value, column: Column, numeric: bool) -> Cell:
    text = shown(value, column)
    size = "number" if numeric else "short" if len(text) <= SHORT else "long" if len(text) >= LONG else ""
    looks = [size, *["absent"] * (text == ABSENT)]
    if not isinstance(value, Number):
        return Cell(text, " ".join(looks))
    return Cell(text, " ".join(looks + ["marked"] * is_marked(value)), "; ".join(judged(value, column)))


def judged(number: Number, column: Column) -> Iterator[str]:
    """Yield what it takes to judge a number: its interval, what chance gives, its p."""
    plain = replace(column, format=column.format.replace("d", ".1f"))  # chance and intervals are no whole numbers
    if number.interval is not None:
        yield f"95 % from {shown(number.interval[0], plain)} to {shown(number.interval[1], plain)}"
    if exists(number.chance):
        yield f"{shown(number.chance, plain)} by chance"
    if number.p is not None:
        best = f", {number.smallest_p:.2g} at best" if number.smallest_p is not None else ""
        yield f"p = {number.p:.2g}{best}"
