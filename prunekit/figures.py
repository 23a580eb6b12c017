"""What a measure shows of a study: figures as data. Drawing them is the report's matter; imports no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prunekit.comparison import Comparison

Numbers = NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One of the kinds below."""

    name: str
    """Stem of its files, unique within a report: letters, digits, ``-``, ``_`` and ``.``."""
    title: str
    caption: str
    """What is seen, in sentences that say no more than the numbers: it also stands in for the picture."""
    comparison: Comparison | None = None
    """The only one that it is about; None: it is about all."""


@dataclass(frozen=True, kw_only=True)
class Points(Figure):
    """One number against another, a point per example, some of them marked."""

    x: Numbers
    """[N]; points that are not finite are left out."""
    y: Numbers
    """[N]."""
    x_name: str
    y_name: str
    marked: NDArray[np.bool_]
    """[N]: drawn last, in the strong colour."""
    marked_name: str = "PIEs"
    rest_name: str = "other examples"
    diagonal: bool = True
    """Whether to draw x = y."""


@dataclass(frozen=True)
class Bar:
    """The same part of every category's bar."""

    name: str
    """What the legend says; bars of one name share a colour in all panels."""
    values: Numbers
    """[C]."""
    stack: str = ""
    """Bars with the same stack stand on each other, in their order; others stand side by side."""
    light: bool = False
    """Whether it takes the light tone of its stack's colour; without a stack, of the bar before it."""


@dataclass(frozen=True)
class BarPanel:
    """Bars over the categories."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True)
class Bars(Figure):
    """Numbers by category; panels share the categories."""

    categories: tuple[str, ...]
    """[C]."""
    value_name: str
    panels: tuple[BarPanel, ...]
    one_scale: bool = True
    """Whether values are as long in all panels; False where the largest of one would hide those of another."""


@dataclass(frozen=True)
class Line:
    """A number along the axis."""

    name: str
    x: tuple[float | str, ...]
    """Positions, ascending; text is spaced evenly."""
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    """Lower ends of intervals, or none at all."""
    high: tuple[float | None, ...] = ()
    chance: tuple[float | None, ...] = ()
    """What chance alone gives, or none at all: drawn dashed in the line's colour."""
    dashed: bool = field(default=False, kw_only=True)
    """Whether it is a level to hold others against: dashed, without marks, at text with its last interval alone."""


@dataclass(frozen=True)
class CurvePanel:
    """Lines over one axis."""

    y_name: str
    lines: tuple[Line, ...]
    title: str = ""
    log: bool = False
    """Whether its numbers are on a logarithmic scale; those that are not above 0 are left out."""


@dataclass(frozen=True, kw_only=True)
class Curves(Figure):
    """Numbers along an axis; panels share it and the colours of their lines, by name."""

    x_name: str
    panels: tuple[CurvePanel, ...]
    diagonal: bool = False
    """Whether to draw x = y."""


@dataclass(frozen=True)
class PointGroup:
    """Points of one kind."""

    name: str
    """What the legend says; "" where there is but one group."""
    x: Numbers
    """[N]; points that are not finite are left out."""
    y: Numbers
    """[N]."""


@dataclass(frozen=True, kw_only=True)
class Scatter(Figure):
    """One number against another, a point per member or population, in groups that differ in colour and mark."""

    groups: tuple[PointGroup, ...]
    x_name: str
    y_name: str
    log_x: bool = False
    """Whether x is on a logarithmic scale; points with an x that is not above 0 are left out."""
    diagonal: bool = False
    """Whether to draw x = y where the axes reach it; not with ``log_x``."""
    note: str = ""
    """Numbers above the points, in a line."""


@dataclass(frozen=True)
class PlanePanel:
    """Examples in a plane."""

    title: str
    x: Numbers
    """[N]."""
    y: Numbers
    """[N]."""
    note: str = ""
    """Numbers beside the picture, in a line."""
    place: tuple[str, str] | None = None
    """(row, column) of the grid by name; None: in reading order."""


@dataclass(frozen=True, kw_only=True)
class Planes(Figure):
    """Embeddings side by side, coloured by class. Their axes have no unit and are not comparable."""

    labels: NDArray[np.int64]
    """[N]: true class."""
    classes: tuple[str, ...]
    panels: tuple[PlanePanel, ...]


@dataclass(frozen=True)
class Exemplar:
    """An example that changed, and how the votes went."""

    index: int
    """Its position among the ids of the study."""
    reference: str
    """Modal label of the reference population."""
    reference_share: float
    """Share of its members that vote for it, in (0, 1]."""
    pruned: str
    pruned_share: float
    change: float
    """How far the votes moved: total variation distance between the vote shares, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Exemplars(Figure):
    """Images of examples with their modal labels, in the order given."""

    reference: str
    """Name of the reference population."""
    pruned: str
    exemplars: tuple[Exemplar, ...]
