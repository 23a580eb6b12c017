"""How a raw value is shown."""

from __future__ import annotations

from math import isfinite

from prunekit.protocols import Column

Value = str | float | int | None
ABSENT = "–"


def exists(value: Value) -> bool:
    """Return whether there is a value: None and numbers that are not finite are none."""
    return value is not None and (isinstance(value, str) or isfinite(value))


def shown(value: Value, column: Column) -> str:
    """Return a cell as text: formatted where it is a number, a dash where there is no value."""
    if isinstance(value, str):
        return value
    if value is None or not isfinite(value):
        return ABSENT
    return format(value, column.format)


def is_numeric(column: Column, values: list[Value]) -> bool:
    """Return whether a column holds numbers, and so is set flush right."""
    return bool(column.format) or any(isinstance(value, (int, float)) for value in values)
