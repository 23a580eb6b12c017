"""Q-Score against the formula, example by example, and worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prunekit.comparison import Comparison
from prunekit.plugins.measures.q_score import QScore, q_score
from prunekit.report.arrays import ArrayPopulation, ArrayStudy


def by_hand(h):
    """Return Q, Z and ‖h‖₁ of one example in plain Python, features divided by their length first."""
    length = math.sqrt(sum(x * x for x in h))
    h = [x / length for x in h]
    mean = sum(h) / len(h)
    std = math.sqrt(sum((x - mean) ** 2 for x in h) / len(h))
    z, l1 = (max(h) - mean) / std, sum(abs(x) for x in h)
    return z / l1, z, l1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [True, False])
def test_scores_agree_with_a_loop_over_examples(dtype, relu):
    features = np.random.default_rng(0).normal(size=(600, 17)).astype(dtype)
    features = np.maximum(features, 0) if relu else features
    expected = np.array([by_hand(row.tolist()) for row in features])
    assert np.stack(q_score(features), axis=1) == pytest.approx(expected, rel=1e-10)


def test_a_worked_example():
    # h = (3, 4, 0, 0) / 5: mean 0.35, std √0.1275, max 0.8, ‖h‖₁ = 1.4
    q, z, l1 = q_score(np.array([[3.0, 4.0, 0.0, 0.0]]))
    assert l1 == pytest.approx([1.4])
    assert z == pytest.approx([0.45 / math.sqrt(0.1275)])
    assert q == pytest.approx([0.45 / math.sqrt(0.1275) / 1.4])


def test_scores_do_not_depend_on_the_length_of_the_features():
    features = np.random.default_rng(1).random((50, 8))
    for scale in (1e-30, 1e30):
        assert np.stack(q_score(features * scale)) == pytest.approx(np.stack(q_score(features)))


@pytest.mark.parametrize("first", [0.0, 1e6, -1e6])
def test_features_far_from_the_others_cost_no_precision(first):
    features = np.random.default_rng(2).random((50, 128))
    features[:, 0] = first
    expected = np.array([by_hand(row.tolist()) for row in features])
    assert np.stack(q_score(features), axis=1) == pytest.approx(expected, rel=1e-9)


def test_nearly_equal_features_are_told_apart():
    features = 1 + 1e-9 * np.random.default_rng(3).random((50, 128))
    _, z, _ = q_score(features)
    exact = (features.max(1) - features.mean(1)) / features.std(1)
    assert z == pytest.approx(exact, rel=1e-5)


def test_one_hot_features_reach_the_largest_score():
    q, z, l1 = q_score(np.eye(16)[:1])
    assert (q[0], z[0], l1[0]) == pytest.approx((math.sqrt(15), math.sqrt(15), 1))


def test_equal_features_do_not_stand_out():
    q, z, l1 = q_score(np.full((1, 9), 0.1))
    assert (q[0], z[0]) == (0, 0)
    assert l1[0] == pytest.approx(3)


def test_features_that_are_all_zero_score_zero():
    assert [each.tolist() for each in q_score(np.zeros((2, 5), np.float32))] == [[0, 0], [0, 0], [0, 0]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_not_hidden(value):
    for each in q_score(np.array([[value, 1.0], [2.0, 1.0]])):
        assert np.isnan(each).tolist() == [True, False]


def test_no_examples_have_no_scores():
    assert [each.shape for each in q_score(np.zeros((0, 5)))] == [(0,), (0,), (0,)]


@pytest.mark.parametrize("shape", [(5,), (2, 0), (2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"^features are \[examples, dimensions\]"):
        q_score(np.zeros(shape))


def test_the_figure_sets_scores_after_pruning_against_those_before_and_marks_pies():
    def population(name, q, predictions):
        columns = dict.fromkeys(("q", "z", "l1"), np.array(q)) | {"prediction": np.array(predictions)}
        return ArrayPopulation(name, (0, 1), 0.0, columns)

    populations = {
        "dense": population("dense", [[1.0, 2.0], [3.0, 4.0]], [[0, 1], [0, 1]]),
        "sparse": population("sparse", [[0.0, 8.0], [1.0, 9.0]], [[0, 0], [0, 0]]),
    }
    study = ArrayStudy(("cat", "dog"), ("a", "b"), np.array([0, 1]), populations)
    comparison = Comparison("dense", "sparse", None, True)
    (figure,) = QScore().summarise(study, [comparison]).figures
    assert (figure.name, figure.comparison) == ("q-score.dense-sparse", comparison)
    assert (figure.x.tolist(), figure.y.tolist()) == ([2.0, 3.0], [0.5, 8.5])
    assert (figure.x_name, figure.y_name) == ("Q-Score in dense", "Q-Score in sparse")
    assert figure.marked.tolist() == [False, True]
