"""What a measure says of a study: numbers, tables, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prunekit.comparison import Comparison
from prunekit.figures import Exemplar, Figure

LEVEL = 0.05
"""The p up to which a number counts as told from seed noise, and is marked."""


@dataclass(frozen=True)
class Number:
    """A number with what it takes to judge it; None where that does not exist."""

    value: float | int | None
    spread: float | None = None
    """Standard deviation over members, in the same unit."""
    p: float | None = None
    """How often chance alone gives as much, all tests that were made of it considered."""
    smallest_p: float | None = None
    """The smallest p that so few members can reach."""
    interval: tuple[float, float] | None = None
    """95 % interval, in the same unit."""
    chance: float | None = None
    """What chance alone gives, in the same unit."""


Value = str | float | int | Number | None
"""What a cell of a table holds; None where a value does not exist."""


@dataclass(frozen=True)
class Column:
    """A column of a table. ``format`` is a format specification such as ``.2f``; text is shown as it is."""

    name: str
    format: str = ""
    group: str = ""
    """What stands over it and its neighbours of the same group."""
    key: str = ""
    """What a recipe calls it among the numbers that were published of the measure (``Measure.published_keys``)."""


@dataclass(frozen=True)
class Table:
    """A table of raw values."""

    title: str
    columns: tuple[Column, ...]
    rows: list[tuple[Value, ...]]
    note: str = ""
    comparison: Comparison | None = None
    """The only one that it is about, so that a terminal that shows many leaves it out; None: it is about all."""
    about: tuple[tuple[str, ...], ...] = ()
    """The population that each row is about, then those that its numbers depend on; or none at all. Numbers that were
    published of it stand below the row where there are some of the others, too."""

    def __str__(self) -> str:
        """Return title, names and rows in columns, numbers to the right; of a Number the value alone."""
        names = [column.name for column in self.columns]
        rows = [[_cell(*each) for each in zip(row, self.columns, strict=True)] for row in self.rows]
        widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
        text = [all(isinstance(row[i], str) for row in self.rows) for i in range(len(names))]
        lines = [
            "  ".join(
                f"{cell:{'<' if left else '>'}{width}}" for cell, left, width in zip(row, text, widths, strict=True)
            )
            for row in [names, *rows]
        ]
        return "\n".join([*filter(None, [self.title]), *(line.rstrip() for line in lines)])


def _cell(value: Value, column: Column) -> str:
    value = value.value if isinstance(value, Number) else value
    return "" if value is None else value if isinstance(value, str) else format(value, column.format)


@dataclass(frozen=True)
class Headline:
    """The one number by which a measure enters a table of many populations: of each of them, or of each comparison."""

    name: str
    format: str
    populations: Mapping[str, Number] = field(default_factory=dict)
    comparisons: Sequence[Number] = ()
    """One per comparison, in their order, or none."""
    note: str = ""
    """What the number is."""


@dataclass
class Summary:
    """What a measure says of a study."""

    populations: dict[str, Any] = field(default_factory=dict)
    """JSON value by population; stands under the measure's name in the report's ``populations``."""
    comparisons: list[Any] = field(default_factory=list)
    """JSON value per comparison, in their order; stands under the measure's name in the report's ``comparisons``."""
    headline: Headline | None = None
    tables: list[Table] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    """One clause per comparison for its closing sentence; says no more than the numbers do."""
    whom: list[str] = field(default_factory=list)
    """One clause per comparison on whom it cost more than others ("" where nothing can be said), or none."""
    certainty: list[str] = field(default_factory=list)
    """One clause per comparison on how sure that is ("" where nothing is to be said), or none."""
    findings: list[str] = field(default_factory=list)
    """Sentences on the study as a whole, each with how sure it is; they say no more than the numbers do."""
    figures: list[Figure] = field(default_factory=list)
    exemplars: list[tuple[Exemplar, ...]] = field(default_factory=list)
    """The examples that changed, per comparison, the largest change of votes first; or none at all."""
    readings: list[str] = field(default_factory=list)
    """Which reading of the method was used, where there are several."""
