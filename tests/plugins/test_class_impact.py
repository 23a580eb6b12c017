"""Recall and precision by class, and the test of Hooker et al."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, precision_score, recall_score

from prunekit.comparison import Comparison
from prunekit.plugins.measures.class_impact import ClassImpact, class_precisions
from prunekit.report.arrays import ArrayPopulation, ArrayStudy

CLASSES = ("cat", "dog", "owl")
LABELS = np.random.default_rng(0).integers(0, 3, 60)


def members(seed, number=6, wrong=0.3):
    """[number, 60]: predictions, a share of them drawn anew."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 3, (number, len(LABELS)))
    return np.where(rng.random(drawn.shape) < wrong, drawn, LABELS)


def summarise(comparison=None, classes=CLASSES, labels=LABELS, **predictions):
    populations = {
        name: ArrayPopulation(name, tuple(range(len(values))), 0.0, {"prediction": values})
        for name, values in predictions.items()
    }
    study = ArrayStudy(classes, tuple(map(str, range(len(labels)))), labels, populations)
    comparison = comparison or Comparison("dense", "sparse", "control" if "control" in predictions else None, True)
    return ClassImpact().summarise(study, [comparison])


def scores(score, predictions):
    """[M, C] of scikit-learn."""
    return np.array([score(LABELS, each, average=None, labels=[0, 1, 2]) for each in predictions])


def test_precision_by_class_is_that_of_scikit_learn():
    predictions = members(1)
    assert class_precisions(predictions, LABELS, 3) == pytest.approx(scores(precision_score, predictions))


def test_a_class_that_is_never_predicted_has_no_precision():
    found = class_precisions(np.array([[0, 0, 2], [0, 1, 2]]), np.array([0, 1, 2]), 3)
    np.testing.assert_array_equal(found, [[0.5, np.nan, 1], [1, 1, 1]])


def test_every_class_is_tested_as_in_hooker_et_al():
    dense, sparse = members(1), members(2, wrong=0.6)
    found = summarise(dense=dense, sparse=sparse).comparisons[0]
    one, other = scores(recall_score, dense), scores(recall_score, sparse)
    before, after = (np.mean([accuracy_score(LABELS, each) for each in population]) for population in (dense, sparse))
    p = stats.ttest_ind(one - before, other - after, equal_var=False).pvalue
    change = other.mean(axis=0) - one.mean(axis=0)
    precision = scores(precision_score, sparse).mean(axis=0) - scores(precision_score, dense).mean(axis=0)
    for i, name in enumerate(CLASSES):
        entry = found["classes"][name]
        assert entry["recall_change"] == pytest.approx(change[i])
        assert entry["precision_change"] == pytest.approx(precision[i])
        assert entry["beyond_overall"] == pytest.approx(change[i] - (after - before))
        assert entry["p"] == pytest.approx(p[i])
        assert entry["adjusted_p"] == pytest.approx(stats.false_discovery_control(p)[i])
        assert entry["control"] is None


def test_a_class_that_pruning_forgets_is_named():
    sparse = members(2)
    sparse[:, LABELS == 1] = np.where(np.random.default_rng(3).random((6, (LABELS == 1).sum())) < 0.9, 2, 1)
    summary = summarise(dense=members(1), sparse=sparse)
    assert summary.comparisons[0]["most"] == "dog"
    assert summary.comparisons[0]["lost"] == 1
    assert summary.whom[0].startswith("it fell on class dog (recall −")


def test_the_precision_is_that_of_members_that_predict_the_class():
    dense = np.stack([LABELS] * 4)
    sparse = np.where(dense == 2, 0, dense)
    sparse[0] = LABELS  # one of them alone predicts owls, all rightly
    found = summarise(dense=dense, sparse=sparse).comparisons[0]["classes"]["owl"]
    assert (found["recall_change"], found["precision_change"]) == (-0.75, 0.0)
    nobody = summarise(dense=dense, sparse=np.where(dense == 2, 0, dense)).comparisons[0]["classes"]["owl"]
    assert (nobody["recall_change"], nobody["precision_change"]) == (-1.0, None)


def test_a_class_without_images_has_no_recall_and_no_place_in_the_adjustment():
    predictions = {"dense": members(1), "sparse": members(2)}
    three, four = (summarise(classes=each, **predictions) for each in (CLASSES, (*CLASSES, "yak")))
    assert four.comparisons[0]["classes"]["yak"] == {
        "recall_change": None, "precision_change": None, "beyond_overall": None,
        "p": None, "adjusted_p": None, "own_adjusted_p": None, "control": None,
    }  # fmt: skip
    assert four.comparisons[0]["classes"]["dog"] == three.comparisons[0]["classes"]["dog"]
    assert four.figures[0].categories == CLASSES


def test_the_change_without_pruning_stands_beside():
    dense, control = members(1), members(4)
    summary = summarise(dense=dense, sparse=members(2), control=control)
    alone = summarise(dense=dense, sparse=control)
    entry = summary.comparisons[0]["classes"]["owl"]["control"]
    assert entry == {key: alone.comparisons[0]["classes"]["owl"][key] for key in entry}
    table = summary.tables[0]
    assert [column.group for column in table.columns][-5:] == ["sparse", *["control"] * 4]
    assert table.rows[2][-4:] == alone.tables[0].rows[2][-4:]
    assert table.comparison == Comparison("dense", "sparse", "control", True)


def test_one_member_has_changes_and_no_test():
    summary = summarise(dense=members(1, number=1), sparse=members(2, number=1))
    entry = summary.comparisons[0]["classes"]["cat"]
    assert entry["recall_change"] is not None
    assert (entry["p"], entry["adjusted_p"], entry["own_adjusted_p"]) == (None, None, None)
    assert summary.whom[0].endswith("with one member nothing tells what it does to classes from what another seed does")
    assert "One member has no spread" in summary.tables[0].note


def test_nothing_heavy_is_imported_with_the_measures():
    heavy = ["torch", "sklearn", "scipy", "matplotlib"]
    names = "class_impact, subgroups, calibration"
    code = f"import sys; from prunekit.plugins.measures import {names}; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
