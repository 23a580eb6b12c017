"""Numbers by category."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunekit.figures import Bar, BarPanel, Bars
from prunekit.report.drawing.style import (
    COLUMN,
    LETTERS,
    LIGHT,
    MARGIN,
    MOST_BELOW,
    NAME,
    PAGE,
    add_legend,
    axis_name,
    fitted,
    hue,
    name_categories,
    say,
    sheet,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PANEL = 1.25
"""Height of a panel in inches."""
MOST_IN_COLUMN = 24
"""Bars side by side up to which a panel is as narrow as a column."""
SHARE = 0.8
"""Of the room of a category that its bars take."""

Colour = tuple[float, float, float, float]


def draw_bars(figure: Bars) -> Canvas:
    """Draw the panels below each other; side by side, too, where they are many and narrow."""
    from matplotlib.patches import Patch

    categories, panels = figure.categories, figure.panels
    if not categories or not panels:
        return say(sheet(COLUMN, PANEL), "nothing to show")
    wide = len(categories) * max(len(_places(panel)) for panel in panels) > MOST_IN_COLUMN
    columns = 1 if wide or len(panels) <= MOST_BELOW else 2
    rows = math.ceil(len(panels) / columns)
    width = PAGE if wide or columns > 1 else COLUMN
    room = (width - MARGIN) / columns - 0.1
    canvas = sheet(width, rows * PANEL + min(NAME, max(map(width_of, categories))))
    grid = canvas.subplots(rows, columns, sharex=True, sharey=figure.one_scale, squeeze=False)
    colours = _colours(panels)
    for i, axes in enumerate(grid.flat):
        if i < len(panels):
            _draw_panel(axes, panels[i], colours)
            axes.set_title(fitted(panels[i].title, room, LETTERS))
            name_categories(axes, categories, room)
            axes.tick_params(labelbottom=i + columns >= len(panels))
        else:
            axes.set_axis_off()
    name = axis_name(figure.value_name, rows * PANEL)
    canvas.supylabel(name, fontsize=LETTERS) if rows > 1 else grid[0, 0].set_ylabel(name)
    if all(_whole(bar) for panel in panels for bar in panel.bars):
        for axes in grid.flat:
            axes.yaxis.get_major_locator().set_params(integer=True)
    add_legend(canvas, [Patch(color=colour, linewidth=0, label=name) for name, colour in colours.items()])
    return canvas


def _places(panel: BarPanel) -> list[str]:
    """Return what stands side by side over a category: stacks, and bars on their own."""
    return list(dict.fromkeys(map(_place, panel.bars)))


def _place(bar: Bar) -> str:
    return f"stack {bar.stack}" if bar.stack else f"bar {bar.name}"


def _colours(panels: tuple[BarPanel, ...]) -> dict[str, Colour]:
    """Return the colour of each bar by name: a light one has that of the last full one of its stack."""
    from matplotlib.colors import to_rgba

    colours: dict[str, Colour] = {}
    of_stack: dict[str, str] = {}
    hues = 0
    for bar in (bar for panel in panels for bar in panel.bars):
        if bar.name in colours:
            continue
        if not bar.light or bar.stack not in of_stack:
            of_stack[bar.stack] = hue(hues)
            hues += 1
        colours[bar.name] = to_rgba(of_stack[bar.stack], LIGHT if bar.light else 1.0)
    return colours


def _draw_panel(axes: Axes, panel: BarPanel, colours: dict[str, Colour]) -> None:
    places = _places(panel)
    width = SHARE / len(places)
    top: dict[str, NDArray[np.float64]] = {}
    for bar in panel.bars:
        place, values = _place(bar), _finite(bar)
        left = np.arange(len(values)) - SHARE / 2 + width * places.index(place)
        bottom = top.get(place, np.zeros(len(values)))
        axes.bar(left, values, width, bottom, align="edge", color=colours[bar.name], linewidth=0, label=bar.name)
        top[place] = bottom + values
    if any((values < 0).any() for values in top.values()):
        axes.axhline(0, color=axes.yaxis.label.get_color(), linewidth=0.6)


def _finite(bar: Bar) -> NDArray[np.float64]:
    """Return the values; what does not exist has no height."""
    return np.nan_to_num(np.asarray(bar.values, dtype=np.float64), nan=0, posinf=0, neginf=0)


def _whole(bar: Bar) -> bool:
    return bool((_finite(bar) % 1 == 0).all())
