"""The figures of a report, drawn for a page, as many as it has room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunekit.comparison import Comparison
from prunekit.figures import Exemplars, Figure
from prunekit.report.build import Report
from prunekit.report.page.parts import ShownFigure, position
from prunekit.report.page.svg import INK, inline_svg

MOST_CHARACTERS = 2_500_000
"""Of all figures together."""
MOST_PICTURED = 6
"""Comparisons that have figures of their own: those that changed most examples."""
WIDE = 300
"""Points from which on a figure takes the whole width."""


def drawable(figures: Sequence[Figure]) -> list[Figure]:
    """Return the figures that a page draws: images of examples are the gallery's matter."""
    return [figure for figure in figures if not isinstance(figure, Exemplars)]


def draw_figures(report: Report, comparisons: Sequence[Comparison]) -> dict[str, ShownFigure]:
    """Draw the figures of a report on ``comparisons``, and return them by name."""
    from prunekit.report.drawing import draw, to_svg

    shown: dict[str, ShownFigure] = {}
    room = MOST_CHARACTERS
    for i, (figure, comparison) in enumerate(_in_turn(report, comparisons)):
        svg, width = inline_svg(to_svg(draw(figure, ink=INK)), f"figure{i}-", f"{figure.title}. {figure.caption}")
        if len(svg) <= room:
            room -= len(svg)
            shown[figure.name] = ShownFigure(figure.title, figure.caption, svg, width > WIDE, comparison)
    return shown


def _in_turn(report: Report, comparisons: Sequence[Comparison]) -> Iterator[tuple[Figure, int | None]]:
    """Yield figures about everything, then those of the comparisons that changed most examples."""
    figures = drawable(report.figures)
    about = [position(figure.comparison, comparisons) for figure in figures]
    most = sorted(range(len(comparisons)), key=lambda i: -len(report.exemplars[i]))[:MOST_PICTURED]
    for wanted in (None, *most):
        yield from ((figure, of) for figure, of in zip(figures, about, strict=True) if of == wanted)
