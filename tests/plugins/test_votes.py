"""Modal labels, ties, and votes of many groups at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from prunekit.plugins.measures._votes import Votes, modal_shares, tied, vote_change, vote_counts
from prunekit.plugins.measures.pie import modal_labels, pruning_identified_exemplars


def mode_by_counter(votes, ties):
    counts = Counter(int(vote) for vote in votes)
    most = max(counts.values())
    winners = [label for label, count in counts.items() if count == most]
    return min(winners) if ties == "smallest" else max(winners)


@pytest.mark.parametrize("ties", ["smallest", "largest"])
@pytest.mark.parametrize(("members", "classes"), [(1, 10), (2, 3), (5, 2), (8, 4), (9, 1)])
def test_modal_labels_agree_with_a_loop_over_examples(members, classes, ties):
    predictions = np.random.default_rng(members).integers(0, classes, (members, 300))
    expected = [mode_by_counter(predictions[:, i], ties) for i in range(300)]
    assert modal_labels(predictions, ties).tolist() == expected


def test_a_tie_goes_to_the_smallest_class_index_unless_told_otherwise():
    predictions = np.array([[3, 0], [1, 0], [3, 2], [1, 2]])
    assert modal_labels(predictions).tolist() == [1, 0]
    assert modal_labels(predictions, ties="largest").tolist() == [3, 2]
    assert tied(predictions).tolist() == [True, True]


def test_a_clear_majority_is_no_tie():
    assert tied(np.array([[1, 4], [1, 5], [0, 6]])).tolist() == [False, True]
    assert not tied(np.array([[7, 8, 9]])).any()


def test_the_modal_share_is_that_of_the_members_who_vote_for_it():
    predictions = np.array([[1, 4], [1, 5], [0, 6], [1, 6]])
    assert modal_shares(predictions, modal_labels(predictions)).tolist() == [0.75, 0.5]


def test_votes_are_counted_per_label():
    assert vote_counts(np.array([[0, 2], [2, 2]])).tolist() == [[1, 0], [0, 0], [1, 2]]


@pytest.mark.parametrize(
    "predictions", [np.zeros((0, 5), int), np.zeros(5, int), np.zeros((2, 5)), np.array([[0, -1]]), np.zeros((1, 1, 1))]
)
def test_what_is_not_class_indices_of_members_is_refused_in_one_line(predictions):
    with pytest.raises(ValueError, match=r"^predictions are [^\n]+$"):
        modal_labels(predictions)


def test_other_ties_are_refused():
    with pytest.raises(ValueError, match="'smallest' or the 'largest'"):
        modal_labels(np.array([[1]]), ties="first")


def test_no_examples_have_no_modal_labels():
    assert modal_labels(np.zeros((3, 0), int)).shape == (0,)
    assert pruning_identified_exemplars(np.zeros((3, 0), int), np.zeros((2, 0), int)).shape == (0,)


@pytest.mark.parametrize("ties", ["smallest", "largest"])
def test_exemplars_are_where_the_modal_labels_differ(ties):
    rng = np.random.default_rng(0)
    reference, pruned = rng.integers(0, 5, (6, 200)), rng.integers(0, 5, (4, 200))
    expected = [mode_by_counter(reference[:, i], ties) != mode_by_counter(pruned[:, i], ties) for i in range(200)]
    assert pruning_identified_exemplars(reference, pruned, ties).tolist() == expected


def test_exemplars_need_the_same_examples():
    with pytest.raises(ValueError, match="got 3 and 4"):
        pruning_identified_exemplars(np.zeros((2, 3), int), np.zeros((2, 4), int))


@pytest.mark.parametrize("ties", ["smallest", "largest"])
@pytest.mark.parametrize("classes", [1, 2, 7, 16])
def test_groups_are_counted_as_they_are_one_by_one(classes, ties):
    rng = np.random.default_rng(classes)
    predictions = np.where(rng.random((9, 120)) < 0.5, rng.integers(0, classes, (9, 120)), 0)
    deals = np.array([rng.permutation(9) for _ in range(40)])
    one, other = deals < 4, deals >= 4
    counts, often = Votes.of(predictions, ties, smallest=4).changed(one, other)
    expected = [
        pruning_identified_exemplars(predictions[a], predictions[b], ties) for a, b in zip(one, other, strict=True)
    ]
    assert counts.tolist() == [each.sum() for each in expected]
    by_example = np.zeros(120, dtype=int)
    by_example[Votes.of(predictions, ties, smallest=4).examples] = often
    assert by_example.tolist() == np.sum(expected, axis=0).tolist()


def test_examples_that_no_group_can_decide_otherwise_are_left_out():
    votes = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]]).T
    assert Votes.of(votes, "smallest", smallest=3).examples.tolist() == [2]
    assert Votes.of(votes, "smallest", smallest=2).examples.tolist() == [1, 2]


# ------------------------------------------------------------------------------------------------------ vote change


def test_the_vote_change_is_half_the_sum_of_differences_of_vote_shares():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (5, 60)), rng.integers(0, 6, (7, 60))
    expected = [
        sum(abs((one[:, i] == label).mean() - (other[:, i] == label).mean()) for label in range(6)) / 2
        for i in range(60)
    ]
    assert vote_change(one, other) == pytest.approx(expected)
    assert vote_change(other, one) == pytest.approx(expected)


def test_votes_split_alike_have_not_changed_and_votes_without_a_common_label_have_all():
    one, other = np.array([[0, 0], [1, 0]]), np.array([[1, 2], [0, 3], [0, 3], [1, 2]])
    assert vote_change(one, other).tolist() == [0.0, 1.0]


def test_equal_changes_are_equal_to_the_bit():
    one, other = np.zeros((10, 2), int), np.zeros((10, 2), int)
    other[:3] = [[1, 1], [1, 2], [1, 3]]  # three votes of ten, to one label or to three: 0.1 + 0.1 + 0.1 is not 0.3
    assert vote_change(one, other).tolist() == [0.3, 0.3]


def test_changes_of_other_examples_are_refused():
    with pytest.raises(ValueError, match="the same examples: got 3 and 4"):
        vote_change(np.zeros((2, 3), int), np.zeros((2, 4), int))
