"""How many examples two sets share, and how many of them by chance, where some examples are likelier than others.

Arrays in, numbers out; nothing here is a plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ._votes import vote_counts

LEVELS = 16
"""Steps of the vote share. Up to as many members each number of votes is a level of its own."""
SMALLEST = float(np.finfo(np.float64).tiny)
"""What a p that is too small for a number is given as."""


def vote_strata(*populations: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return a number per example, [N], of predicted labels [M, N]: it is the same where examples are equally disputed.

    Equally disputed is what has the same share of votes for its modal label, rounded down to sixteenths, in every one
    of the populations; unanimity stands alone. Raises ValueError as :func:`vote_counts` does.

    So few votes do not tell all of how hard an example is. In simulated studies in which all populations are alike
    (10,000 examples, one in five disputed between two labels, at odds from Beta(½, ½)) two sets of PIEs share more than
    :func:`overlap` expects: with 5 to 30 members 1.2 times as many, with 3 or 4 1.3 times, with 2 1.9 times, with 1
    7 times. Where they have the reference in common it is 1.8 times with 5 to 30 members: its modal label is then by
    chance the odd one in both.
    """
    strata = np.zeros(populations[0].shape[1], dtype=np.intp)
    for predictions in populations:
        strata *= LEVELS + 1
        strata += vote_counts(predictions).max(axis=0) * LEVELS // len(predictions)
    return strata


@dataclass(frozen=True, eq=False)
class Overlap:
    """How many examples two sets share, beside chance."""

    shared: int
    expected: float
    """Mean number that chance alone gives."""
    p: float
    """How often chance alone gives as many or more, in (0, 1]."""
    smallest_p: float
    """The smallest p that sets of these sizes can reach."""
    by_example: NDArray[np.float64]
    """[N]: how often chance alone has the example in both; sums to ``expected``."""


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_], strata: NDArray[np.integer]) -> Overlap:
    """Compare two sets of examples, masks [N], with sets of the same sizes that are drawn independently.

    Of each of the ``strata``, [N], as many examples are drawn as either set has there. Their number in both has a
    hypergeometric distribution, and over all strata the convolution of these: p is exact and one-sided. With one
    stratum for all this is the plain hypergeometric test.
    """
    _, place, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    ones, others = (np.bincount(place, weights=mask, minlength=len(sizes)).astype(np.int64) for mask in (one, other))
    chance = shared_by_chance(sizes, ones, others)
    shared = int(np.count_nonzero(one & other))
    by_example = (ones / sizes * others / sizes)[place]
    return Overlap(shared, float(by_example.sum()), _tail(chance, shared), _tail(chance, len(chance) - 1), by_example)


def shared_by_chance(
    sizes: NDArray[np.integer], ones: NDArray[np.integer], others: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return how likely 0, 1, … examples are in both sets, [as many as can be + 1].

    Of each of S strata of ``sizes`` examples, [S], ``ones`` and ``others`` are drawn, independently of each other.
    """
    drawn = np.flatnonzero((ones > 0) & (others > 0))
    parts = (_hypergeometric(int(sizes[s]), int(ones[s]), int(others[s])) for s in drawn)
    return reduce(np.convolve, parts, np.ones(1))


def _hypergeometric(size: int, one: int, other: int) -> NDArray[np.float64]:
    """As :func:`shared_by_chance`, of one stratum. Not from scipy.stats, which takes long to import."""
    from scipy.special import gammaln

    def log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
        logarithm: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        return logarithm

    chance = np.zeros(min(one, other) + 1)
    possible = np.arange(max(0, one + other - size), len(chance))
    logarithm = log_choose(one, possible) + log_choose(size - one, other - possible)
    with np.errstate(under="ignore"):
        chance[possible] = np.exp(logarithm - log_choose(size, np.array(other)))
    return chance


def _tail(chance: NDArray[np.float64], least: int) -> float:
    return min(1.0, max(SMALLEST, float(chance[least:].sum())))
