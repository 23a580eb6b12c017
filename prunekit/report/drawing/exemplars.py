"""Images of examples that changed, with what either population says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunekit.figures import Exemplars
from prunekit.report.drawing.style import COLUMN, LINE, MUTED, PAGE, SMALL, fitted, say, sheet, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Images = NDArray[np.uint8] | str
"""uint8 [n, C, H, W] of the examples in the figure, C = 1 (grey) or 3 (RGB); or why there are none."""

ABREAST, MOST_ROWS = 6, 4
GAP = 0.08
"""Inches between two images."""


def draw_exemplars(figure: Exemplars, images: Images) -> Canvas:
    """Draw the images in rows, each over two lines: what the reference says, and what the pruned population says."""
    shown = figure.exemplars[: ABREAST * MOST_ROWS]
    if not shown:
        return say(sheet(COLUMN, COLUMN / 3), "no examples changed")
    across, width = (ABREAST, PAGE) if len(shown) > ABREAST // 2 else (ABREAST // 2, COLUMN)
    cell = width / across
    side = cell - GAP
    row = side + 2.6 * LINE
    rows = math.ceil(len(shown) / across)
    above = 1.5 * LINE if isinstance(images, str) else GAP / 2
    canvas = sheet(width, rows * row + above)
    canvas.set_layout_engine("none")  # every place is known
    if isinstance(images, str):
        text = fitted(f"Images are not shown: {images}", width)
        canvas.text(0.5, 1 - LINE / 2 / canvas.get_figheight(), text, ha="center", va="center", fontsize=SMALL)
    lines = zip(
        _lines(figure.reference, [each.reference for each in shown], side),
        _lines(figure.pruned, [each.pruned for each in shown], side),
        strict=True,
    )
    for i, text in enumerate(map("\n".join, lines)):
        left = (i % across) * cell + GAP / 2
        top = canvas.get_figheight() - above - (i // across) * row
        axes = canvas.add_axes(_share(canvas, left, top - side, side, side))
        _show(axes, None if isinstance(images, str) else images[i])
        axes.set_xlabel(text, fontsize=SMALL, labelpad=2, linespacing=1.15)
    return canvas


def _share(canvas: Canvas, *inches: float) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height as shares of the figure."""
    width, height = canvas.get_size_inches()
    left, bottom, wide, high = inches
    return left / width, bottom / height, wide / width, high / height


def _lines(population: str, labels: Sequence[str], inches: float) -> list[str]:
    """Return ``dense: Ship`` for each label; the name has the room that the widest label leaves it, if not less."""
    name = fitted(population, max(0.45 * inches, inches - max(width_of(f": {label}") for label in labels)))
    return [f"{name}: {fitted(label, inches - width_of(f'{name}: '))}" for label in labels]


def _show(axes: Axes, image: NDArray[np.uint8] | None) -> None:
    """Show an image as its own pixels; an empty frame where there is none, or one that is neither grey nor RGB."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=image is None, color=MUTED, linestyle=(0, (2, 2)))
    if image is None:
        return
    pixels = image.transpose(1, 2, 0)
    axes.imshow(pixels[:, :, 0] if len(image) == 1 else pixels, cmap="gray", vmin=0, vmax=255, interpolation="none")
