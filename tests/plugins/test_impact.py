"""Which groups lose more than others, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prunekit.comparison import Comparison
from prunekit.plugins.measures._impact import (
    Accuracies,
    Impact,
    Words,
    bars,
    columns,
    group_accuracies,
    reading,
    whom,
)

WORDS = Words("recall", "class", "classes")
COMPARISON = Comparison("dense", "sparse", None, False)

NOBODY = "no class is known to have lost more than the examples as a whole"


def accuracies(groups, overall=None):
    """[M, G] → what a population of which all groups are as large says."""
    groups = np.asarray(groups, dtype=float)
    return Accuracies(groups.mean(axis=1) if overall is None else np.asarray(overall, dtype=float), groups)


def impact(reference, pruned, names=None, **overall):
    one = accuracies(reference, overall.get("before"))
    other = accuracies(pruned, overall.get("after"))
    return Impact.between(WORDS, names or [f"c{i}" for i in range(one.groups.shape[1])], one, other)


def study(members=8, changes=(0.0, 0.0, 0.0), seed=0):
    """Members with a little seed noise in three classes; pruning changes their recall by ``changes``."""
    rng = np.random.default_rng(seed)
    dense, sparse = 0.8 + rng.normal(0, 0.01, (2, members, 3))
    return impact(dense, sparse + np.array(changes), ["ship", "cat", "dog"])


# ------------------------------------------------------------------------------------------------------------- groups


def test_accuracy_by_group_leaves_out_who_is_in_none():
    right = np.array([[True, False, True, True], [False, False, True, False]])
    found = group_accuracies(right, np.array([2, 2, -1, 0]), 3)
    np.testing.assert_array_equal(found, [[1, np.nan, 0.5], [0, np.nan, 0]])


def test_both_tests_are_those_of_scipy():
    rng = np.random.default_rng(5)
    one, other = rng.random((6, 4)), rng.random((5, 4))
    found = impact(one, other)
    mean = stats.ttest_ind(one - one.mean(), other - other.mean(), equal_var=False).pvalue
    own = stats.ttest_ind(
        one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True), equal_var=False
    ).pvalue
    assert found.p == pytest.approx(mean)
    assert found.adjusted == pytest.approx(stats.false_discovery_control(mean))
    assert found.own == pytest.approx(stats.false_discovery_control(own))
    assert found.judged == pytest.approx(np.maximum(found.adjusted, found.own))
    assert found.change == pytest.approx(other.mean(axis=0) - one.mean(axis=0))
    assert found.overall == pytest.approx(other.mean() - one.mean())
    assert found.beyond == pytest.approx(found.change - found.overall)


def test_a_group_that_cannot_vary_has_not_changed_because_the_rest_did_by_chance():
    # members differ overall, so that the means of the populations differ by chance; the first class is near 100 %
    before, after = np.array([0.80, 0.90, 0.84, 0.86]), np.array([0.83, 0.93, 0.87, 0.89])
    ceiling = np.array([[0.999, 1, 1, 0.999], [1, 0.999, 1, 0.998]])
    found = impact(
        np.stack([ceiling[0], before], axis=1),
        np.stack([ceiling[1], after], axis=1),
        before=before,
        after=after,
    )
    assert found.adjusted[0] < 0.001
    assert found.own[0] > 0.3
    assert not found.significant.any()


def test_a_class_that_all_members_lose_has_a_test_where_members_differ_overall():
    before, after = np.array([0.80, 0.82, 0.81]), np.array([0.71, 0.70, 0.72])
    found = impact([[1.0]] * 3, [[0.0]] * 3, ["ship"], before=before, after=after)
    assert np.isnan(found.p).all()
    assert found.significant.all()
    assert whom(found).startswith(
        "it fell on class ship (recall −100.0 points, accuracy overall −10.0 points, adjusted p = "
    )


def test_what_all_examples_are_in_changes_as_all_do():
    one, other = np.array([[0.7], [0.8], [0.75]]), np.array([[0.5], [0.6], [0.62]])
    found = impact(one, other)
    assert found.beyond == pytest.approx([0.0])
    assert found.judged == pytest.approx([1.0])


# -------------------------------------------------------------------------------------------------------------- words


def test_the_worst_loss_is_named_with_the_larger_p_of_both_tests():
    found = study(changes=(-0.1, -0.3, 0.0))
    assert found.totals() == {"most": "cat", "lost": 1, "significant": 3}
    change, overall, p = -100 * found.change[1], -100 * found.overall, max(found.adjusted[1], found.own[1])
    assert whom(found) == (
        f"it fell on class cat (recall −{change:.1f} points, accuracy overall −{overall:.1f} points, "
        f"adjusted p = {p:.2g})"
    )


def test_further_losses_are_counted():
    assert whom(study(changes=(-0.2, -0.21, 0))).endswith(") and 1 more class")
    rng = np.random.default_rng(0)
    dense, sparse = 0.8 + rng.normal(0, 0.01, (2, 8, 8))
    sparse[:, :3] -= 0.2
    assert whom(impact(dense, sparse)).endswith(") and 2 more classes")


def test_a_recall_that_rose_less_than_accuracy_is_no_loss():
    found = study(changes=(0.01, 0.2, 0.2))
    assert found.significant[0]
    assert found.beyond[0] < 0 < found.change[0]
    assert found.totals()["lost"] == 0
    assert whom(found) == NOBODY


def test_nothing_is_claimed_where_nothing_changed():
    found = study(seed=3)
    losing = found.judged[found.losing].min()
    assert losing > 0.05
    assert whom(found) == f"{NOBODY} (smallest adjusted p = {losing:.2g})"


def test_classes_that_could_not_be_tested_are_counted():
    found = impact([[0.5, 0.8]] * 2, [[0.5, 0.8]] * 2)
    assert whom(found) == "no class could be tested, as members do not differ"
    overall = np.array([0.65, 0.65])
    half = impact([[0.5, 0.8], [0.5, 0.9]], [[0.5, 0.8], [0.5, 0.9]], before=overall, after=overall)
    assert whom(half) == f"{NOBODY} (1 not tested, as members do not differ there)"


def test_one_member_says_which_class_fell_furthest_and_tests_nothing():
    found = impact([[0.5, 0.8]], [[0.1, 0.8]])
    untold = "with one member nothing tells what it does to classes from what another seed does"
    assert whom(found) == f"class c0 fell furthest (recall −40.0 points, accuracy overall −20.0 points), but {untold}"
    assert whom(impact([[0.5, 0.8]], [[0.5, 0.8]])) == untold
    assert found.totals() == {"most": None, "lost": 0, "significant": 0}
    assert found.entry(0) == {
        "beyond_overall": pytest.approx(-0.2), "p": None, "adjusted_p": None, "own_adjusted_p": None
    }  # fmt: skip


def test_cells_stand_below_their_columns():
    found = study(changes=(-0.3, 0, 0))
    named = dict(zip((column.name for column in columns("sparse")), found.cells(0), strict=True))
    beyond = named["Beyond overall, points"]
    assert (beyond.value, beyond.p) == (pytest.approx(100 * found.beyond[0]), found.judged[0])
    assert (named["p"], named["Adjusted p"], named["Own p"]) == (found.p[0], found.adjusted[0], found.own[0])


def test_the_reading_says_on_which_side_paired_members_err():
    assert "paired" not in reading(WORDS, [COMPARISON])
    paired = Comparison("dense", "sparse", None, paired=True)
    assert "members are paired plays no part" in reading(WORDS, [COMPARISON, paired])


# ------------------------------------------------------------------------------------------------------------- figure


def test_bars_are_strong_where_a_class_changed():
    found = study(changes=(-0.3, 0, 0))
    figure = bars(found, COMPARISON, "class_impact")
    strong, weak = figure.panels[0].bars
    assert figure.name == "class-impact.dense-sparse"
    assert figure.comparison == COMPARISON
    assert (strong.light, weak.light) == (False, True)
    assert strong.values + weak.values == pytest.approx(100 * found.beyond)
    assert (strong.values != 0).tolist() == found.significant.tolist()
    assert f"{found.significant.sum()} of 3" in figure.caption


def test_bars_leave_out_classes_without_examples_and_show_those_that_changed_most():
    reference = np.full((2, 40), 0.5)
    pruned = reference - np.arange(40) / 100
    pruned[:, 39] = np.nan
    figure = bars(impact(reference, pruned, before=[0.5, 0.5], after=[0.5, 0.5]), COMPARISON, "x")
    assert figure.categories == tuple(f"c{i}" for i in range(15, 39))
    assert "The 24 of 39 classes that changed most" in figure.caption
    assert "From c38, −38.0 points, to c0, +0.0 points" in figure.caption
