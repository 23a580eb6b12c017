"""Means over seeds with their intervals, for tables and figures. Nothing here is a plugin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunekit import Line, Number

from ._statistics import Floats, spread, t_interval


def mean(values: Floats) -> float | None:
    """Return the mean of the numbers that exist."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else None


def number(values: Floats) -> Number:
    """Return mean, standard deviation and 95 % interval of the numbers that exist."""
    there = values[np.isfinite(values)]
    return Number(mean(there), spread=spread(there), interval=t_interval(there)) if len(there) else Number(None)


Ends = tuple[float | None, float | None, float | None]


def centre(values: Floats, *, log: bool) -> Ends:
    """Return the mean and the ends of its 95 % interval by Student's t; with ``log`` those of the logarithms.

    A mean of logarithms, as e to its power, is the geometric mean; None where a value is not above 0.
    """
    if not len(values) or (log and values.min() <= 0):
        return None, None, None
    if log:
        return tuple(None if end is None else float(np.exp(end)) for end in centre(np.log(values), log=False))  # type: ignore[return-value]
    low, high = t_interval(values) or (None, None)
    return float(values.mean()), low, high


def line(name: str, x: Sequence[float | str], ends: Sequence[Ends], *, dashed: bool = False) -> Line:
    """Return a line through means with their intervals."""
    y, low, high = zip(*ends, strict=True)
    some = any(end is not None for end in low)
    return Line(name, tuple(x), y, low if some else (), high if some else (), dashed=dashed)
