"""Spearman's ρ over runs in clusters, against scipy and a slow bootstrap."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from prunekit.plugins.measures._rank import correlate, seed_draws, weighted_ranks, weighted_spearman

CASES = {"all different": 10**6, "many ties": 4}


def runs(seeds, settings, values=10**6, seed=0):
    """Return x and y of every setting of every seed, with something of the seed in both, and the seeds."""
    rng = np.random.default_rng(seed)
    of_seed = rng.normal(size=(2, seeds, 1))
    x, y = np.round(values / 10 * (of_seed + rng.normal(size=(2, seeds, settings)))) / values
    return x.ravel(), (x + 0.3 * y).ravel().round(6), np.repeat(np.arange(seeds) + 7, settings)


def slow_interval(x, y, seeds, draws):
    """Return the percentile bootstrap over seeds: the runs of every drawn seed in a row, one ρ after the other."""
    found = []
    for drawn in draws:
        chosen = np.concatenate([np.flatnonzero(seeds == seed) for seed in drawn])
        if len(set(x[chosen])) > 1 and len(set(y[chosen])) > 1:
            found.append(spearmanr(x[chosen], y[chosen]).statistic)
    return tuple(np.percentile(found, [2.5, 97.5]))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("seeds", "settings"), [(1, 9), (3, 5), (5, 27)])
def test_rho_is_that_of_scipy(case, seeds, settings):
    x, y, of = runs(seeds, settings, CASES[case])
    found = correlate(x, y, of)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert (found.runs, found.seeds) == (seeds * settings, seeds)


@pytest.mark.parametrize("case", CASES)
def test_the_interval_over_few_seeds_is_that_of_all_draws(case):
    x, y, seeds = runs(3, 6, CASES[case])
    expected = slow_interval(x, y, seeds, product((7, 8, 9), repeat=3))
    assert correlate(x, y, seeds).interval == pytest.approx(expected, abs=1e-12)


def test_the_interval_over_many_seeds_is_that_of_random_draws_the_same_each_time():
    x, y, seeds = runs(7, 5)
    counts = seed_draws(7).astype(int)
    draws = [np.repeat(np.arange(7, 14), each) for each in counts[:400]]
    rough = slow_interval(x, y, seeds, draws)
    found = correlate(x, y, seeds).interval
    assert found == correlate(x, y, seeds).interval
    assert found == pytest.approx(rough, abs=0.05)  # of 400 of the 2,000 draws
    assert found[0] < correlate(x, y, seeds).rho < found[1]


@pytest.mark.parametrize(("seeds", "draws"), [(2, 4), (3, 27), (5, 3125), (6, 2000), (30, 2000)])
def test_as_many_seeds_are_drawn_as_there_are_each_as_often_as_the_others(seeds, draws):
    counts = seed_draws(seeds)
    assert counts.shape == (draws, seeds)
    assert set(counts.sum(axis=1)) == {seeds}
    assert counts.mean(axis=0) == pytest.approx(np.ones(seeds), abs=0.1)


def test_all_draws_of_two_seeds():
    assert sorted(map(tuple, seed_draws(2))) == [(0, 2), (1, 1), (1, 1), (2, 0)]


def test_runs_that_are_there_several_times_rank_as_if_they_were_written_out():
    values, times = np.array([3.0, 1.0, 3.0, 2.0]), np.array([2, 0, 1, 3])
    written = np.repeat(np.arange(4), times)
    expected = dict(zip(written, rankdata(values[written]), strict=True))
    (ranks,) = weighted_ranks(values, times[None].astype(float))
    assert {i: ranks[i] for i in expected} == expected


def test_the_interval_widens_where_the_runs_of_a_seed_go_together():
    rng = np.random.default_rng(3)
    seeds = np.repeat(np.arange(8), 20)
    x, y, together = (rng.normal(size=160), rng.normal(size=160), np.repeat(rng.normal(size=(2, 8)), 20, axis=1))
    alone, clustered = correlate(x, y, seeds), correlate(x + 3 * together[0], y + 3 * together[1], seeds)
    assert np.ptp(clustered.interval) > 1.5 * np.ptp(alone.interval)


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_or_two_have_no_interval(seeds):
    found = correlate(np.arange(5.0), np.array([1.0, 0, 2, 3, 4]), np.arange(5) % seeds)
    assert (found.rho, found.interval, found.seeds) == (pytest.approx(0.9), None, seeds)


@pytest.mark.parametrize(("y", "rho"), [([1, 2, 3, 4], 1), ([4, 3, 2, 1], -1), ([5, 5, 5, 5], None)])
def test_order_alone_counts_and_what_is_always_the_same_has_no_rho(y, rho):
    each = np.tile([0.1, 1, 10, 1e9], 3), np.tile(np.array(y, float), 3)
    found = correlate(*each, np.repeat([0, 1, 2], 4))
    assert found.rho == (None if rho is None else pytest.approx(rho))
    assert found.interval == (None if rho is None else pytest.approx((rho, rho)))


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_runs_without_a_number_are_left_out(missing):
    x, y, seeds = runs(3, 6)
    holes = x.copy()
    holes[[0, 5]] = missing
    kept = np.delete(np.arange(18), [0, 5])
    assert correlate(holes, y, seeds) == correlate(x[kept], y[kept], seeds[kept])


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_runs_have_no_rho(n):
    found = correlate(np.arange(float(n)), np.arange(float(n)), np.arange(n))
    assert (found.rho, found.interval, found.runs) == (None, None, n)


def test_draws_without_spread_have_no_rho():
    weights = np.array([[1.0, 1.0], [2.0, 0.0]])
    assert weighted_spearman(np.arange(2.0), np.arange(2.0), weights) == pytest.approx([1, np.nan], nan_ok=True)
