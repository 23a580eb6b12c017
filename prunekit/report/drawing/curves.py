"""Numbers along an axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunekit.figures import Curves, Line
from prunekit.report.drawing.style import (
    COLUMN,
    LETTERS,
    MARGIN,
    MARKERS,
    MOST_BELOW,
    PAGE,
    add_diagonal,
    add_legend,
    axis_name,
    fitted,
    hue,
    name_categories,
    say,
    sheet,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PANEL = 1.6
"""Height of a panel in inches."""
CHANCE = "by chance"
ABREAST = 0.08
"""Distance of lines side by side, where positions are text, in the room of a position."""


def draw_curves(figure: Curves) -> Canvas:
    """Draw the panels below each other over one axis, with intervals, and what chance gives dashed."""
    names = list(dict.fromkeys(line.name for panel in figure.panels for line in panel.lines))
    if not names:
        return say(sheet(COLUMN, PANEL), "nothing to show")
    positions = _positions(figure)
    columns = 1 if len(figure.panels) <= MOST_BELOW else 2
    rows = math.ceil(len(figure.panels) / columns)
    width = COLUMN if columns == 1 else PAGE
    room = width / columns - MARGIN
    high = room if figure.diagonal else PANEL
    canvas = sheet(width, rows * high + 0.3)
    grid = canvas.subplots(rows, columns, sharex=True, squeeze=False)
    for axes in grid.flat[len(figure.panels) :]:
        axes.set_axis_off()
    for i, (axes, panel) in enumerate(zip(grid.flat, figure.panels, strict=False)):
        for line in panel.lines:
            _draw_line(axes, line, names, positions)
        if positions:
            name_categories(axes, positions, room)
        if figure.diagonal:
            axes.set_box_aspect(1)
            add_diagonal(axes)
        axes.set_ylabel(axis_name(panel.y_name, high))
        axes.set_title(fitted(panel.title, room, LETTERS))
        if i + columns >= len(figure.panels):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(axis_name(figure.x_name, room))
    canvas.align_ylabels()
    add_legend(canvas, _handles(figure, names))
    return canvas


def _positions(figure: Curves) -> list[str]:
    """Return the positions as text, in the order in which they come; none where all are numbers."""
    positions = [x for panel in figure.panels for line in panel.lines for x in line.x]
    return list(dict.fromkeys(map(str, positions))) if any(isinstance(x, str) for x in positions) else []


def _draw_line(axes: Axes, line: Line, names: list[str], positions: list[str]) -> None:
    """Draw a line with its intervals: a band along numbers, bars at text, the lines slightly side by side there."""
    index = names.index(line.name)
    colour = hue(index)
    if positions:
        x = np.array([positions.index(str(each)) for each in line.x]) + ABREAST * (index - (len(names) - 1) / 2)
    else:
        x = _numbers(line.x)
    y = _numbers(line.y)
    if line.chance:
        axes.plot(x, _numbers(line.chance), color=colour, linestyle=(0, (3, 2)), linewidth=0.8)
    if line.low and line.high:
        low, high = _numbers(line.low), _numbers(line.high)
        if positions:
            axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.8)
        else:
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, y, color=colour, marker=_marker(index), markersize=3, markeredgewidth=0, label=line.name)


def _numbers(values: tuple[float | str | None, ...]) -> NDArray[np.float64]:
    """Return an array that is not a number where there is no value: nothing is drawn there."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _marker(index: int) -> str:
    """Return a marker: lines differ in more than colour, and have another one where colours come again."""
    return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]


def _handles(figure: Curves, names: list[str]) -> list[Artist]:
    from matplotlib import rcParams
    from matplotlib.lines import Line2D

    handles: list[Artist] = [
        Line2D([], [], color=hue(i), marker=_marker(i), markersize=3, markeredgewidth=0, label=name)
        for i, name in enumerate(names)
        if name
    ]
    if any(line.chance for panel in figure.panels for line in panel.lines):
        handles.append(Line2D([], [], color=rcParams["text.color"], linestyle=(0, (3, 2)), linewidth=0.8, label=CHANCE))
    return handles
