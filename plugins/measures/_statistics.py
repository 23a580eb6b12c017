"""Statistics over members: spread, intervals of a mean, tests of a difference, and what many tests are worth.

Arrays in, numbers out; nothing here is a plugin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-12
"""Difference up to which numbers of members count as equal: relative, or absolute between numbers below 1."""

Floats = NDArray[np.float64]


def known(value: float | np.floating) -> float | None:
    """Return the number, or None where it does not exist."""
    return float(value) if np.isfinite(value) else None


def spread(values: Floats) -> float | None:
    """Return the standard deviation over members (ddof 1); None for one member, or where a number does not exist."""
    return known(np.std(values, ddof=1)) if len(values) > 1 else None


def mean_interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean share over members, cut to [0, 1], by Student's t; None without a spread."""
    ends = t_interval(values)
    if ends is None:
        return None
    low, high = np.clip(ends, 0, 1).tolist()
    return low, high


def t_interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean by Student's t; None without a spread."""
    std = spread(values)
    if std is None:
        return None
    reach = student_t(len(values) - 1) * std / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def student_t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else to 0.2 %."""
    if freedom <= 2:
        return float(np.tan(0.475 * np.pi) if freedom == 1 else 0.95 * np.sqrt(2 / (1 - 0.95**2)))
    # Cornish–Fisher expansion
    return float(np.polyval([1.5895, 2.5558, 2.8225, 2.37227, 1.959964], 1 / freedom))


def welch(one: Floats, other: Floats) -> Floats:
    """Return the two-sided p of Welch's t-test between the rows of [M, G] and [M', G], for each column: [G].

    NaN where there is no test: a side has fewer than two rows or a number that is not finite, or neither side has any
    spread, so that nothing says how far chance alone would move it. Raises ValueError where the columns differ.
    """
    from scipy.special import stdtr

    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ValueError(f"expected [members, groups] of the same groups: got {one.shape} and {other.shape}")
    p = np.full(one.shape[1], np.nan)
    if min(len(one), len(other)) < 2:
        return p
    tested = np.flatnonzero(np.isfinite(one).all(axis=0) & np.isfinite(other).all(axis=0))
    tested = tested[_vary(one[:, tested]) | _vary(other[:, tested])]
    one, other = one[:, tested], other[:, tested]
    v, w = one.var(axis=0, ddof=1) / len(one), other.var(axis=0, ddof=1) / len(other)
    freedom = (v + w) ** 2 / (v**2 / (len(one) - 1) + w**2 / (len(other) - 1))
    p[tested] = 2 * stdtr(freedom, -np.abs(other.mean(axis=0) - one.mean(axis=0)) / np.sqrt(v + w))
    return p


def _vary(values: Floats) -> NDArray[np.bool_]:
    """Return which columns hold different numbers, beyond what rounding makes of equal ones."""
    differ: NDArray[np.bool_] = np.ptp(values, axis=0) > ROUNDING * np.abs(values).max(axis=0, initial=1.0)
    return differ


def benjamini_hochberg(p: Floats) -> Floats:
    """Return the adjusted p, [G]: those up to q are together wrong in a share q at most (Benjamini, Hochberg 1995).

    NaN counts as no test and stays NaN.
    """
    tested = np.flatnonzero(~np.isnan(p))
    falling = tested[np.argsort(-p[tested], kind="stable")]
    rank = np.arange(len(falling), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[falling] = np.minimum.accumulate(p[falling] * len(falling) / rank)
    return adjusted
