"""Accuracy over members and per class."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from prunekit.comparison import Comparison
from prunekit.plugins.measures.accuracy import (
    Accuracy,
    class_accuracies,
    member_accuracies,
)
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.tables import Number

LABELS = np.array([0, 0, 1, 1])
DENSE = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]])  # 4, 3 and 3 of 4 right
SPARSE = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 1]])  # 2, 2 and 1 of 4 right


def study(classes=("cat", "dog"), **predictions):
    populations = {
        name: ArrayPopulation(name, tuple(range(len(values))), 0.9 if name == "sparse" else 0.0, {"prediction": values})
        for name, values in predictions.items()
    }
    return ArrayStudy(classes, tuple("abcd"), LABELS, populations)


def test_members_are_right_on_a_share_of_the_examples():
    assert member_accuracies(DENSE, LABELS).tolist() == [1.0, 0.75, 0.75]


def test_mean_and_std_over_members_with_ddof_1():
    found = Accuracy().summarise(study(dense=DENSE), []).populations["dense"]
    assert found["mean"] == pytest.approx(2.5 / 3)
    assert found["std"] == pytest.approx(statistics.stdev([1.0, 0.75, 0.75]))
    assert found["members"] == [1.0, 0.75, 0.75]


def test_the_accuracy_of_one_member_has_no_spread():
    assert Accuracy().summarise(study(dense=DENSE[:1]), []).populations["dense"]["std"] is None


def test_the_interval_of_the_mean_is_that_of_students_t():
    found = Accuracy().summarise(study(dense=DENSE), [])
    low, high = found.populations["dense"]["interval"]
    # members 1, 0.75, 0.75: 0.8333 ± 4.3027 · 0.1443 / √3, cut where no accuracy can be
    assert (low, high) == (pytest.approx(0.8333 - 0.3586, abs=1e-4), 1.0)
    assert found.headline.populations["dense"].interval == pytest.approx((100 * low, 100))


def test_one_member_has_no_interval():
    found = Accuracy().summarise(study(dense=DENSE[:1]), [])
    assert found.populations["dense"]["interval"] is None
    assert found.headline.populations["dense"].interval is None


def test_accuracy_per_true_class():
    # cat: 2 + 1 + 2 of 6 votes right; dog: 2 + 2 + 1
    assert class_accuracies(DENSE, LABELS, 2).tolist() == pytest.approx([5 / 6, 5 / 6])
    found = Accuracy().summarise(study(sparse=SPARSE), []).populations["sparse"]["per_class"]
    assert found == {"cat": pytest.approx(2 / 6), "dog": pytest.approx(3 / 6)}


def test_a_class_without_examples_has_no_accuracy():
    found = Accuracy().summarise(study(classes=("cat", "dog", "owl"), dense=DENSE), [])
    assert found.populations["dense"]["per_class"]["owl"] is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("members", [1, 3])
def test_without_examples_nothing_is_said(members):
    nothing = ArrayPopulation("dense", tuple(range(members)), 0.0, {"prediction": np.zeros((members, 0), int)})
    empty = ArrayStudy(("cat", "dog"), (), np.zeros(0, int), {"dense": nothing, "sparse": nothing})
    summary = Accuracy().summarise(empty, [Comparison("dense", "sparse", None, True)])
    assert (summary.clauses, summary.comparisons) == ([""], [{"difference": None}])
    assert summary.headline.populations["dense"] == Number(None)
    assert summary.tables[0].rows[0] == ("dense", members, 0.0, None, None, None, None)
    assert summary.populations["dense"]["members"] == [None] * members


def test_the_clause_gives_both_means():
    summary = Accuracy().summarise(study(dense=DENSE, sparse=SPARSE), [Comparison("dense", "sparse", None, True)])
    assert summary.clauses == ["accuracy 83.3 → 41.7 %"]


def test_the_control_stands_beside_the_pruned():
    populations = study(dense=DENSE, sparse=SPARSE, control=DENSE)
    table = Accuracy().summarise(populations, [Comparison("dense", "sparse", "control", True)]).tables[1]
    assert [column.name for column in table.columns] == [
        "Class", "Examples", "dense", "sparse", "control", "Change, points"
    ]  # fmt: skip
    assert table.rows[0] == ("cat", 2, *map(pytest.approx, (5 / 6, 2 / 6, 5 / 6, -50.0)))


@pytest.mark.parametrize("predictions", [np.zeros((0, 4), int), np.zeros((2, 3), int), np.zeros(4, int)])
def test_shapes_that_do_not_fit_are_refused(predictions):
    with pytest.raises(ValueError, match="at least one member"):
        member_accuracies(predictions, LABELS)
