"""How a raw value is shown."""

from __future__ import annotations

from math import isfinite

from prunekit.tables import LEVEL, Column, Number, Value

ABSENT = "–"
PUBLISHED = "published"
"""The first cell of a row of published numbers; they belong to the row above."""
FINDINGS = "What the study finds"
"""The heading of sentences on a study as a whole."""
MARK = "*"
MARKED = f"told from seed noise (p ≤ {LEVEL:g}, each on its own)"
"""What the mark means."""


def exists(value: Value) -> bool:
    """Return whether there is a value: None and numbers that are not finite are none."""
    if isinstance(value, Number):
        value = value.value
    return value is not None and (isinstance(value, str) or isfinite(value))


def shown(value: Value, column: Column) -> str:
    """Return a cell as text: formatted where it is a number, a dash where there is no value."""
    if isinstance(value, str):
        return value
    if isinstance(value, Number):
        spread = f" ± {shown(value.spread, column)}" if exists(value) and exists(value.spread) else ""
        return shown(value.value, column) + spread + (MARK if is_marked(value) else "")
    if value is None or not isfinite(value):
        return ABSENT
    return format(value, column.format)


def is_marked(number: Number) -> bool:
    """Return whether what it says is more than chance explains."""
    return number.p is not None and number.p <= LEVEL


def is_numeric(column: Column, values: list[Value]) -> bool:
    """Return whether a column holds numbers, and so is set flush right."""
    return bool(column.format) or any(isinstance(value, int | float | Number) for value in values)


def full_name(column: Column) -> str:
    """Return the name of a column where groups have no line of their own."""
    return f"{column.group}: {column.name}" if column.group else column.name
