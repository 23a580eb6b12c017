"""Calibration: the error, the likelihood, the Brier score."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from prunekit.comparison import Comparison
from prunekit.plugins.measures.calibration import (
    Calibration,
    bin_of,
    brier_score,
    calibrated_error,
    expected_calibration_error,
    reliability,
)
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.tables import Number

LABELS = np.random.default_rng(0).integers(0, 3, 200)


def logits(seed, members=5, sharpness=1.0):
    """[M, N, C]: the label is the likeliest, on the whole."""
    rng = np.random.default_rng(seed)
    return sharpness * (rng.normal(0, 1, (members, len(LABELS), 3)) + np.eye(3)[LABELS])


def study(**members):
    populations = {}
    for name, each in members.items():
        probability = softmax(each, axis=2)
        columns = {
            "prediction": each.argmax(axis=2),
            "confidence": probability.max(axis=2).astype(np.float32),
            "loss": -log_softmax(each, axis=2)[:, np.arange(len(LABELS)), LABELS].astype(np.float32),
            "brier": np.stack([brier_score(member, LABELS) for member in each]),
        }
        populations[name] = ArrayPopulation(name, tuple(range(len(each))), 0.0, columns)
    return ArrayStudy(("a", "b", "c"), tuple(map(str, range(len(LABELS)))), LABELS, populations)


# --------------------------------------------------------------------------------------------------------------- error


def test_the_error_by_hand():
    #            first bin      second bin                      surplus .2 + .4 − 1 and .6 + .9 + 1 − 2
    confidence = np.array([0.2, 0.4, 0.6, 0.9, 1.0])
    correct = np.array([True, False, True, True, False])
    assert expected_calibration_error(confidence, correct, 2) == pytest.approx((0.4 + 0.5) / 5)
    assert expected_calibration_error(confidence, correct, 1) == pytest.approx(abs(3.1 - 3) / 5)


def test_bins_end_with_their_upper_end():
    assert bin_of(np.array([0.0, 1e-9, 0.25, 0.2500001, 0.5, 0.75, 1.0]), 4).tolist() == [0, 0, 0, 1, 1, 2, 3]
    edges = np.linspace(0, 1, 16)
    assert bin_of(edges, 15).tolist() == [0, *range(15)]


def test_there_must_be_a_bin():
    with pytest.raises(ValueError, match="at least one bin"):
        bin_of(np.array([0.5]), 0)


def test_confidence_and_accuracy_by_bin_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.35, 1, 500)  # the lowest bins are empty
    correct = rng.random(500) < confidence**2
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    found = reliability(confidence, correct, 15)
    assert found[0] == pytest.approx(mean)
    assert found[1] == pytest.approx(accuracy)
    weight = found[2] / 500
    assert found[2].sum() == 500
    assert expected_calibration_error(confidence, correct, 15) == pytest.approx(weight @ np.abs(accuracy - mean))


def test_certainty_that_is_right_has_no_error_and_certainty_that_is_wrong_has_all():
    confidence = np.ones(10)
    assert expected_calibration_error(confidence, np.ones(10, bool), 15) == 0.0
    assert expected_calibration_error(confidence, np.zeros(10, bool), 15) == 1.0


def test_without_examples_there_is_no_error():
    assert np.isnan(expected_calibration_error(np.zeros(0), np.zeros(0, bool), 15))


def test_members_that_mean_what_they_say_have_the_error_that_chance_gives():
    # one bin, one confidence: the mean of |binomial / n − 0.8|
    examples, expected = 50, stats.binom(50, 0.8).expect(lambda k: abs(k / 50 - 0.8))
    found = calibrated_error(np.full((3, examples), 0.8), 1)
    assert found == pytest.approx(expected, rel=0.3)
    assert found == calibrated_error(np.full((3, examples), 0.8), 1)
    assert calibrated_error(np.ones((2, examples)), 15) == 0.0


# --------------------------------------------------------------------------------------------------------------- brier


def test_brier_is_that_of_scikit_learn_over_all_classes():
    values = logits(2, members=1)[0]
    probability, truth = softmax(values, axis=1), np.eye(3)[LABELS]
    per_class = [brier_score_loss(truth[:, c], probability[:, c]) for c in range(3)]
    assert brier_score(values, LABELS).mean() == pytest.approx(sum(per_class))


def test_brier_by_hand():
    # equal odds of two, sure and right, sure and wrong
    values = np.array([[0.0, 0.0], [2000.0, 0.0], [0.0, 2000.0]], dtype=np.float32)
    assert brier_score(values, np.array([0, 0, 0])).tolist() == [0.5, 0.0, 2.0]


def test_brier_is_observed_of_every_example():
    class Member:
        def logits(self):
            return logits(3)[0]

        def labels(self):
            return LABELS

    measure = Calibration()
    observed = measure.observe(Member())
    assert list(observed) == ["brier"]
    assert observed["brier"].tolist() == brier_score(logits(3)[0], LABELS).tolist()


def test_other_bins_observe_nothing_anew():
    assert "bins" in Calibration.summary_options


# ------------------------------------------------------------------------------------------------------------- summary


def test_populations_have_mean_and_std_over_members():
    values = logits(4)
    found = Calibration().summarise(study(dense=values), []).populations["dense"]
    nll = [log_loss(LABELS, softmax(each, axis=1)) for each in values]
    assert found["nll"] == {"mean": pytest.approx(np.mean(nll)), "std": pytest.approx(np.std(nll, ddof=1))}
    ece = []
    for each in softmax(values, axis=2):
        confidence, correct = each.max(axis=1).astype(np.float32), each.argmax(axis=1) == LABELS
        ece.append(expected_calibration_error(confidence, correct, 15))
    assert (found["ece"]["mean"], found["ece"]["std"]) == pytest.approx((np.mean(ece), np.std(ece, ddof=1)))
    assert found["brier"]["mean"] == pytest.approx(np.mean([brier_score(each, LABELS) for each in values]))


def test_the_change_is_tested_over_members():
    one, other = logits(4), logits(5, sharpness=4)
    summary = Calibration().summarise(study(dense=one, sparse=other), [Comparison("dense", "sparse", None, True)])
    nll = [[log_loss(LABELS, softmax(each, axis=1)) for each in values] for values in (one, other)]
    change = summary.comparisons[0]["nll"]
    assert change["change"] == pytest.approx(np.mean(nll[1]) - np.mean(nll[0]))
    assert change["p"] == pytest.approx(stats.ttest_ind(*nll, equal_var=False).pvalue, rel=1e-4)
    row = dict(zip([(c.group, c.name) for c in summary.tables[1].columns], summary.tables[1].rows[0], strict=True))
    assert row["NLL", "Change"].value == change["change"]
    assert row["NLL", "p"] == change["p"]


def test_the_clause_sets_the_error_beside_what_chance_gives():
    populations = study(dense=logits(4), sparse=logits(5, sharpness=4))
    summary = Calibration().summarise(populations, [Comparison("dense", "sparse", None, True)])
    dense, sparse = (summary.populations[name]["ece"] for name in ("dense", "sparse"))
    assert summary.clauses == [
        f"expected calibration error {100 * dense['mean']:.1f} → {100 * sparse['mean']:.1f} % "
        f"({100 * dense['chance']:.1f} → {100 * sparse['chance']:.1f} % if calibrated; "
        f"p = {summary.comparisons[0]['ece']['p']:.2g})"
    ]
    assert summary.headline.populations["sparse"].chance == sparse["chance"]


def test_one_member_has_no_spread_and_no_test():
    populations = study(dense=logits(4, members=1), sparse=logits(5, members=1))
    summary = Calibration().summarise(populations, [Comparison("dense", "sparse", None, True)])
    assert summary.populations["dense"]["nll"]["std"] is None
    assert summary.comparisons[0]["nll"]["p"] is None
    assert summary.clauses[0].endswith("if calibrated; no test)")


def test_curves_are_of_all_members_together_the_control_among_them():
    populations = study(dense=logits(4), sparse=logits(5), control=logits(6))
    figure = Calibration(bins=5).summarise(populations, [Comparison("dense", "sparse", "control", True)]).figures[0]
    assert figure.diagonal
    assert [line.name for line in figure.panels[0].lines] == ["dense", "sparse", "control"]
    probability = softmax(logits(5), axis=2)
    confidence = probability.max(axis=2).astype(np.float32).ravel()
    accuracy, mean = calibration_curve((probability.argmax(axis=2) == LABELS).ravel(), confidence, n_bins=5)
    assert figure.panels[0].lines[1].x == pytest.approx(mean, rel=1e-5)
    assert figure.panels[0].lines[1].y == pytest.approx(accuracy)


def test_curves_leave_out_bins_of_few_predictions():
    values = np.zeros((2, len(LABELS), 3))
    values[:, :, 0] = 5.0
    values[:, :9, 0] = 1.0  # 9 of either member: 18
    few, enough = values.copy(), values.copy()
    enough[:, 9, 0] = 1.0
    summary = Calibration().summarise(study(few=few, enough=enough), [Comparison("few", "enough", None, True)])
    one, other = summary.figures[0].panels[0].lines
    assert one.x == pytest.approx([softmax([5.0, 0, 0])[0]])
    assert other.x == pytest.approx([softmax([1.0, 0, 0])[0], softmax([5.0, 0, 0])[0]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("members", [1, 3])
def test_without_examples_nothing_is_said(members):
    columns = dict.fromkeys(("confidence", "loss", "brier"), np.zeros((members, 0)))
    columns["prediction"] = np.zeros((members, 0), int)
    nothing = ArrayPopulation("dense", tuple(range(members)), 0.0, columns)
    empty = ArrayStudy(("cat", "dog"), (), np.zeros(0, int), {"dense": nothing, "sparse": nothing})
    summary = Calibration().summarise(empty, [Comparison("dense", "sparse", None, True)])
    assert summary.clauses == [""]
    assert summary.populations["dense"] == {
        "ece": {"mean": None, "std": None, "chance": None},
        "nll": {"mean": None, "std": None},
        "brier": {"mean": None, "std": None},
    }
    assert summary.headline.populations["dense"] == Number(None)
    assert summary.tables[0].rows[0] == ("dense", Number(None), None, Number(None), Number(None))
    assert summary.figures[0].caption.endswith("There are no examples.")
