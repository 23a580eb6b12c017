"""Embeddings side by side, coloured by class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from prunekit.figures import PlanePanel, Planes
from prunekit.report.drawing.style import (
    COLUMN,
    LETTERS,
    LINE,
    MOST_VECTORS,
    PAGE,
    SMALL,
    add_legend,
    area_of,
    dot,
    fitted,
    marker,
    say,
    sheet,
    tone,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

MOST_ABREAST = 3
"""Panels in a row, where they have no places."""
MOST_NAMED = 30
"""Classes up to which the legend names them."""


def draw_planes(figure: Planes) -> Canvas:
    """Draw the panels as squares without scales: by place where each has its own, else in reading order."""
    if not figure.panels:
        return say(sheet(COLUMN, COLUMN / 2), "nothing to show")
    places = [panel.place for panel in figure.panels if panel.place is not None]
    placed = len(set(places)) == len(figure.panels)
    rows = list(dict.fromkeys(row for row, _ in places)) if placed else []
    columns = list(dict.fromkeys(column for _, column in places)) if placed else []
    across = len(columns) or min(len(figure.panels), MOST_ABREAST)
    down = len(rows) or math.ceil(len(figure.panels) / across)
    width = COLUMN if across == 1 else PAGE
    side = (width - (2 * LINE if rows else 0)) / across - 0.1
    notes = [wrapped(panel.note, side) for panel in figure.panels]
    canvas = sheet(width, down * (side + LINE * (1.5 + max(map(len, notes)))) + (LINE if columns else 0))
    grid = canvas.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], box_aspect=1)
        axes.spines[:].set_visible(False)
    for i, panel in enumerate(figure.panels):
        row, column = (rows.index(places[i][0]), columns.index(places[i][1])) if placed else divmod(i, across)
        axes = grid[row, column]
        _draw_panel(axes, panel, figure)
        axes.set_title(fitted(panel.title, side, LETTERS))
        axes.set_xlabel("\n".join(notes[i]), fontsize=SMALL)
    for axes, name in zip(grid[0], columns, strict=False):
        heading, title = fitted(name, side, LETTERS), axes.get_title()
        axes.set_title(heading if heading == title else f"{heading}\n{title}".rstrip())
    for axes, name in zip(grid[:, 0], rows, strict=False):
        axes.set_ylabel(fitted(name, side, LETTERS))
    add_legend(canvas, _handles(figure))
    return canvas


def _draw_panel(axes: Axes, panel: PlanePanel, figure: Planes) -> None:
    """Draw the points in a random order, the same each time: no class lies on top of the others."""
    finite = np.flatnonzero(np.isfinite(panel.x) & np.isfinite(panel.y))
    order = np.random.default_rng(0).permutation(finite)
    labels = figure.labels[order]
    colours = np.array([tone(i) for i in range(len(figure.classes))])
    markers = np.array([marker(i) for i in range(len(figure.classes))])
    for mark in np.unique(markers[labels]).tolist():
        mine = markers[labels] == mark
        axes.scatter(
            panel.x[order[mine]],
            panel.y[order[mine]],
            s=area_of(len(order)),
            c=colours[labels[mine]].tolist(),
            marker=mark,
            linewidths=0,
            alpha=0.8,
            rasterized=len(figure.labels) * len(figure.panels) > MOST_VECTORS,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set(visible=True, alpha=0.4)


def _handles(figure: Planes) -> list[Line2D]:
    present = np.unique(figure.labels).tolist()
    if len(present) > MOST_NAMED:
        return [dot("none", f"{len(present)} classes, a colour and a mark each")]
    return [dot(tone(i), figure.classes[i], marker(i)) for i in present]
