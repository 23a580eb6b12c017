"""How many modal labels change by chance: permutation of the members, and the spread over replicate studies.

Arrays in, numbers out; nothing here is a plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
from numpy.typing import NDArray

from ._statistics import student_t
from ._votes import Ties, Votes

SEED = 0
"""Seed of everything that is drawn here, so that a report says the same thing twice."""


# ------------------------------------------------------------------------------------------------- permutation test


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """What the count would be if it did not matter which population a member belongs to."""

    count: int
    """Examples whose modal label differs between the two populations as they are."""
    expected: float
    """Mean count under permutation: what seed noise alone gives."""
    p: float
    """Share of permutations with at least the count, the populations as they are being one of them."""
    smallest_p: float
    """The smallest p that so few members, or so few permutations, can reach."""
    votes_p: float
    """As ``p``, for the distance between vote shares in place of the count."""
    permutations: int
    """Permutations other than the populations as they are, where drawn; all distinct ones, where not."""
    drawn: bool
    """Whether the permutations were drawn because all of them were too many."""

    @property
    def expected_by_example(self) -> NDArray[np.float64]:
        """[N]: ``by_example``, or NaN where members can be dealt in no other way, as with one on either side."""
        return self.by_example if self.permutations > 1 else np.full_like(self.by_example, np.nan)

    by_example: NDArray[np.float64]
    """[N]: share of permutations in which the example changes its modal label; sums to ``expected``."""


def permutation_test(
    reference: NDArray[np.integer],
    pruned: NDArray[np.integer],
    *,
    paired: bool,
    ties: Ties = "smallest",
    permutations: int = 1000,
) -> PermutationTest:
    """Test whether modal labels change more between two populations than between their members dealt anew.

    ``reference`` [M, N] and ``pruned`` [M', N] are predicted labels ≥ 0. Where member k of one is paired with member k
    of the other, permutation swaps within pairs; otherwise it deals all members freely. Distinct permutations are all
    taken where there are at most ``permutations``, else that many are drawn. (Exchanging the two populations as a
    whole changes no count, so it is not distinct.) With n pairs the smallest p is 2^(1−n).

    The count alone has a blind spot: where all members of one population say cat and all of the other say dog, most
    deals have a majority for either too, so that the clearest change looks like chance. The distance between the vote
    shares, over the examples that a deal can change, has not: ``votes_p`` is its p.

    Raises ValueError where a population is empty, examples differ in number, or paired populations differ in size.
    """
    predictions = _together(reference, pruned, paired)
    members, others = len(reference), len(pruned)
    groups, drawn = _swaps(members, permutations) if paired else deals(members, others, permutations)
    votes = Votes.of(predictions, ties, smallest=min(members, others))
    counts, often = votes.changed(groups, ~groups)
    distances = votes.distances(groups, ~groups)
    null = counts[1:] if drawn else counts
    if drawn:
        often = often - votes.changed(groups[:1], ~groups[:1])[1]
    by_example = np.zeros(predictions.shape[1])
    by_example[votes.examples] = often / len(null)
    return PermutationTest(
        count=int(counts[0]),
        expected=float(null.mean()),
        p=float((counts >= counts[0]).mean()),
        smallest_p=1 / len(counts),
        votes_p=float((distances >= distances[0]).mean()),
        permutations=len(null),
        drawn=drawn,
        by_example=by_example,
    )


def _together(reference: NDArray[np.integer], pruned: NDArray[np.integer], paired: bool) -> NDArray[np.integer]:
    """Return the predictions of both populations, [M + M', N], or raise ValueError where they do not go together."""
    if reference.ndim != 2 or pruned.ndim != 2 or reference.shape[1] != pruned.shape[1]:
        raise ValueError(
            f"predictions are [members, examples] of the same examples: got {reference.shape} and {pruned.shape}"
        )
    if not len(reference) or not len(pruned):
        raise ValueError(f"each population needs a member: got {len(reference)} and {len(pruned)}")
    if paired and len(reference) != len(pruned):
        raise ValueError(f"paired populations have as many members: got {len(reference)} and {len(pruned)}")
    return np.concatenate([reference, pruned])


def _swaps(pairs: int, limit: int) -> tuple[NDArray[np.bool_], bool]:
    """Return who stands in the reference, bool [R, 2·pairs], the first row as it is, and whether rows were drawn."""
    drawn = 2 ** (pairs - 1) > limit
    if drawn:
        swapped = np.random.default_rng(SEED).random((limit + 1, pairs)) < 0.5
        swapped[0] = False
    else:
        swapped = (np.arange(2 ** (pairs - 1))[:, None] >> np.arange(pairs) & 1).astype(bool)
    return np.concatenate([~swapped, swapped], axis=1), drawn


def deals(members: int, others: int, limit: int) -> tuple[NDArray[np.bool_], bool]:
    """As :func:`_swaps`, for members that are dealt freely: bool [R, members + others]."""
    everybody = members + others
    distinct = comb(everybody, members) // (2 if members == others else 1)
    drawn = distinct > limit
    groups = np.zeros((limit + 1 if drawn else distinct, everybody), dtype=bool)
    if drawn:
        order = np.random.default_rng(SEED).random(groups.shape).argsort(axis=1)
        order[0] = np.arange(everybody)
        np.put_along_axis(groups, order[:, :members], True, axis=1)
    else:  # in lexicographic order the first half of equal deals holds member 0, the other half is its mirror image
        for row, chosen in enumerate(islice(combinations(range(everybody), members), distinct)):
            groups[row, list(chosen)] = True
    return groups, drawn


# --------------------------------------------------------------------------------------------------------- interval

SPLITS = 200
"""Splits into halves that the spread is averaged over."""
FEWEST = 4
"""Members that an interval needs: a half of two is the smallest that votes."""


def count_interval(
    reference: NDArray[np.integer], pruned: NDArray[np.integer], *, paired: bool, ties: Ties = "smallest"
) -> tuple[float, float] | None:
    """Return a 95 % interval for the count expected of studies like this one, in [0, N]; None below 4 members.

    The bootstrap over members counts examples that a member drawn twice decides, and is biased upwards. Two disjoint
    halves of the members are, instead, two independent studies of half the size: (a − b)² / 2 is an unbiased estimate
    of their variance, averaged here over random splits (of pairs, where members are paired). A whole study varies
    less, so that the interval errs on the wide side. Around the count it is the score interval of an overdispersed
    Poisson count, which stays above 0 and does not collapse where nothing changed, with Student's t for M − 1 degrees
    of freedom. Raises ValueError as :func:`permutation_test` does.

    Coverage in simulated studies (members with skills and class biases of their own, pairs correlated; 2 to 40 changes
    expected) and width relative to ±1.96 true standard deviations: 4 + 4 members 0.98, 1.6–1.9; 8 + 8 0.98, 1.3–1.7;
    30 + 30 0.98, 1.2–1.4. In similar studies, with ±1.96 of their standard deviation: the same halves without t and
    score 0.93–0.98, delete-half jackknife 0.84–0.96, bootstrap 0.90–1.00; the delete-one jackknife, which a mode is
    not smooth enough for, 0.90–1.00, over twice as wide at 30 + 30.
    """
    predictions = _together(reference, pruned, paired)
    fewest = min(len(reference), len(pruned))
    if fewest < FEWEST:
        return None
    votes = Votes.of(predictions, ties, smallest=fewest // 2)
    rng = np.random.default_rng(SEED)
    mine = halves(len(reference), rng)
    others = mine if paired else halves(len(pruned), rng)
    one, other = (votes.changed(*_sides(a, b))[0] for a, b in zip(mine, others, strict=True))
    everybody = np.ones((1, len(reference)), dtype=bool), np.ones((1, len(pruned)), dtype=bool)
    count = int(votes.changed(*_sides(*everybody))[0][0])
    low, high = score_interval(count, float(np.mean((one - other) ** 2) / 2), student_t(fewest - 1))
    return max(0.0, low), min(float(reference.shape[1]), high)


def halves(members: int, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two disjoint halves of the members, each bool [SPLITS, members]; of an odd number one is left out."""
    place = rng.random((SPLITS, members)).argsort(axis=1).argsort(axis=1)
    half = members // 2
    return place < half, (place >= half) & (place < 2 * half)


def _sides(reference: NDArray[np.bool_], pruned: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Place groups of each population among the members of both."""
    return (
        np.concatenate([reference, np.zeros_like(pruned)], axis=1),
        np.concatenate([np.zeros_like(reference), pruned], axis=1),
    )


def score_interval(count: int, variance: float, quantile: float) -> tuple[float, float]:
    """Return the means λ of an overdispersed Poisson count for which |count − λ| ≤ quantile · √(dispersion · λ).

    The dispersion is variance / count, drawn towards 1 by one pseudo-count so that it exists for a count of 0.
    """
    reach = quantile**2 * (variance + 1) / (count + 1)
    middle, radius = count + reach / 2, np.sqrt(reach * count + reach**2 / 4)
    return float(middle - radius), float(middle + radius)
