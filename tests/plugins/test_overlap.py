"""What two sets of examples share by chance, against enumeration and scipy."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from prunekit.plugins.measures._overlap import overlap, shared_by_chance, vote_strata


def enumerated(sizes, ones, others):
    """How likely 0, 1, … are shared: every pair of draws from every stratum, counted."""
    strata = [
        [len(set(a) & set(b)) for a, b in product(combinations(range(size), one), combinations(range(size), other))]
        for size, one, other in zip(sizes, ones, others, strict=True)
    ]
    shared = np.array([sum(draw) for draw in product(*strata)])
    return np.bincount(shared, minlength=sum(map(min, zip(ones, others, strict=True))) + 1) / len(shared)


def mask(examples, *positions):
    found = np.zeros(examples, dtype=bool)
    found[list(positions)] = True
    return found


# ---------------------------------------------------------------------------------------------------- distribution


@pytest.mark.parametrize(
    ("sizes", "ones", "others"),
    [
        ([5], [2], [3]),
        ([3, 4], [1, 2], [2, 2]),
        ([4, 3, 2], [3, 1, 1], [3, 0, 2]),  # the first cannot share fewer than two
        ([2, 2, 3], [2, 1, 2], [1, 1, 2]),
    ],
)
def test_the_distribution_over_strata_is_that_of_all_draws_counted(sizes, ones, others):
    found = shared_by_chance(np.array(sizes), np.array(ones), np.array(others))
    assert found == pytest.approx(enumerated(sizes, ones, others), abs=1e-12)


@pytest.mark.parametrize(("size", "one", "other"), [(10_000, 749, 523), (800, 12, 30), (50, 40, 45), (7, 7, 7)])
def test_one_stratum_is_the_hypergeometric_distribution(size, one, other):
    found = shared_by_chance(np.array([size]), np.array([one]), np.array([other]))
    expected = stats.hypergeom(size, one, other).pmf(np.arange(min(one, other) + 1))
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-300)


def test_strata_that_one_set_has_nothing_in_change_nothing():
    some = shared_by_chance(np.array([9]), np.array([4]), np.array([3]))
    more = shared_by_chance(np.array([5, 9, 6]), np.array([2, 4, 0]), np.array([0, 3, 6]))
    assert some.tolist() == more.tolist()


# ------------------------------------------------------------------------------------------------------------ test


def test_an_overlap_is_held_against_chance_within_strata():
    strata = np.array([0, 0, 0, 1, 1, 1, 1])
    one, other = mask(7, 0, 3, 4), mask(7, 0, 1, 4, 5)
    found = overlap(one, other, strata)
    by_hand = enumerated([3, 4], [1, 2], [2, 2])
    assert found.shared == 2
    assert found.expected == pytest.approx(1 * 2 / 3 + 2 * 2 / 4)
    assert found.p == pytest.approx(by_hand[2:].sum())
    assert found.smallest_p == pytest.approx(by_hand[3])  # one and two can be shared


def test_chance_by_example_is_the_product_of_both_shares_of_its_stratum():
    found = overlap(mask(5, 0, 3), mask(5, 1, 4), np.array([7, 7, 7, 2, 2]))
    assert found.by_example == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 4, 1 / 4])
    assert found.by_example.sum() == pytest.approx(found.expected)


def test_without_strata_p_is_that_of_the_hypergeometric_test():
    rng = np.random.default_rng(3)
    one, other = rng.random(400) < 0.1, rng.random(400) < 0.2
    found = overlap(one, other, np.zeros(400, dtype=int))
    assert found.p == pytest.approx(stats.hypergeom(400, one.sum(), other.sum()).sf(found.shared - 1))
    assert found.expected == pytest.approx(one.sum() * other.sum() / 400)


def test_sets_that_are_alike_only_in_being_disputed_overlap_by_chance():
    """All PIEs are among ten disputed examples of a thousand: plainly far beyond chance, among the ten not at all."""
    disputed = np.arange(1000) < 10
    one, other = mask(1000, 0, 1, 2, 3, 4), mask(1000, 3, 4, 5, 6, 7)
    assert overlap(one, other, np.zeros(1000, dtype=int)).p < 1e-3
    within = overlap(one, other, disputed.astype(int))
    assert (within.shared, within.expected) == (2, pytest.approx(2.5))
    assert within.p > 0.5


@pytest.mark.parametrize("other", [mask(6), mask(6, 1, 2), np.ones(6, dtype=bool)])
def test_where_one_set_is_empty_nothing_can_be_said(other):
    found = overlap(mask(6), other, np.array([0, 0, 1, 1, 2, 2]))
    assert (found.shared, found.expected, found.p, found.smallest_p) == (0, 0, 1, 1)


def test_the_largest_overlap_reaches_the_smallest_p():
    found = overlap(mask(8, 0, 1, 5), mask(8, 0, 1, 2, 5, 6), np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    assert 0 < found.p == found.smallest_p < 1


def test_a_p_too_small_for_a_number_is_not_zero():
    half = np.arange(4000) < 2000
    assert 0 < overlap(half, half, np.zeros(4000, dtype=int)).p < 1e-300


def test_no_examples_share_nothing():
    found = overlap(mask(0), mask(0), np.zeros(0, dtype=int))
    assert (found.shared, found.expected, found.p) == (0, 0, 1)


# ----------------------------------------------------------------------------------------------------------- strata


def as_partition(strata):
    return sorted(np.flatnonzero(strata == each).tolist() for each in np.unique(strata))


def test_examples_with_the_same_share_of_votes_form_a_stratum_whatever_the_label():
    #                       a  b  c  d  e
    votes = np.array([[0, 1, 0, 2, 0], [0, 1, 0, 2, 1], [0, 1, 1, 2, 2], [0, 2, 1, 0, 2]])
    # shares of the modal label: 4, 3, 2, 3 and 2 of 4
    assert as_partition(vote_strata(votes)) == [[0], [1, 3], [2, 4]]


def test_two_references_are_crossed():
    one = np.array([[0, 0, 0, 0], [0, 0, 1, 1]])
    other = np.array([[0, 1, 1, 0], [0, 0, 0, 0]])
    assert as_partition(vote_strata(one, other)) == [[0], [1], [2], [3]]


def test_a_reference_with_itself_says_no_more_than_alone():
    votes = np.random.default_rng(0).integers(0, 3, (8, 60))
    assert as_partition(vote_strata(votes, votes)) == as_partition(vote_strata(votes))


def test_every_number_of_votes_of_sixteen_members_is_a_level():
    votes = (np.arange(16)[:, None] >= np.arange(8, 17)).astype(int)  # 8, 9, …, 16 votes for label 0
    assert len(np.unique(vote_strata(votes))) == 9


def test_of_thirty_members_shares_are_in_sixteenths_and_unanimity_alone():
    votes = (np.arange(30)[:, None] >= np.arange(15, 31)).astype(int)  # 15, 16, …, 30 votes for label 0
    levels = [int(16 * count / 30) for count in range(15, 31)]
    assert as_partition(vote_strata(votes)) == as_partition(np.array(levels))
    assert [15] in as_partition(vote_strata(votes))
