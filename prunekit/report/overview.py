"""The study at a glance: along the axis on which its populations repeat, the headline numbers of every measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from prunekit.comparison import Comparison
from prunekit.observed import Place
from prunekit.report.arrays import LoadedStudy, Published
from prunekit.report.cells import MARK, MARKED, PUBLISHED, is_marked
from prunekit.tables import LEVEL, Column, Headline, Number, Table, Value

REFERENCE = "reference"


@dataclass(frozen=True)
class Cell:
    """A population in the overview."""

    group: str
    value: Any
    """Where it stands on the axis; None for a reference."""
    population: str
    reference: str | None
    """What it is compared with; None for a reference, and where it is not finished."""
    numbers: Mapping[str, Number] = field(default_factory=dict)
    """By measure."""
    published: Mapping[str, Number] = field(default_factory=dict)
    """By measure: only what was measured in the same way, against the same reference."""


@dataclass(frozen=True)
class Overview:
    """All populations that lie along one axis."""

    axis: str
    groups: tuple[str, ...]
    values: tuple[Any, ...]
    cells: Mapping[tuple[str, Any], Cell]
    """By group and value."""

    def as_json(self) -> dict[str, Any]:
        """Return axis and cells, with raw numbers."""
        cells = [asdict(cell) for cell in self.cells.values()]
        for cell in cells:
            cell["published"] = {
                measure: {"value": number["value"], "spread": number["spread"]}
                for measure, number in cell["published"].items()
            }
        return {"axis": self.axis, "cells": cells}


def overviews(
    study: LoadedStudy,
    comparisons: Sequence[Comparison],
    headlines: Mapping[str, Headline],
    published: Published | None = None,
) -> list[Overview]:
    """Return one overview per axis along which several of the pruned populations lie.

    With ``published`` numbers one is enough, and those that lie on no axis have an overview of their own.
    """
    places = dict(study.places)
    if published is not None:
        places = {each.pruned: Place("population", each.pruned, "") for each in comparisons} | places
    along: dict[str, dict[str, int]] = {}
    for i, comparison in enumerate(comparisons):
        if comparison.pruned in places:  # compared twice, the first comparison counts
            along.setdefault(places[comparison.pruned].axis, {}).setdefault(comparison.pruned, i)
    source = _Source(study, comparisons, headlines, published, places)
    found = [(_overview(axis, source, chosen), len(chosen)) for axis, chosen in along.items()]
    beside = [any(cell.published for cell in overview.cells.values()) for overview, _ in found]
    return [overview for (overview, several), has in zip(found, beside, strict=True) if several > 1 or has]


@dataclass(frozen=True)
class _Source:
    """Where the numbers come from."""

    study: LoadedStudy
    comparisons: Sequence[Comparison]
    headlines: Mapping[str, Headline]
    published: Published | None
    places: Mapping[str, Place]

    def compared(self, i: int) -> Cell:
        """Return the cell of the pruned population of a comparison."""
        reference, name = self.comparisons[i].reference, self.comparisons[i].pruned
        of_comparisons = {m: headline.comparisons[i] for m, headline in self.headlines.items() if headline.comparisons}
        published = self._published(name)
        usual = next((each.reference for each in self.study.comparisons if each.pruned == name), reference)
        if reference != usual:  # what is published compares with another
            published = {measure: number for measure, number in published.items() if measure not in of_comparisons}
        numbers = self._of_population(name) | of_comparisons
        return Cell(self.places[name].group, self.places[name].value, name, reference, numbers, published)

    def unfinished(self, name: str) -> Cell:
        """Return the cell of a population that is not there yet."""
        return Cell(self.places[name].group, self.places[name].value, name, None, {}, self._published(name))

    def reference(self, group: str, name: str) -> Cell:
        """Return the cell of a reference."""
        return Cell(group, None, name, None, self._of_population(name), self._published(name))

    def _of_population(self, name: str) -> dict[str, Number]:
        return {m: headline.populations[name] for m, headline in self.headlines.items() if name in headline.populations}

    def _published(self, name: str) -> dict[str, Number]:
        numbers = self.published.populations.get(name, {}) if self.published is not None else {}
        return {m: number for m, number in numbers.items() if m in self.headlines and isinstance(number, Number)}


def _overview(axis: str, source: _Source, chosen: Mapping[str, int]) -> Overview:
    references: dict[str, set[str]] = {}
    for name, i in chosen.items():
        references.setdefault(source.places[name].group, set()).add(source.comparisons[i].reference)
    groups = tuple(references)
    cells: dict[tuple[str, Any], Cell] = {
        (group, None): source.reference(group, *names) for group, names in references.items() if len(names) == 1
    }
    for name, place in source.places.items():
        if name in chosen:
            cells[place.group, place.value] = source.compared(chosen[name])
        elif name not in source.study.columns.populations and place.axis == axis and place.group in groups:
            cells[place.group, place.value] = source.unfinished(name)
    return Overview(axis, groups, _ordered(value for _, value in cells), cells)


def _ordered(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return every value once: None first, numbers by size, anything else in the order of the recipe."""
    different = list(dict.fromkeys(values))
    known = [value for value in different if value is not None]
    if all(isinstance(value, int | float) for value in known):
        known.sort()
    return (*((None,) if None in different else ()), *known)


# ------------------------------------------------------------------------------------------------------------ table


def as_table(overview: Overview, headlines: Mapping[str, Headline], published: Published | None = None) -> Table:
    """Return the overview as a table: a row per value on the axis, a group of columns per title."""
    columns = [Column(overview.axis)]
    for group in overview.groups:
        columns += [Column(headline.name, headline.format, group) for headline in headlines.values()]
    rows = []
    for value in overview.values:
        row = [overview.cells.get((group, value)) for group in overview.groups]
        label = REFERENCE if value is None else str(value)
        rows.append(_row(label, [cell.numbers if cell else {} for cell in row], headlines))
        if any(cell.published for cell in row if cell):
            rows.append(_row(PUBLISHED, [cell.published if cell else {} for cell in row], headlines))
    return Table(f"Overview by {overview.axis}", tuple(columns), rows, note=_note(overview, headlines, published))


def _row(label: str, cells: list[Mapping[str, Number]], headlines: Mapping[str, Headline]) -> tuple[Value, ...]:
    return (label, *(numbers.get(measure) for numbers in cells for measure in headlines))


def _note(overview: Overview, headlines: Mapping[str, Headline], published: Published | None) -> str:
    cells = overview.cells.values()
    parts = [headline.note for headline in headlines.values()]
    parts += [_marks(h.name, [c.numbers[m] for c in cells if m in c.numbers]) for m, h in headlines.items()]
    parts.append(references(overview))
    if published is not None:
        missing = len(published.populations.keys() - {cell.population for cell in cells})
        more = f" ({missing} populations more than stand here)" if missing else ""
        parts.append(f"{PUBLISHED}: {published.source}{more}")
    return " ".join(f"{part}." for part in parts if part)


def _marks(name: str, numbers: Sequence[Number]) -> str:
    """Say what the mark means, and where so few members cannot earn it."""
    judged = [number for number in numbers if number.p is not None]
    if not judged:
        return ""
    text = f"{MARK} after {name}: {MARKED}"
    unable = [n.smallest_p for n in judged if n.smallest_p is not None and n.smallest_p > LEVEL]
    if unable:
        text += f"; {len(unable)} of {len(judged)} have too few members to earn it (p is {min(unable):.2g} at best)"
    elif not any(map(is_marked, judged)):
        text += "; none has it"
    return text


def references(overview: Overview) -> str:
    """Return which populations are the references of which titles; "" where there are none."""
    groups: dict[str, list[str]] = {}
    for (group, value), cell in overview.cells.items():
        if value is None:
            groups.setdefault(cell.population, []).append(group)
    listed = [name + (f" for {', '.join(of)}" if any(of) and len(groups) > 1 else "") for name, of in groups.items()]
    return f"{REFERENCE}: {'; '.join(listed)}" if listed else ""
