"""Spread and intervals over members, Welch's test, and the adjustment for many tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prunekit.plugins.measures._statistics import (
    benjamini_hochberg,
    known,
    mean_interval,
    spread,
    student_t,
    welch,
)


def test_a_number_that_is_not_finite_is_not_known():
    assert [known(value) for value in (np.float64(0.5), np.nan, np.inf)] == [0.5, None, None]


# --------------------------------------------------------------------------------------------------- one population


def test_one_member_has_no_spread():
    assert spread(np.array([0.5])) is None


def test_numbers_that_do_not_exist_have_neither_spread_nor_interval():
    absent = np.full(3, np.nan)
    assert (spread(absent), mean_interval(absent)) == (None, None)


def test_the_interval_of_the_mean_is_students():
    members = np.array([0.91, 0.93, 0.92, 0.9, 0.94])
    expected = stats.t.interval(0.95, 4, members.mean(), stats.sem(members))
    assert mean_interval(members) == pytest.approx(expected, rel=1e-3)


def test_quantiles_of_students_t_are_those_of_the_tables():
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 11: 2.201, 29: 2.045, 10**6: 1.960}
    for freedom, quantile in table.items():
        assert student_t(freedom) == pytest.approx(quantile, rel=2e-3)


# -------------------------------------------------------------------------------------------------------------- welch


@pytest.mark.parametrize(("members", "others"), [(2, 2), (3, 8), (30, 25)])
def test_welch_is_that_of_scipy(members, others):
    rng = np.random.default_rng(members)
    one, other = rng.normal(0, 1, (members, 40)), rng.normal(0.7, 3, (others, 40))
    assert welch(one, other) == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue, rel=1e-10)


def test_welch_allows_one_side_without_spread():
    one, other = np.full((4, 1), 0.5), np.array([[0.5], [0.7], [0.6], [0.65]])
    assert welch(one, other) == pytest.approx(stats.ttest_1samp(other, 0.5).pvalue)


@pytest.mark.parametrize("other", [0.5, 0.9])
def test_there_is_no_test_without_any_spread_whether_means_differ_or_not(other):
    assert np.isnan(welch(np.full((4, 1), 0.5), np.full((3, 1), other))).all()


def test_rounding_is_no_spread():
    # 2/3 − 1/2 and 5/6 − 2/3 are equal, not so their floating-point numbers
    one = np.array([[2 / 3 - 1 / 2], [5 / 6 - 2 / 3], [2 / 3 - 1 / 2]])
    assert np.ptp(one) > 0
    assert np.isnan(welch(one, one + 0.1)).all()


def test_one_member_or_a_missing_number_leaves_no_test():
    values = np.random.default_rng(0).random((3, 2))
    missing = values.copy()
    missing[1, 0] = np.nan
    assert np.isnan(welch(values[:1], values)).all()
    with np.errstate(all="raise"):
        assert np.isnan(welch(missing, values + 1)).tolist() == [True, False]


def test_columns_must_be_the_same_groups():
    with pytest.raises(ValueError, match="same groups"):
        welch(np.zeros((3, 2)), np.zeros((3, 4)))


# --------------------------------------------------------------------------------------------------------- adjustment


@pytest.mark.parametrize("number", [1, 2, 10, 1000])
def test_adjustment_is_that_of_scipy(number):
    p = np.random.default_rng(number).random(number) ** 3
    p[: number // 3] = p[0]  # ties
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p, method="bh"), rel=1e-12)


def test_groups_without_a_test_are_not_counted():
    adjusted = benjamini_hochberg(np.array([np.nan, 0.01, 0.04, np.nan]))
    assert adjusted[1:3].tolist() == pytest.approx([0.02, 0.04])
    assert np.isnan(adjusted[[0, 3]]).all()
    assert np.isnan(benjamini_hochberg(np.full(3, np.nan))).all()
