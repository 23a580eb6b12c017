"""What chance alone gives: checked against enumeration, and by simulation of replicate studies."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from prunekit.plugins.measures._chance import count_interval, permutation_test, score_interval
from prunekit.plugins.measures.pie import pruning_identified_exemplars


def predictions(members, others, examples=60, classes=4, seed=0, harm=0.0):
    """Draw two populations whose members err on some examples, those of the second more often."""
    rng = np.random.default_rng(seed)
    difficulty = rng.random(examples) ** 2
    err = lambda m, more: rng.random((m, examples)) < difficulty + more  # noqa: E731
    one, two = (
        np.where(err(m, more), rng.integers(0, classes, (m, examples)), 0)
        for m, more in ((members, 0.0), (others, harm))
    )
    return one, two


def swapped(one, two):
    """Yield the two populations under every swap within pairs."""
    for swap in product([False, True], repeat=len(one)):
        keep = np.array(swap)[:, None]
        yield np.where(keep, two, one), np.where(keep, one, two)


def dealt(one, two):
    """Yield all deals of the members of both populations."""
    everybody = np.concatenate([one, two])
    for chosen in combinations(range(len(everybody)), len(one)):
        rest = [i for i in range(len(everybody)) if i not in chosen]
        yield everybody[list(chosen)], everybody[rest]


class World:
    """Where studies come from: members with a skill and class biases of their own, and hard examples."""

    def __init__(self, seed, examples=250, classes=10, hard=0.3, harm=0.6):
        self.rng = np.random.default_rng(seed)
        label = self.rng.integers(0, classes, examples)
        lead = np.where(self.rng.random(examples) < hard, self.rng.normal(1, 1.5, examples), 8)
        self.reference = self.rng.normal(size=(examples, classes))
        self.reference[np.arange(examples), label] += lead
        self.pruned = self.reference + harm * self.rng.normal(size=(examples, classes))

    def study(self, members, others, paired, effect):
        """Draw the predictions of a study; members of a pair share most of their noise."""
        noise = self.rng.normal(size=(max(members, others), *self.reference.shape))
        bias = effect * self.rng.normal(size=(max(members, others), 1, self.reference.shape[1]))
        skill = np.exp(effect * self.rng.normal(size=(max(members, others), 1, 1)))
        one = (self.reference + skill * noise + bias).argmax(-1)[:members]
        fresh = self.rng.normal(size=noise.shape)
        mixed = 0.8 * noise + 0.6 * fresh if paired else fresh
        if not paired:
            bias, skill = (self.rng.permutation(each) for each in (self.rng.normal(size=bias.shape) * effect, skill))
        return one, (self.pruned + skill * mixed + bias).argmax(-1)[:others]


@pytest.mark.parametrize("ties", ["smallest", "largest"])
@pytest.mark.parametrize(
    ("members", "others", "paired"), [(5, 5, True), (4, 4, False), (3, 5, False), (2, 2, True), (1, 3, False)]
)
def test_all_permutations_agree_with_enumeration(members, others, paired, ties):
    one, two = predictions(members, others, seed=members, harm=0.2)
    enumerate_all = swapped if paired else dealt
    null = np.array([pruning_identified_exemplars(a, b, ties) for a, b in enumerate_all(one, two)])
    counts = null.sum(axis=1)
    observed = pruning_identified_exemplars(one, two, ties).sum()

    found = permutation_test(one, two, paired=paired, ties=ties)

    assert found.count == observed
    assert found.expected == pytest.approx(counts.mean())
    assert found.p == pytest.approx((counts >= observed).mean())
    assert found.by_example == pytest.approx(null.mean(axis=0))
    assert not found.drawn


@pytest.mark.parametrize(
    ("members", "others", "paired", "permutations", "smallest"),
    [
        (5, 5, True, 16, 1 / 16),  # 2^(1−n): five seeds cannot reach 0.05
        (8, 8, True, 128, 1 / 128),
        (4, 4, False, 35, 1 / 35),  # half of 70: exchanging both populations changes no count
        (3, 4, False, 35, 1 / 35),
    ],
)
def test_the_smallest_p_follows_from_the_number_of_members(members, others, paired, permutations, smallest):
    found = permutation_test(*predictions(members, others), paired=paired)
    assert (found.permutations, found.smallest_p) == (permutations, pytest.approx(smallest))


def opposed(members):
    """Vote 0 by one vote in the first population, 1 by three in the second: every exchange undoes some changes."""
    rng = np.random.default_rng(members)
    place = rng.permuted(np.tile(np.arange(members)[:, None], (2, 1, 200)), axis=1)
    return np.where(place[0] < members // 2, 1, 0), np.where(place[1] < members // 2 - 1, 0, 1)


@pytest.mark.parametrize("paired", [True, False])
def test_the_smallest_p_is_reached_where_every_exchange_undoes_a_change(paired):
    found = permutation_test(*opposed(5), paired=paired)
    assert (found.count, found.p) == (200, found.smallest_p)


@pytest.mark.parametrize("paired", [True, False])
def test_the_votes_tell_populations_of_one_opinion_each_apart_where_the_count_cannot(paired):
    found = permutation_test(np.zeros((5, 20), int), np.ones((5, 20), int), paired=paired)
    assert (found.count, found.expected, found.p) == (20, 20.0, 1.0)
    assert found.votes_p == found.smallest_p


@pytest.mark.parametrize(("members", "others", "paired"), [(5, 5, True), (4, 4, False), (3, 5, False)])
def test_the_p_of_the_votes_agrees_with_enumeration(members, others, paired):
    one, two = predictions(members, others, seed=members, harm=0.1)
    everybody = np.concatenate([one, two])
    majority = np.array([np.bincount(votes, minlength=4) for votes in everybody.T])
    first, second = np.sort(majority, axis=1)[:, -1], np.sort(majority, axis=1)[:, -2]
    open_ = first - max(members, others) <= second  # the others keep their winner in any group

    def distance(a, b):
        shares = [
            [Fraction(int((each[:, i] == c).sum()), len(each)) for c in range(4)]
            for each in (a, b)
            for i in np.flatnonzero(open_)
        ]
        half = len(shares) // 2
        return sum(
            abs(x - y) for s, t in zip(shares[:half], shares[half:], strict=True) for x, y in zip(s, t, strict=True)
        )

    null = [distance(a, b) for a, b in (swapped if paired else dealt)(one, two)]
    expected = np.mean([each >= distance(one, two) for each in null])
    assert permutation_test(one, two, paired=paired).votes_p == pytest.approx(expected)


def test_one_member_says_nothing():
    found = permutation_test(np.array([[0, 1, 2]]), np.array([[0, 2, 1]]), paired=True)
    assert (found.count, found.expected, found.p, found.smallest_p) == (2, 2.0, 1.0, 1.0)
    assert permutation_test(np.array([[0]]), np.array([[1]]), paired=False).p == 1.0


def test_equal_populations_change_nothing():
    one, _ = predictions(6, 6)
    found = permutation_test(one, one, paired=True)
    assert (found.count, found.expected, found.p) == (0, 0.0, 1.0)


def test_one_class_and_no_examples_are_well_defined():
    for examples in (5, 0):
        found = permutation_test(np.zeros((4, examples), int), np.zeros((4, examples), int), paired=True)
        assert (found.count, found.expected, found.p) == (0, 0.0, 1.0)
        assert count_interval(np.zeros((4, examples), int), np.zeros((4, examples), int), paired=True) is not None


@pytest.mark.parametrize("paired", [True, False])
def test_drawn_permutations_count_the_populations_as_they_are_as_one_of_them(paired):
    found = permutation_test(*opposed(15), paired=paired, permutations=200)
    assert found.drawn
    assert found.permutations == 200
    assert found.p == found.smallest_p == pytest.approx(1 / 201)


@pytest.mark.parametrize("paired", [True, False])
def test_drawn_permutations_come_near_all_of_them(paired):
    one, two = predictions(6, 6, examples=200, harm=0.1)
    every = permutation_test(one, two, paired=paired)
    some = permutation_test(one, two, paired=paired, permutations=every.permutations - 1)
    assert (every.drawn, some.drawn) == (False, True)
    assert some.expected == pytest.approx(every.expected, rel=0.05)
    assert some.p == pytest.approx(every.p, abs=0.1)


def test_drawn_permutations_are_the_same_every_time():
    one, two = predictions(15, 15)
    first, again = (permutation_test(one, two, paired=True, permutations=50) for _ in range(2))
    assert (first.p, first.expected) == (again.p, again.expected)
    assert first.by_example.tolist() == again.by_example.tolist()


def test_p_is_small_for_no_more_than_its_share_of_studies_without_an_effect():
    rng = np.random.default_rng(5)
    difficulty = rng.random(150) ** 2
    ps, votes_ps = [], []
    for _ in range(200):
        one, two = (np.where(rng.random((8, 150)) < difficulty, 1, 0) for _ in range(2))
        found = permutation_test(one, two, paired=True)
        ps.append(found.p)
        votes_ps.append(found.votes_p)
    for each in (ps, votes_ps):
        assert np.mean(np.array(each) <= 0.05) <= 0.09  # 0.05, and three standard errors
    assert np.mean(np.array(ps) <= 0.5) >= 0.35


def rejections(world, studies, members, effect=0.4, drawn_as_pairs=True, tested_as_pairs=True):
    """Return in which share of studies p of the count and p of the votes are at most 0.05."""
    found = (
        permutation_test(*world.study(members, members, drawn_as_pairs, effect), paired=tested_as_pairs)
        for _ in range(studies)
    )
    return np.mean([(each.p <= 0.05, each.votes_p <= 0.05) for each in found], axis=0)


def at_most(level, studies):
    """Return what a share of studies exceeds by chance once in a thousand times, were each to count with ``level``."""
    return level + 3.1 * np.sqrt(level * (1 - level) / studies)


@pytest.mark.parametrize("effect", [0.0, 0.4])
def test_p_keeps_its_level_where_members_of_a_pair_share_their_noise(effect):
    assert (rejections(World(seed=3, harm=0.0), 300, 8, effect) <= at_most(0.05, 300)).all()


def test_swapping_within_pairs_sees_a_change_that_dealing_all_members_does_not():
    paired, dealt_freely = (rejections(World(seed=8), 100, 8, tested_as_pairs=each) for each in (True, False))
    assert (paired >= dealt_freely + 0.4).all()


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_p_keeps_its_level_with_30_members_and_1000_examples(paired):
    world = World(seed=30, examples=1000, harm=0.0)
    found = rejections(world, 400, 30, drawn_as_pairs=paired, tested_as_pairs=paired)
    assert (found <= at_most(0.05, 400)).all()


def test_populations_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="as many members: got 2 and 3"):
        permutation_test(np.zeros((2, 4), int), np.zeros((3, 4), int), paired=True)
    with pytest.raises(ValueError, match="same examples"):
        permutation_test(np.zeros((2, 4), int), np.zeros((2, 5), int), paired=False)
    with pytest.raises(ValueError, match="needs a member: got 2 and 0"):
        count_interval(np.zeros((2, 4), int), np.zeros((0, 4), int), paired=False)


# --------------------------------------------------------------------------------------------------------- interval


@pytest.mark.parametrize(
    ("members", "others", "paired", "effect", "hard"),
    [(8, 8, True, 0.4, 0.3), (8, 8, True, 0.0, 0.04), (7, 5, False, 0.4, 0.3), (4, 4, True, 0.0, 0.3)],
)
def test_the_interval_covers_the_expected_count_in_95_of_100_replicate_studies(members, others, paired, effect, hard):
    world = World(seed=members, hard=hard)
    studies = [world.study(members, others, paired, effect) for _ in range(250)]
    counts = np.array([pruning_identified_exemplars(*study).sum() for study in studies])
    low, high = np.array([count_interval(*study, paired=paired) for study in studies]).T
    truth = counts.mean()
    assert np.mean((low <= truth) & (truth <= high)) >= 0.95
    if min(members, others) >= 8 and truth > 20:
        assert np.median(high - low) <= 1.5 * 2 * 1.96 * counts.std()  # not needlessly wide


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_covers_the_expected_count_with_30_members_and_1000_examples(paired):
    world = World(seed=30, examples=1000)
    studies = (world.study(30, 30, paired, effect=0.4) for _ in range(400))
    found = [(pruning_identified_exemplars(*each).sum(), *count_interval(*each, paired=paired)) for each in studies]
    counts, low, high = np.array(found).T
    truth = counts.mean()
    assert np.mean((low <= truth) & (truth <= high)) >= 0.95
    assert np.median(high - low) <= 1.5 * 2 * 1.96 * counts.std()


def test_the_interval_holds_the_count_and_stays_among_the_examples():
    one, two = predictions(8, 8, examples=30, harm=0.4)
    low, high = count_interval(one, two, paired=True)
    assert 0 <= low <= pruning_identified_exemplars(one, two).sum() <= high <= 30


def test_too_few_members_have_no_interval():
    for members, others in ((1, 1), (3, 3), (3, 9)):
        assert count_interval(*predictions(members, others), paired=False) is None
    assert count_interval(*predictions(4, 4), paired=True) is not None


def test_nothing_changed_does_not_mean_that_nothing_ever_changes():
    low, high = count_interval(np.zeros((30, 500), int), np.zeros((30, 500), int), paired=True)
    assert low == 0
    assert high == pytest.approx(2.0452**2, rel=1e-3)  # t(29)²: a Poisson count of 0, by its score interval


def test_the_score_interval_solves_its_equation():
    for count, variance in ((0, 0.0), (12, 12.0), (240, 400.0)):
        dispersion = (variance + 1) / (count + 1)
        for end in score_interval(count, variance, 1.96):
            assert abs(count - end) == pytest.approx(1.96 * np.sqrt(dispersion * end), abs=1e-9)
