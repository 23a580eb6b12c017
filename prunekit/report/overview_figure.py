"""The overview as a picture: how the headline numbers go along the axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prunekit.figures import CurvePanel, Curves, Line
from prunekit.report.cells import exists
from prunekit.report.overview import REFERENCE, Overview, references
from prunekit.tables import Headline, Number

NOTHING = Number(None)


def as_figure(overview: Overview, headlines: Mapping[str, Headline]) -> Curves | None:
    """Return the overview as curves: a panel per headline, a line per title; None where there are no numbers.

    Positions are those of the table's rows, the reference first, as far apart from each other: most sparsities of a
    study lie between 0.9 and 1.
    """
    panels = []
    for measure, headline in headlines.items():
        lines = [_line(overview, group, measure) for group in overview.groups]
        if lines := [line for line in lines if any(y is not None for y in line.y)]:
            panels.append(CurvePanel(headline.name, tuple(lines)))
    if not panels:
        return None
    return Curves(
        name=f"overview.{overview.axis}",
        title=f"Overview by {overview.axis}",
        caption=_caption(overview, panels),
        x_name=overview.axis,
        panels=tuple(panels),
    )


def _line(overview: Overview, group: str, measure: str) -> Line:
    cells = [overview.cells.get((group, value)) for value in overview.values]
    numbers = [cell.numbers.get(measure, NOTHING) if cell else NOTHING for cell in cells]
    intervals = [number.interval or (None, None) for number in numbers]
    return Line(
        name=group,
        x=tuple(REFERENCE if value is None else str(value) for value in overview.values),
        y=_existing([number.value for number in numbers]),
        low=_existing([low for low, _ in intervals]),
        high=_existing([high for _, high in intervals]),
        chance=_existing([number.chance for number in numbers]),
    )


def _existing(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the values, None for what is not finite; () where there are none at all."""
    found = tuple(value if exists(value) else None for value in values)
    return found if any(value is not None for value in found) else ()


def _caption(overview: Overview, panels: Sequence[CurvePanel]) -> str:
    lines = [line for panel in panels for line in panel.lines]
    parts = [f"{' and '.join(panel.y_name for panel in panels)} by {overview.axis}"]
    if any(line.low for line in lines):
        parts.append("Vertical bars: 95 % intervals")
    if any(line.chance for line in lines):
        parts.append("Dashed: what chance alone gives")
    parts.append(references(overview))
    return " ".join(f"{part}." for part in parts if part)
