"""Numbers along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.figures import CurvePanel, Curves, Line
from prunekit.report.drawing.style import (
    COLUMN,
    LETTERS,
    MARGIN,
    MOST_BELOW,
    PAGE,
    add_diagonal,
    add_legend,
    axis_name,
    fitted,
    hue,
    make_logarithmic,
    mark_of,
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
LEVEL = (0, (4, 1.5))
"""Dashes of a line that others are held against."""
MOST_MARKS = 30
"""Marks on a line: more would be a thicker line."""
ABREAST, ALL_ABREAST = 0.08, 0.5
"""Distance of lines side by side, where positions are text, in the room of a position, and of the outermost at most."""

BEYOND = 0.4
"""How far a level goes beyond the first and the last position, in the room of a position."""

Floats = NDArray[np.float64]


def draw_curves(figure: Curves) -> Canvas:
    """Draw the panels below each other over one axis, with intervals, and what chance gives dashed."""
    names = list(dict.fromkeys(line.name for panel in figure.panels for line in panel.lines))
    if not names:
        return say(sheet(COLUMN, PANEL), "nothing to show")
    solid = {line.name for panel in figure.panels for line in panel.lines if not line.dashed}
    levels = [name for name in names if name not in solid]
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
            _draw_line(axes, line, names, positions, levels)
        if not positions and all(float(x).is_integer() for line in panel.lines for x in line.x):
            axes.xaxis.get_major_locator().set_params(integer=True)
        if panel.log:
            _scale(axes, panel)
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


def _draw_line(axes: Axes, line: Line, names: list[str], positions: list[str], levels: list[str]) -> None:
    """Draw a line with its intervals: a band along numbers, bars at text, the lines slightly side by side there.

    Those of ``levels`` are dashed; at text, their bars stand at the end.
    """
    index = names.index(line.name)
    colour = hue(index)
    beside = levels if line.name in levels else [name for name in names if name not in levels]
    x, ends = _places(line, beside.index(line.name), len(beside), positions)
    y = _numbers(line.y)
    if line.chance:
        axes.plot(x, _numbers(line.chance), color=colour, linestyle=(0, (3, 2)), linewidth=0.8)
    if line.low and line.high:
        low, high = _numbers(line.low), _numbers(line.high)
        if positions:
            axes.vlines(ends, low[-len(ends) :], high[-len(ends) :], color=colour, linewidth=0.8, alpha=0.8)
        else:
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, y, color=colour, label=line.name, **_look(index, dashed=line.dashed, points=len(x)))


def _places(line: Line, number: int, of: int, positions: list[str]) -> tuple[Floats, Floats]:
    """Return where the values of a line stand, and where its bars do; it is one of several, counted from 0."""
    if not positions:
        x = _numbers(line.x)
        return x, x
    x = np.array([positions.index(str(each)) for each in line.x], dtype=np.float64)
    if not line.dashed:
        x += min(ABREAST, ALL_ABREAST / of) * (number - (of - 1) / 2)
        return x, x
    x[0], x[-1] = x[0] - BEYOND, x[-1] + BEYOND
    return x, x[-1:] - BEYOND / 5 * number


def _look(index: int, *, dashed: bool, points: int = 1) -> dict[str, Any]:
    """Return dashes, or marks at no more than ``MOST_MARKS`` of the points of a line."""
    if dashed:
        return {"linestyle": LEVEL}
    every = math.ceil(points / MOST_MARKS)
    return {"marker": mark_of(index), "markersize": 3, "markeredgewidth": 0, "markevery": every}


def _scale(axes: Axes, panel: CurvePanel) -> None:
    """Make the vertical axis logarithmic: it holds all numbers, and intervals to a tenth and ten times of them."""
    y, low, high = (_positive(value for line in panel.lines for value in getattr(line, end)) for end in _ENDS)
    if not len(y):
        return
    bottom = max(min([*low, *y]), min(y) / 10)
    top = min(max([*high, *y]), max(y) * 10)
    reach = max(1.1, (top / bottom) ** 0.05)
    make_logarithmic(axes, "y", bottom / reach, top * reach)


_ENDS = ("y", "low", "high")


def _positive(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and np.isfinite(value) and value > 0]


def _numbers(values: tuple[float | str | None, ...]) -> Floats:
    """Return an array that is not a number where there is no value: nothing is drawn there."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _handles(figure: Curves, names: list[str]) -> list[Artist]:
    from matplotlib import rcParams
    from matplotlib.lines import Line2D

    dashed = {line.name: line.dashed for panel in figure.panels for line in panel.lines}
    handles: list[Artist] = [
        Line2D([], [], color=hue(i), label=name, **_look(i, dashed=dashed[name]))
        for i, name in enumerate(names)
        if name
    ]
    if any(line.chance for panel in figure.panels for line in panel.lines):
        handles.append(Line2D([], [], color=rcParams["text.color"], linestyle=(0, (3, 2)), linewidth=0.8, label=CHANCE))
    return handles
