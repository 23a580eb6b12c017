"""One number against another, a point per example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prunekit.figures import Points
from prunekit.report.drawing.style import (
    COLUMN,
    MARGIN,
    MOST_VECTORS,
    MUTED,
    STRONG,
    add_diagonal,
    add_legend,
    area_of,
    axis_name,
    dot,
    say,
    sheet,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure as Canvas


def draw_points(figure: Points) -> Canvas:
    """Draw the points, the marked ones last; the legend counts both."""
    canvas = sheet(COLUMN, COLUMN)
    finite = np.isfinite(figure.x) & np.isfinite(figure.y)
    if not finite.any():
        return say(canvas, "no examples to show")
    axes = canvas.add_subplot(box_aspect=1)
    x, y = figure.x[finite], figure.y[finite]
    marked = figure.marked[finite]
    area = area_of(len(x))
    distinct = len(np.unique(np.stack([x, y]), axis=1).T) / len(x)
    share = marked.mean()
    handles: list[Artist] = []
    for chosen, name, colour, size, alpha in (
        (~marked, figure.rest_name, MUTED, area, max(0.15, 0.5 * distinct)),  # the more coincide, the paler each is
        (marked, figure.marked_name, STRONG, max(1, 2 - 5 * share) * area, max(0.4, 0.8 - share)),  # many hide the rest
    ):
        axes.scatter(x[chosen], y[chosen], size, colour, alpha=alpha, linewidths=0, rasterized=len(x) > MOST_VECTORS)
        handles.insert(0, dot(colour, f"{chosen.sum():,} {name}"))
    if figure.diagonal:
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        margin = 0.04 * (high - low) or 0.5
        axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
        add_diagonal(axes)
    axes.set_xlabel(axis_name(figure.x_name, COLUMN - MARGIN))
    axes.set_ylabel(axis_name(figure.y_name, COLUMN - MARGIN))
    add_legend(canvas, handles)
    return canvas
