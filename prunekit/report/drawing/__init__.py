"""Figures as data → pictures, one file per kind: for papers, for files, for the page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from prunekit.figures import Bars, Curves, Exemplars, Figure, Planes, Points, Scatter
from prunekit.report.drawing.bars import draw_bars
from prunekit.report.drawing.curves import draw_curves
from prunekit.report.drawing.exemplars import Images, draw_exemplars
from prunekit.report.drawing.planes import draw_planes
from prunekit.report.drawing.points import draw_points
from prunekit.report.drawing.scatter import draw_scatter
from prunekit.report.drawing.style import INK, RASTER, printable, styled

__all__ = ["INK", "Images", "draw", "to_png", "to_svg"]

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PRINT = 300
"""Dots per inch of a PNG."""


def draw(figure: Figure, images: Images = "they are not at hand", *, ink: str = INK) -> Canvas:
    """Draw ``figure`` on a transparent ground, text and axes in the colour ``ink``.

    ``images`` are those of its examples, where it shows examples. A column of a paper is 3.3 inches wide, a page 6.9.
    Title and caption are left to whoever shows it. Raises TypeError on a figure of no known kind.
    """
    with styled(ink):
        canvas = _drawn(figure, images)
        canvas.draw_without_rendering()  # letters that come into being later would have another style
        canvas.set_layout_engine("none")  # all is in its place
    return canvas


def _drawn(figure: Figure, images: Images) -> Canvas:
    match figure:
        case Points():
            return draw_points(figure)
        case Bars():
            return draw_bars(figure)
        case Curves():
            return draw_curves(figure)
        case Planes():
            return draw_planes(figure)
        case Scatter():
            return draw_scatter(figure)
        case Exemplars():
            return draw_exemplars(figure, images)
    raise TypeError(f"a figure of an unknown kind: {type(figure).__name__}")


def to_svg(canvas: Canvas, title: str = "", caption: str = "") -> bytes:
    """Return a drawn figure as SVG, the same bytes every time."""
    said = {"Title": printable(title), "Description": printable(caption), "Creator": None, "Date": None}
    return _saved(canvas, "svg", dpi=RASTER, metadata=said)


def to_png(canvas: Canvas, title: str = "", caption: str = "") -> bytes:
    """Return a drawn figure as PNG on white, the same bytes every time."""
    said = {"Title": printable(title), "Description": printable(caption), "Software": None}
    return _saved(canvas, "png", dpi=PRINT, metadata=said, facecolor="white")


def _saved(canvas: Canvas, layout: str, **options: Any) -> bytes:
    file = io.BytesIO()
    with styled():
        canvas.savefig(file, format=layout, **options)
    return file.getvalue()
