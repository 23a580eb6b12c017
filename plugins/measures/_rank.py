"""Spearman's rank correlation over runs that come in clusters: the runs of one seed are not independent.

Arrays in, numbers out; nothing here is a plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ._statistics import Floats, known

DRAWS = 2000
"""Random draws of seeds, where there are too many to take all that are possible."""
MOST_LISTED = 3125
"""Draws of seeds up to which all that are possible are taken: 5 seeds have 5⁵."""
FEWEST_SEEDS = 3
"""Of fewer there is no interval: the draws of two are both, or one of them twice."""
SEED = 0
COVERAGE = {3: "7", 4: "8", 5: "8½"}
"""In about how many of 10 studies an interval over so few seeds holds the true ρ, where it should be in 9½."""

Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ over runs, and what they are."""

    rho: float | None
    """In [−1, 1]; None where either number is the same in all runs, or there are fewer than two."""
    interval: tuple[float, float] | None
    """95 %, over seeds; None for one or two seeds."""
    runs: int
    seeds: int


def correlate(x: Floats, y: Floats, seeds: Integers) -> Correlation:
    """Return Spearman's ρ of two numbers of every run, [N] each, with an interval that resamples ``seeds``, [N].

    Runs of which a number is not finite are left out.

    The interval is the percentile bootstrap over seeds: a seed's runs are drawn together, as often as the seed; up to
    5 seeds all draws are taken, else 2,000 at random, the same each time. Few seeds make it too narrow: in simulated
    studies of 27 settings, in which ρ was between −0.04 and 0.26, it held the true ρ in 66–81 % with 3 seeds, 77–89 %
    with 4, 85–91 % with 5, 87–91 % with 8 and 91–92 % with 15 (400 studies each).
    """
    there = np.isfinite(x) & np.isfinite(y)
    x, y, seeds = x[there], y[there], seeds[there]
    different, cluster = np.unique(seeds, return_inverse=True)
    rho = known(weighted_spearman(x, y, np.ones((1, len(x))))[0]) if len(x) > 1 else None
    if rho is None or len(different) < FEWEST_SEEDS:
        return Correlation(rho, None, len(x), len(different))
    draws, which = np.unique(seed_draws(len(different)), axis=0, return_inverse=True)
    drawn = weighted_spearman(x, y, draws[:, cluster])[which]
    drawn = drawn[np.isfinite(drawn)]  # a draw of one seed alone may hold one run
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return Correlation(rho, (low, high), len(x), len(different))


def seed_draws(seeds: int) -> Floats:
    """Return how often each seed is drawn, [draws, seeds]: as many seeds as there are, with replacement."""
    if seeds**seeds <= MOST_LISTED:
        chosen = np.array(list(product(range(seeds), repeat=seeds)))
    else:
        chosen = np.random.default_rng(SEED).integers(0, seeds, (DRAWS, seeds))
    counts: Floats = np.stack([np.count_nonzero(chosen == seed, axis=1) for seed in range(seeds)], axis=1).astype(float)
    return counts


def weighted_spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Spearman's ρ, [D], of N runs that are there ``weights`` [D, N] times; NaN where a side has no spread.

    As if every run were repeated that often: the Pearson correlation of the ranks, ties having their average.
    """
    one, other = weighted_ranks(x, weights), weighted_ranks(y, weights)
    total = weights.sum(axis=1, keepdims=True)
    one = one - (weights * one).sum(axis=1, keepdims=True) / total
    other = other - (weights * other).sum(axis=1, keepdims=True) / total
    covariance = (weights * one * other).sum(axis=1)
    scale = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
    rho: Floats = np.divide(covariance, scale, out=np.full(len(weights), np.nan), where=scale > 1e-9)
    return np.clip(rho, -1, 1)


def weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Return the ranks, from 1, [D, N], of values [N] that are there ``weights`` [D, N] times; ties their average."""
    _, group = np.unique(values, return_inverse=True)
    together = np.zeros((len(weights), group.max() + 1))
    for i, g in enumerate(group):
        together[:, g] += weights[:, i]
    ranks: Floats = (np.cumsum(together, axis=1) - together / 2 + 0.5)[:, group]
    return ranks
