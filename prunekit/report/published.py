"""A publication's numbers in the tables of measures: a row below that of the same population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prunekit.report.arrays import Published
from prunekit.report.cells import PUBLISHED
from prunekit.tables import Number, Table, Value


def with_published(table: Table, measure: str, published: Published) -> Table:
    """Return a table of ``measure`` with the published numbers below the rows about their populations.

    A number stands in the column of its key; a table in which none has a place is returned as it is.
    """
    rows: list[tuple[Value, ...]] = []
    for populations, row in zip(table.about or [()] * len(table.rows), table.rows, strict=True):
        figures = [published.populations.get(name, {}).get(measure) for name in populations]
        given = figures[0] if figures and all(figures) else None
        cells = [given.get(column.key) for column in table.columns] if isinstance(given, Mapping) else []
        rows.append(row)
        if any(cells):
            rows.append((PUBLISHED, *cells[1:]))
    if len(rows) == len(table.rows):
        return table
    return replace(table, rows=rows, about=(), note=f"{table.note} {PUBLISHED}: {published.source}.".strip())


def as_json(published: Published) -> dict[str, Any]:
    """Return source and numbers as they stand in a report's document."""
    populations = {
        name: {measure: _numbers(said) for measure, said in numbers.items()}
        for name, numbers in published.populations.items()
    }
    return {"source": published.source, "populations": populations}


def _numbers(said: Number | Mapping[str, Number]) -> dict[str, Any]:
    if isinstance(said, Number):
        return {"value": said.value, "spread": said.spread}
    return {key: _numbers(number) for key, number in said.items()}
