"""The measure ``agreement``: halves of a population, churn, accuracy on PIEs."""

from __future__ import annotations

import json
import statistics
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from prunekit.comparison import Comparison
from prunekit.plugins.measures.agreement import (
    Agreement,
    accuracy_on,
    churn_between,
    churn_by_seed,
    churn_within,
    noise_floor,
)
from prunekit.report.arrays import ArrayPopulation, ArrayStudy

LABELS = np.array([0, 0, 1, 1])
DENSE = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]])
SPARSE = np.array([[0, 1, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]])
# modal labels: dense 0 0 1 1, sparse 0 1 1 1: the second example changes


def study(labels=LABELS, classes=("cat", "dog", "owl"), seeds=None, **predictions):
    populations = {
        name: ArrayPopulation(name, (seeds or {}).get(name, tuple(range(len(votes)))), 0.0, {"prediction": votes})
        for name, votes in predictions.items()
    }
    return ArrayStudy(classes, tuple(map(str, range(len(labels)))), labels, populations)


def summarise(paired=True, control=None, ties="smallest", **kwargs):
    comparison = Comparison("dense", "sparse", control, paired)
    return Agreement(ties=ties).summarise(study(**kwargs), [comparison])


def random_votes(members, examples=60, labels=3, seed=0):
    return np.random.default_rng(seed).integers(0, labels, (members, examples))


# ------------------------------------------------------------------------------------------------------ noise floor


def splits(members):
    """All ways to take two disjoint groups of half the members, in either order once."""
    everybody, half = range(members), members // 2
    for one in combinations(everybody, half):
        for other in combinations(sorted(set(everybody) - set(one)), half):
            if one < other:
                yield list(one), list(other)


@pytest.mark.parametrize(("members", "distinct"), [(2, 1), (3, 3), (4, 3), (5, 15), (6, 10), (7, 70), (8, 35)])
def test_a_noise_floor_is_the_pies_between_all_distinct_halves(members, distinct):
    votes = random_votes(members)
    changed = np.array([stats.mode(votes[a]).mode != stats.mode(votes[b]).mode for a, b in splits(members)])
    found = noise_floor(votes)
    assert (found.members, found.drawn) == (members // 2, False)
    assert sorted(found.counts) == sorted(changed.sum(axis=1))
    assert len(found.counts) == distinct
    assert found.by_example == pytest.approx(changed.mean(axis=0))


def test_of_many_members_halves_are_drawn_the_same_way_every_time():
    votes = random_votes(9)  # 315 distinct splits
    found, again = noise_floor(votes), noise_floor(votes)
    everything = [np.count_nonzero(stats.mode(votes[a]).mode != stats.mode(votes[b]).mode) for a, b in splits(9)]
    assert (found.members, found.drawn, len(found.counts)) == (4, True, 200)
    assert found.counts.tolist() == again.counts.tolist()
    assert set(found.counts) <= set(everything)
    assert found.counts.mean() == pytest.approx(np.mean(everything), rel=0.05)


def test_ties_within_halves_are_decided_as_told():
    votes = np.array([[0], [1], [1], [1]])  # a half with the first member is tied, the other says 1
    assert noise_floor(votes, "smallest").counts.tolist() == [1, 1, 1]
    assert noise_floor(votes, "largest").counts.tolist() == [0, 0, 0]


def test_one_member_has_no_halves():
    assert noise_floor(DENSE[:1]) is None


def test_members_that_agree_have_no_noise():
    assert noise_floor(np.ones((4, 5), dtype=int)).counts.tolist() == [0, 0, 0]


def test_a_population_without_members_is_refused():
    with pytest.raises(ValueError, match="at least one member"):
        noise_floor(DENSE[:0])


# ------------------------------------------------------------------------------------------------------------ churn


def test_churn_of_a_seed_is_the_share_of_examples_on_which_its_members_differ():
    assert churn_by_seed(DENSE, SPARSE).tolist() == [1 / 4, 1 / 4, 2 / 4]


def test_churn_within_is_the_mean_over_all_pairs_of_members():
    votes = random_votes(6)
    assert churn_within(votes) == pytest.approx(np.mean([np.mean(a != b) for a, b in combinations(votes, 2)]))


def test_churn_between_is_the_mean_over_all_pairs_of_a_member_of_each():
    one, other = random_votes(4), random_votes(3, labels=5, seed=1)
    pairs = [np.mean(a != b) for a, b in product(one, other)]
    assert churn_between(one, other) == pytest.approx(np.mean(pairs))
    assert churn_between(other, one) == pytest.approx(np.mean(pairs))


def test_populations_with_no_label_in_common_differ_everywhere():
    assert churn_between(np.zeros((2, 3), dtype=int), np.ones((2, 3), dtype=int)) == 1


def test_one_member_has_no_churn_within():
    assert churn_within(DENSE[:1]) is None


def test_no_examples_have_no_churn():
    nothing = np.zeros((2, 0), dtype=int)
    assert churn_within(nothing) is None
    assert churn_between(nothing, nothing) is None
    assert np.isnan(churn_by_seed(nothing, nothing)).all()


def test_members_of_different_examples_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        churn_by_seed(DENSE, SPARSE[:, :3])


# --------------------------------------------------------------------------------------------------------- accuracy


def test_accuracy_on_some_examples_is_the_mean_over_members():
    where = np.array([False, True, True, False])
    assert accuracy_on(DENSE, LABELS, where) == pytest.approx(np.mean([2 / 2, 1 / 2, 1 / 2]))


def test_accuracy_counts_examples_as_often_as_they_weigh():
    # right on the second example: two of three; on the last: all
    assert accuracy_on(DENSE, LABELS, np.array([0, 1, 0, 3])) == pytest.approx((2 / 3 + 3) / 4)


def test_there_is_no_accuracy_on_no_examples():
    assert accuracy_on(DENSE, LABELS, np.zeros(4)) is None


# ---------------------------------------------------------------------------------------------------------- measure


def test_a_comparison_has_churn_over_seeds_beside_that_of_two_seeds():
    found = summarise(dense=DENSE, sparse=SPARSE).comparisons[0]
    assert (found["churn"], found["std"]) == (pytest.approx(1 / 3), pytest.approx(statistics.stdev([0.25, 0.25, 0.5])))
    assert found["paired"] is True
    dense, sparse = ([np.mean(a != b) for a, b in combinations(votes, 2)] for votes in (DENSE, SPARSE))
    assert found["churn_within"] == {
        "reference": pytest.approx(np.mean(dense)), "pruned": pytest.approx(np.mean(sparse))
    }  # fmt: skip


@pytest.mark.parametrize("how", [{"paired": False}, {"seeds": {"sparse": (0, 1, 7)}}], ids=["unrelated", "other seeds"])
def test_where_seeds_pair_no_members_churn_is_over_all_pairs(how):
    found = summarise(dense=DENSE, sparse=SPARSE, **how).comparisons[0]
    pairs = [np.mean(a != b) for a, b in product(DENSE, SPARSE)]
    assert (found["paired"], found["churn"], found["std"]) == (False, pytest.approx(np.mean(pairs)), None)


def test_populations_of_different_sizes_are_compared():
    found = summarise(dense=DENSE, sparse=SPARSE[:2]).comparisons[0]
    assert (found["paired"], found["churn"]) == (False, pytest.approx(churn_between(DENSE, SPARSE[:2])))


def test_accuracy_on_pies_and_elsewhere_is_that_of_both_populations():
    found = summarise(dense=DENSE, sparse=SPARSE).comparisons[0]
    assert found["pies"] == 1
    assert found["accuracy_on_pies"] == {"reference": pytest.approx(2 / 3), "pruned": 0}
    assert found["accuracy_on_rest"] == {"reference": pytest.approx(8 / 9), "pruned": pytest.approx(6 / 9)}


def test_pies_go_by_the_ties_that_were_chosen():
    dense, sparse = np.array([[0], [1]]), np.array([[1], [1]])
    smallest, largest = (
        summarise(labels=LABELS[:1], ties=ties, dense=dense, sparse=sparse) for ties in ("smallest", "largest")
    )
    assert (smallest.comparisons[0]["pies"], largest.comparisons[0]["pies"]) == (1, 0)
    assert largest.readings == ["modal label: ties go to the largest class index"]


def test_without_pies_there_is_no_accuracy_on_them():
    found = summarise(dense=DENSE, sparse=DENSE).comparisons[0]
    assert (found["churn"], found["pies"]) == (0, 0)
    assert found["accuracy_on_pies"] == {"reference": None, "pruned": None}


def test_the_control_stands_beside_the_pruned():
    summary = summarise(dense=DENSE, sparse=SPARSE, mild=DENSE[:, ::-1], control="mild")
    control = summary.comparisons[0]["control"]
    assert control["population"] == "mild"
    assert control["churn"] == pytest.approx(churn_by_seed(DENSE, DENSE[:, ::-1]).mean())
    assert [row[0] for row in summary.tables[1].rows] == ["dense → sparse", "dense → mild"]


def test_comparisons_that_share_a_control_show_it_once():
    populations = study(dense=DENSE, sparse=SPARSE, sparser=SPARSE, mild=DENSE)
    comparisons = [Comparison("dense", name, "mild", True) for name in ("sparse", "sparser")]
    rows = Agreement().summarise(populations, comparisons).tables[1].rows
    assert [row[0] for row in rows] == ["dense → sparse", "dense → mild", "dense → sparser"]


def test_references_have_a_noise_floor_with_the_sizes_of_the_groups():
    votes, labels = random_votes(8), np.arange(60) % 3
    summary = summarise(labels=labels, dense=votes, sparse=votes[::-1])
    found, counts = summary.populations["dense"]["noise_floor"], noise_floor(votes).counts
    assert (found["members"], found["splits"], found["drawn"]) == (4, 35, False)
    assert (found["mean"], found["fraction"]) == (pytest.approx(counts.mean()), pytest.approx(counts.mean() / 60))
    assert (found["lowest"], found["highest"]) == (counts.min(), counts.max())
    assert summary.populations["sparse"]["noise_floor"] is None
    assert summary.tables[0].rows[0][:4] == ("dense", "4 + 4", 35, pytest.approx(counts.mean()))
    assert "no substitute for the number by chance" in summary.tables[0].note


def test_accuracy_on_the_pies_of_halves_is_over_those_of_all_splits():
    votes, labels = random_votes(4), np.arange(60) % 3
    right = np.concatenate(
        [np.mean(votes == labels, axis=0)[stats.mode(votes[a]).mode != stats.mode(votes[b]).mode] for a, b in splits(4)]
    )
    found = summarise(labels=labels, dense=votes, sparse=votes).populations["dense"]["noise_floor"]
    assert found["accuracy"] == pytest.approx(right.mean())


def test_one_member_each_has_churn_but_no_seed_noise():
    summary = summarise(dense=DENSE[:1], sparse=SPARSE[:1])
    found = summary.comparisons[0]
    assert (found["churn"], found["std"]) == (0.25, None)
    assert found["churn_within"] == {"reference": None, "pruned": None}
    assert summary.populations["dense"] == {"churn": None, "noise_floor": None}
    assert summary.tables[0].rows == [("dense", *[None] * 7)]
    json.dumps([summary.populations, summary.comparisons], allow_nan=False)


def test_a_study_without_comparisons_has_churn_alone():
    summary = Agreement().summarise(study(dense=DENSE), [])
    assert summary.populations == {"dense": {"churn": pytest.approx(1 / 3), "noise_floor": None}}
    assert (summary.tables, summary.comparisons, summary.certainty) == ([], [], [])


# ------------------------------------------------------------------------------------------------------------ words


def test_certainty_holds_churn_against_that_of_two_seeds():
    assert summarise(dense=DENSE, sparse=SPARSE).certainty == [
        "a member of dense and that of sparse with the same seed differ on 33.3 % of the examples, "
        "two members of dense on 33.3 %"
    ]


def test_certainty_does_not_speak_of_one_seed_where_seeds_pair_no_members():
    (clause,) = summarise(paired=False, dense=DENSE, sparse=SPARSE).certainty
    assert clause.startswith("a member of dense and one of sparse differ on 44.4 % of the examples, ")


def test_certainty_says_that_one_member_cannot_tell():
    (clause,) = summarise(dense=DENSE[:1], sparse=SPARSE[:1]).certainty
    assert clause.endswith("on 25.0 % of the examples, and as dense has one member, nobody knows what a seed changes")


@pytest.mark.parametrize(
    ("paired", "said"), [(True, "members of one seed (mean ± standard"), (False, "a member of each (mean over all")]
)
def test_the_note_says_whose_churn_it_is(paired, said):
    assert said in summarise(paired=paired, dense=DENSE, sparse=SPARSE).tables[1].note


def test_the_note_names_both_where_seeds_pair_members_of_some_comparisons_only():
    populations = study(dense=DENSE, sparse=SPARSE, other=SPARSE)
    comparisons = [Comparison("dense", "sparse", None, True), Comparison("dense", "other", None, False)]
    assert "where seeds do not pair members" in Agreement().summarise(populations, comparisons).tables[1].note
