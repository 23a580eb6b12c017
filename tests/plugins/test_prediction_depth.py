"""Prediction depth: the rule by hand, a network's depths against scikit-learn, and what is said of populations."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import permutation_test
from sklearn.neighbors import KNeighborsClassifier

from prunekit import Comparison, InputError, PrunekitError, Representation
from prunekit.data import DeviceData
from prunekit.figures import Points
from prunekit.images import ImageData, Split
from prunekit.network import ObservedNetwork, build_network
from prunekit.plugins.backbones.wide_resnet import WideResNet
from prunekit.plugins.datasets.digits import Digits
from prunekit.plugins.measures.prediction_depth import PredictionDepth, difference_p, prediction_depth
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.tables import Summary

# ------------------------------------------------------------------------------------------------------------- the rule


def test_the_depth_is_the_last_probe_that_is_wrong() -> None:
    #                 a  b  c  d  e
    votes = np.array([[1, 0, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    assert prediction_depth(votes, np.array([1, 1, 1, 1, 1])).tolist() == [1, 1, 2, 3, 4]


def test_an_example_that_no_probe_gets_wrong_is_as_deep_as_one_that_the_first_alone_does() -> None:
    votes = np.array([[0, 1], [0, 0], [0, 0]])
    assert prediction_depth(votes, np.array([0, 0])).tolist() == [1, 1]
    assert prediction_depth(votes, np.array([0, 0]), lowest=0).tolist() == [0, 1]


def test_counted_from_0_it_is_the_first_probe_from_which_all_agree() -> None:
    votes = np.random.default_rng(0).integers(0, 2, (6, 400))
    reference = np.zeros(400, dtype=np.int64)
    expected = [next(layer for layer in range(7) if not votes[layer:, i].any()) for i in range(400)]
    assert prediction_depth(votes, reference, lowest=0).tolist() == expected
    assert set(expected) == set(range(7))


def test_one_probe_and_no_examples_are_enough() -> None:
    assert prediction_depth(np.array([[0, 1]]), np.array([0, 0])).tolist() == [1, 1]
    assert prediction_depth(np.zeros((3, 0), dtype=int), np.zeros(0, dtype=int)).shape == (0,)


@pytest.mark.parametrize(("votes", "references"), [((0, 3), 3), ((3,), 3), ((2, 3), 4)])
def test_votes_that_do_not_fit_the_references_are_refused(votes: tuple[int, ...], references: int) -> None:
    with pytest.raises(ValueError, match=r"^votes are \[probes, examples\] of at least one probe"):
        prediction_depth(np.zeros(votes, dtype=int), np.zeros(references, dtype=int))


# ------------------------------------------------------------------------------------------------------------ a network


@pytest.fixture(scope="module")
def observed() -> ObservedNetwork:
    whole = Digits().load()
    few = ImageData(whole.classes, some(whole.train, 300), some(whole.validation, 0), some(whole.test, 150))
    data = DeviceData(few)
    return ObservedNetwork(build_network(WideResNet(depth=16, width=2), Digits().describe(), seed=0), data)


def some(split: Split, examples: int) -> Split:
    return Split(split.images[:examples], split.labels[:examples], split.ids[:examples])


def depths_by_scikit_learn(member: ObservedNetwork, k: int, which: str, pool: bool) -> list[list[int]]:
    """Return the wrong probes of every example, by another implementation of the votes, in float64."""
    held = list(member.representations(which, pool=pool))
    votes = [
        KNeighborsClassifier(k, algorithm="brute")
        .fit(each.bank.astype(np.float64), member.bank_labels())
        .predict(each.queries.astype(np.float64))
        for each in held
    ]
    reference = member.labels() if which == "paper" else member.logits().argmax(axis=1)
    return [[p for p, vote in enumerate(votes, start=1) if vote[i] != reference[i]] for i in range(len(reference))]


def test_the_papers_depths_are_those_of_scikit_learns_votes(observed: ObservedNetwork) -> None:
    wrong = depths_by_scikit_learn(observed, 30, "paper", pool=True)
    depth = PredictionDepth().observe(observed)["depth"]
    assert depth.tolist() == [max([1, *each]) for each in wrong]
    assert depth.min() == 1
    assert depth.max() == 16


def test_depths_after_baldock_et_al(observed: ObservedNetwork) -> None:
    measure = PredictionDepth(probes="blocks", reference="prediction", pool=False, k=5)
    wrong = depths_by_scikit_learn(observed, 5, "blocks", pool=False)
    assert measure.observe(observed)["depth"].tolist() == [max([0, *each]) for each in wrong]


# ----------------------------------------------------------------------------------------------------- a made-up member


class Member:
    """Two probes in one dimension; examples lie near the training images of their class, or of another."""

    def __init__(self, *probes: list[float], itself: bool = False) -> None:
        self.probes, self.itself = probes, itself
        self.alive: list[weakref.ref[NDArray[Any]]] = []

    def logits(self) -> NDArray[np.float32]:
        return np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)

    def labels(self) -> NDArray[np.int64]:
        return np.array([0, 0, 1])

    def bank_labels(self) -> NDArray[np.int64]:
        return self.labels() if self.itself else np.array([0, 0, 1, 1])

    def representations(self, probes: Any, *, pool: bool) -> Iterator[Representation]:
        for name, queries in zip("abc", self.probes, strict=False):
            gc.collect()
            assert all(array() is None for array in self.alive)
            asked = np.array(queries, dtype=np.float32)[:, None]
            bank = asked if self.itself else np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
            self.alive = [weakref.ref(bank), weakref.ref(asked)]
            yield Representation(name, bank, asked)
            del asked, bank


def test_the_reference_is_the_label_or_the_members_own_prediction() -> None:
    member = Member([0.0, 1.0, 0.0], [0.0, 0.0, 0.0])  # votes 0 1 0, then 0 0 0; labels 0 0 1, predictions 0 1 0
    assert PredictionDepth(k=2).observe(member)["depth"].tolist() == [1, 1, 2]
    assert PredictionDepth(k=2, reference="prediction").observe(member)["depth"].tolist() == [0, 2, 0]


def test_a_representation_is_let_go_before_the_next_is_asked_for() -> None:
    PredictionDepth(k=2).observe(Member([0.0] * 3, [1.0] * 3, [0.0] * 3))  # the member looks


def test_where_the_training_images_are_observed_none_votes_on_itself() -> None:
    member = Member([0.0, 0.1, 0.2], itself=True)  # nearest others: 0.1, 0.0 or 0.2 (the first), 0.1: labels 0 0 0
    assert PredictionDepth(k=1).observe(member)["depth"].tolist() == [1, 1, 1]
    with pytest.raises(InputError, match=r"^prediction_depth: k is 3, but there are 2 training images to vote$"):
        PredictionDepth(k=3).observe(member)


def test_more_neighbours_than_training_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"^prediction_depth: k is 30, but there are 4 training images to vote$"):
        PredictionDepth().observe(Member([0.0, 0.0, 0.0]))


def test_a_member_whose_numbers_are_not_finite_has_no_depth() -> None:
    with pytest.raises(PrunekitError, match=r"^prediction_depth: probe b: expected finite numbers"):
        PredictionDepth(k=2).observe(Member([0.0] * 3, [np.nan] * 3))


# ------------------------------------------------------------------------------------------------------------- a study

PREDICTIONS = {
    "dense": [[0, 0, 1, 1]] * 3,
    "sparse": [[0, 0, 1, 0]] * 3,  # d changes
    "control": [[0, 0, 1, 1]] * 3,
}
DEPTHS = {"dense": [[1, 2, 3, 16], [1, 4, 3, 14]], "sparse": [[1, 1, 4, 16]] * 2, "control": [[2, 2, 2, 14]] * 2}
COMPARISON = Comparison("dense", "sparse", "control", True)


def study(depths: dict[str, Any] = DEPTHS, predictions: dict[str, Any] = PREDICTIONS) -> ArrayStudy:
    populations = {
        name: ArrayPopulation(
            name, (0, 1, 2), 0.0, {"prediction": np.array(predictions[name]), "depth": np.array(depths[name])}
        )
        for name in depths
    }
    return ArrayStudy(("cat", "dog"), tuple("abcd"), np.array([0, 0, 1, 1]), populations)


def summarise(**options: Any) -> Summary:
    return PredictionDepth(**options).summarise(study(), [COMPARISON])


def test_the_mean_depth_of_a_population_is_over_examples_and_members() -> None:
    found = summarise().populations
    assert found["dense"] == {"mean": 5.5, "std": 0.0, "members": 2}  # 22 / 4 and 22 / 4
    assert found["sparse"]["mean"] == 5.5
    assert found["control"]["mean"] == 5.0


def test_pies_are_set_beside_the_other_examples_in_every_population() -> None:
    found = summarise().comparisons[0]
    # the depths of a, b, c, d are 1 3 3 15 in dense, 1 1 4 16 in sparse, 2 2 2 14 in control
    for role, pies, others in (("reference", 15, 7 / 3), ("pruned", 16, 2), ("control", 14, 2)):
        assert (found[role]["pies"], found[role]["others"]) == pytest.approx((pies, others))
        assert found[role]["difference"] == pytest.approx(pies - others)
        assert found[role]["by_chance"] == pies  # only d ever changes
        assert found[role]["p"] == 0.5  # of 4 examples drawn at random one is d, and two of 4 is what can be told
    assert study().populations["dense"]["depth"].shape == (2, 4)


def test_the_tables_follow_those_of_corti_et_al() -> None:
    overall, pies = summarise().tables
    assert overall.title == "Prediction depth"
    assert [row[:3] for row in overall.rows] == [("dense", 2, 5.5), ("sparse", 2, 5.5), ("control", 2, 5.0)]
    assert [row[:3] for row in pies.rows] == [
        ("dense → sparse", "dense", 15.0),
        ("dense → sparse", "sparse", 16.0),
        ("dense → sparse", "control", 14.0),
    ]
    assert pies.about == tuple((name, "dense", "sparse") for name in ("dense", "sparse", "control"))
    assert {column.key for column in pies.columns} - {""} == set(PredictionDepth.published_keys)


def test_the_figure_has_a_point_per_example() -> None:
    (figure,) = summarise().figures
    assert isinstance(figure, Points)
    assert (figure.name, figure.comparison) == ("prediction-depth.dense-sparse", COMPARISON)
    assert figure.x.tolist() == [1, 3, 3, 15]
    assert figure.y.tolist() == [1, 1, 4, 16]
    assert figure.marked.tolist() == [False, False, False, True]


def test_without_pies_there_is_nothing_to_compare() -> None:
    same = study(predictions={name: [[0, 0, 1, 1]] * 3 for name in DEPTHS})
    found = PredictionDepth().summarise(same, [Comparison("dense", "sparse", None, True)])
    assert found.comparisons[0]["control"] is None
    pruned = found.comparisons[0]["pruned"]
    assert [pruned[key] for key in ("pies", "by_chance", "difference", "p")] == [None] * 4
    assert pruned["others"] == 5.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ("the true label, at least 1 (as Corti et al.)", "of the 30 nearest", "no paper probed), averaged")),
        (
            {"reference": "prediction", "probes": ["stem", "groups.*"], "pool": False, "k": 7},
            (
                "own prediction, 0 where none does (as Baldock et al.)",
                "of the 7",
                "probes: stem, groups.*, taken whole",
            ),
        ),
    ],
)
def test_the_reading_is_named(options: dict[str, Any], words: tuple[str, ...]) -> None:
    (reading,) = summarise(**options).readings
    assert all(word in reading for word in words)


def test_so_many_members_are_observed_and_that_is_no_part_of_what_is_observed() -> None:
    assert PredictionDepth().most_members == 5
    assert PredictionDepth(members=2).most_members == 2
    assert PredictionDepth.summary_options == {"members"}


# --------------------------------------------------------------------------------------------------------------- chance


@pytest.mark.parametrize("count", [15, 40])
@pytest.mark.parametrize("shift", [0.0, 1.0, -1.5])
def test_p_is_that_of_permutations(count: int, shift: float) -> None:
    random = np.random.default_rng(count)
    values = random.integers(1, 17, 300) + random.random(300)
    marked = np.arange(300) < count
    values[marked] += shift
    drawn = permutation_test(
        (values[marked], values[~marked]),
        lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
        n_resamples=4000,
        vectorized=True,
        rng=0,
    )
    assert difference_p(values, marked) == pytest.approx(drawn.pvalue, abs=0.03)


def test_p_is_no_smaller_than_so_few_examples_can_tell() -> None:
    values = np.array([1.0] * 99 + [16.0])
    assert difference_p(values, values > 1) == 0.02
    assert difference_p(np.ones(4), np.array([True, False, False, False])) == 1
    assert difference_p(values, values > 16) is None
    assert difference_p(values, values > 0) is None
