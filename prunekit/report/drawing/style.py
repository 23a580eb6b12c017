"""How every figure looks: sizes, letters, colours, legends. Knows no kind of figure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

INK = "#222222"
COLUMN, PAGE = 3.3, 6.9
"""Widths in inches: a column of a paper, and both of them."""
LETTERS, SMALL = 7.0, 6.5
"""Sizes of letters in points: titles and axes; ticks, legends and notes."""
RASTER = 150
"""Dots per inch of clouds of points in an SVG."""
MOST_VECTORS = 500
"""Points of a figure up to which each of them is an object of its own in an SVG; more are one image."""
LINE = 0.135
"""Height of a line of small letters in inches."""
MARGIN = 0.55
"""Inches that numbers and name of a vertical axis take."""
NAME = 0.9
"""Inches that the name of a category may take."""
MOST_BELOW = 3
"""Narrow panels that stand below each other; more stand in two columns."""

# Okabe & Ito, "Color universal design" (2008), which red-green-blind readers can tell apart. Their yellow comes last,
# as it is pale on white; their black is the ink.
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
STRONG = "#D55E00"
MUTED = "#8C8C8C"
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LIGHT = 0.4
"""Opacity of a light tone: it shows less than the full colour on light and on dark paper."""

_LETTERS = "DejaVu Sans"
_OTHER_SCRIPTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "Hiragino Sans GB", "Arial Unicode MS")
"""Families with letters that the first lacks; those that are installed are used."""


@contextmanager
def styled(ink: str = INK) -> Iterator[None]:
    """Draw in this style, whatever the user's matplotlibrc says; leaves matplotlib's settings as they were."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": _families(),
                "font.size": LETTERS,
                "axes.titlesize": LETTERS,
                "axes.labelsize": LETTERS,
                "xtick.labelsize": SMALL,
                "ytick.labelsize": SMALL,
                "legend.fontsize": SMALL,
                "legend.frameon": False,
                "text.parse_math": False,  # a class may be called $x$
                "axes.formatter.use_mathtext": False,
                **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink),
                "figure.facecolor": "none",
                "axes.facecolor": "none",
                "savefig.facecolor": "auto",
                "axes.spines.top": False,
                "axes.spines.right": False,
                **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
                **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
                "axes.titlepad": 4.0,
                "lines.linewidth": 1.1,
                "svg.hashsalt": "prunekit",  # the same figure is the same file
                "svg.fonttype": "path",  # looks the same where the letters are not installed
                "image.composite_image": False,  # so that images of examples are stored in their own few pixels
            }
        )
        yield


def sheet(width: float, height: float) -> Canvas:
    """Return an empty figure, its size in inches, that keeps its parts from overlapping."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), dpi=RASTER, layout="constrained")


# ---------------------------------------------------------------------------------------------------------- colours


def hue(index: int) -> str:
    """Return the colour of the index-th of several things."""
    return HUES[index % len(HUES)]


def tone(index: int) -> str:
    """Return the colour of the index-th of many things: hues, then the same darker, then lighter, and again."""
    from matplotlib.colors import to_hex, to_rgb

    colour = np.array(to_rgb(hue(index)))
    cycle = index // len(HUES) % 3
    return to_hex([colour, 0.6 * colour, 0.5 + 0.5 * colour][cycle].tolist())


def marker(index: int) -> str:
    """Return the marker of the index-th of many things, one for all that share a cycle of tones."""
    return MARKERS[index // len(HUES) % len(MARKERS)]


def mark_of(index: int) -> str:
    """Return the marker of the index-th of several things that differ in more than colour.

    It is another one where colours come again.
    """
    return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]


def add_diagonal(axes: Axes) -> None:
    """Draw x = y behind everything else."""
    ink = axes.xaxis.label.get_color()
    axes.axline((0, 0), slope=1, color=ink, linewidth=0.6, alpha=0.6, zorder=0.5)


# ---------------------------------------------------------------------------------------------------------- letters


@cache
def _families() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = fontManager.get_font_names()
    return [_LETTERS, *(family for family in _OTHER_SCRIPTS if family in installed)]


def printable(text: str) -> str:
    """Return ``text`` in one line; what cannot be printed is replaced by a sign that says so."""
    text = " ".join(text.split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


@lru_cache(maxsize=4096)
def width_of(text: str, size: float = SMALL) -> float:
    """Return how wide ``text`` is in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    letters = FontProperties(family=_families(), size=size)
    points, _, _ = text_to_path.get_text_width_height_descent(printable(text), letters, ismath=False)
    return float(points) / 72


def fitted(text: str, inches: float, size: float = SMALL) -> str:
    """Return ``text`` in one line of at most ``inches``: its middle gives way, as names differ at their ends."""
    text = printable(text)
    kept = min(len(text), 200)
    short = text
    while kept > 1 and (len(short) > 200 or width_of(short, size) > inches):
        kept -= 1
        short = text[: (kept + 1) // 2].rstrip() + "…" + text[len(text) - kept // 2 :].lstrip()
    return short


def axis_name(text: str, inches: float) -> str:
    """Return the name of an axis that is ``inches`` long, beginning with a capital."""
    return fitted(text[:1].upper() + text[1:], inches, LETTERS)


def wrapped(text: str, inches: float, size: float = SMALL) -> list[str]:
    """Return ``text`` in as many lines of at most ``inches`` as it needs."""
    lines: list[str] = []
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= inches:
            lines[-1] = longer
        else:
            lines.append(fitted(word, inches, size))
    return lines


def name_categories(axes: Axes, names: Sequence[str], inches: float) -> None:
    """Name the positions 0, 1, … of the horizontal axis, which is ``inches`` long: upright where they would touch.

    Where there is no room for every name, every second, third … has one.
    """
    room = inches / max(1, len(names))
    step = max(1, math.ceil(LINE / room))
    shown = [fitted(name, NAME) for name in names[::step]]
    axes.set_xticks(range(0, len(names), step), shown)
    axes.tick_params(axis="x", length=0, labelrotation=90 if _touch(shown, step * room) else 0)
    axes.set_xlim(-0.5, max(1, len(names)) - 0.5)


def _touch(names: Sequence[str], room: float) -> bool:
    """Return whether neighbours would touch, lying in the middle of as much room each."""
    return any((width_of(one) + width_of(other)) / 2 > room - 0.05 for one, other in pairwise(names))


def make_logarithmic(axes: Axes, which: str, low: float, high: float) -> None:
    """Give an axis, ``x`` or ``y``, a logarithmic scale from ``low`` to ``high``, both above 0, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    decades = math.log10(high / low)
    shown = (1.0,) if decades > 2 else (1.0, 3.0) if decades > 1 else (1.0, 2.0, 5.0)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=shown, numticks=6) if decades > 0.6 else MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def plain(value: float) -> str:
    """Return a positive number of few digits in few characters: ``1e-5``, ``0.02``, ``300``."""
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{value:g}" if 0.01 <= value < 1e5 else f"{float(mantissa):g}e{int(exponent)}"


def area_of(points: int) -> float:
    """Return the area of each of so many points, in square points."""
    return float(np.clip(4000 / max(1, points), 2, 14))


def say(canvas: Canvas, text: str) -> Canvas:
    """Write ``text`` in place of what cannot be shown."""
    canvas.text(0.5, 0.5, fitted(text, canvas.get_figwidth()), ha="center", va="center", fontsize=SMALL)
    return canvas


# ---------------------------------------------------------------------------------------------------------- legends


def add_legend(canvas: Canvas, handles: Sequence[Artist]) -> None:
    """Add a legend above everything else, in as few lines as fit, and make the figure as much higher."""
    if not handles:
        return
    width = canvas.get_figwidth() - 0.1
    for handle in handles:
        handle.set_label(fitted(str(handle.get_label()), width - _HANDLE))
    columns = _columns([width_of(str(handle.get_label())) + _HANDLE for handle in handles], width)
    canvas.set_figheight(canvas.get_figheight() + LINE * math.ceil(len(handles) / columns) + 0.05)
    canvas.legend(handles=list(handles), loc="outside upper center", ncols=columns, **_SPACING)


_SPACING: dict[str, Any] = {
    "handlelength": 1.6,
    "handletextpad": 0.5,
    "columnspacing": 1.2,
    "labelspacing": 0.3,
    "borderpad": 0.1,
    "borderaxespad": 0.2,
}
"""In sizes of letters."""
_HANDLE = SMALL / 72 * (_SPACING["handlelength"] + _SPACING["handletextpad"] + _SPACING["columnspacing"])
"""Inches that an entry takes beside its text."""


def dot(colour: str, label: str, mark: str = "o") -> Line2D:
    """Return the handle of points of one colour."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=mark, markersize=4, markeredgewidth=0, linestyle="", label=label)


def _columns(widths: Sequence[float], room: float) -> int:
    """Return the columns that fit in the fewest lines, no more of them than these lines need."""
    fit = (
        columns
        for columns in range(len(widths), 0, -1)
        if sum(column.max() for column in np.array_split(np.array(widths), columns)) <= room
    )
    lines = math.ceil(len(widths) / next(fit, 1))
    return math.ceil(len(widths) / lines)
