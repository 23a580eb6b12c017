"""One number against another, in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunekit.figures import PointGroup, Scatter
from prunekit.report.drawing.style import (
    COLUMN,
    LINE,
    MARGIN,
    MOST_VECTORS,
    SMALL,
    add_diagonal,
    add_legend,
    area_of,
    axis_name,
    dot,
    make_logarithmic,
    mark_of,
    say,
    sheet,
    tone,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

HEIGHT = 2.6
"""Of the figure in inches, without legend and note."""

Floats = NDArray[np.float64]


def draw_scatter(figure: Scatter) -> Canvas:
    """Draw the groups in their colours and marks, the smallest last, so that none is hidden; the note stands above."""
    canvas = sheet(COLUMN, HEIGHT)
    shown = [_shown(group, log=figure.log_x) for group in figure.groups]
    x, y = (np.concatenate([each[i] for each in shown] or [np.empty(0)]) for i in (0, 1))
    if not len(x):
        return say(canvas, "nothing to show")
    axes = canvas.add_subplot()
    for i in sorted(range(len(shown)), key=lambda i: -len(shown[i][0])):
        axes.scatter(
            *shown[i],
            s=1.5 * area_of(len(x)),
            color=tone(i),
            marker=mark_of(i),
            alpha=0.7,
            linewidths=0,
            rasterized=len(x) > MOST_VECTORS,
            label=figure.groups[i].name,
        )
    _scale(axes, x, y, figure)
    axes.set_xlabel(axis_name(figure.x_name, COLUMN - MARGIN))
    axes.set_ylabel(axis_name(figure.y_name, HEIGHT - MARGIN))
    if note := wrapped(figure.note, COLUMN - MARGIN):
        canvas.set_figheight(HEIGHT + LINE * len(note))
        axes.set_title("\n".join(note), fontsize=SMALL, loc="left")
    there = [(i, group.name) for i, group in enumerate(figure.groups) if group.name and len(shown[i][0])]
    add_legend(canvas, [dot(tone(i), name, mark_of(i)) for i, name in there])
    return canvas


def _shown(group: PointGroup, *, log: bool) -> tuple[Floats, Floats]:
    """Return x and y of the points that can be drawn."""
    x, y = (np.asarray(values, dtype=np.float64) for values in (group.x, group.y))
    there = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log))
    return x[there], y[there]


def _scale(axes: Axes, x: Floats, y: Floats, figure: Scatter) -> None:
    """Set limits that hold all points, and no more of x = y than lies between them."""
    if figure.log_x:
        reach = max(1.1, (x.max() / x.min()) ** 0.04)
        make_logarithmic(axes, "x", x.min() / reach, x.max() * reach)
    else:
        margin = 0.04 * np.ptp(x) or 0.5
        axes.set_xlim(x.min() - margin, x.max() + margin)
    margin = 0.04 * np.ptp(y) or 0.5
    axes.set_ylim(y.min() - margin, y.max() + margin)
    if figure.diagonal and not figure.log_x:
        add_diagonal(axes)
