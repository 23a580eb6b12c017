"""The measure ``pie``: what it counts, says and leaves unsaid."""

from __future__ import annotations

import json

import numpy as np
import pytest

from prunekit.comparison import Comparison
from prunekit.plugins.measures import _change
from prunekit.plugins.measures.pie import Pie
from prunekit.report.arrays import ArrayPopulation, ArrayStudy

CLASSES = ("cat", "dog", "owl")
LABELS = np.array([0, 0, 1, 2])
#                  a  b  c  d
DENSE = np.array([[0, 0, 1, 2], [0, 1, 1, 2], [0, 0, 1, 0], [1, 0, 1, 2]])
SPARSE = np.array([[0, 1, 1, 0], [0, 1, 2, 0], [0, 1, 1, 0], [0, 0, 1, 2]])
# modal labels: dense 0 0 1 2, sparse 0 1 1 0: b and d change


def study(**predictions):
    populations = {
        name: ArrayPopulation(name, tuple(range(len(values))), 0.0, {"prediction": np.asarray(values)})
        for name, values in predictions.items()
    }
    examples = next(iter(predictions.values())).shape[1]
    labels = LABELS if examples == 4 else np.arange(examples) % 3
    return ArrayStudy(CLASSES, tuple(f"{i:03}" for i in range(examples)), labels, populations)


def summarise(comparison=None, options=None, **predictions):
    comparison = comparison or Comparison("dense", "sparse", "control" if "control" in predictions else None, True)
    return Pie(**(options or {})).summarise(study(**predictions), [comparison])


def test_exemplars_are_counted_per_true_class_and_listed_with_both_vote_shares_and_their_distance():
    found = summarise(dense=DENSE, sparse=SPARSE).comparisons[0]
    assert (found["count"], found["fraction"], found["paired"]) == (2, 0.5, True)
    assert found["per_class"] == {"cat": 1, "dog": 0, "owl": 1}
    assert found["ties"] == {"reference": 0, "pruned": 0}
    shares = {"reference_share": 0.75, "pruned_share": 0.75, "change": 0.5}
    assert found["examples"] == [
        {"id": "001", "label": "cat", "reference": "cat", "pruned": "dog", **shares},
        {"id": "003", "label": "owl", "reference": "owl", "pruned": "cat", **shares},
    ]


#                      a  b  c  d
SPARSER = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 1]])
# of 4 votes on b three go from cat to dog; on d three leave owl, two of them for cat and one for dog: 0.75 of the votes
# move on both


def test_the_exemplar_whose_votes_changed_most_comes_first_then_the_order_of_the_examples():
    found = summarise(dense=DENSE, sparse=SPARSER).comparisons[0]["examples"]
    assert [(each["id"], each["change"]) for each in found] == [("001", 0.75), ("003", 0.75)]
    sparse = SPARSER.copy()
    sparse[3, 1] = 0
    found = summarise(dense=DENSE, sparse=sparse).comparisons[0]["examples"]
    assert [(each["id"], each["change"]) for each in found] == [("003", 0.75), ("001", 0.5)]


def test_table_and_exemplars_say_the_same_as_the_document():
    summary = summarise(dense=DENSE, sparse=SPARSER)
    (exemplars,) = summary.exemplars
    listed = summary.comparisons[0]["examples"]
    assert [each.index for each in exemplars] == [int(each["id"]) for each in listed] == [1, 3]
    first = exemplars[0]
    assert (first.reference, first.reference_share, first.pruned, first.pruned_share, first.change) == (
        "cat", 0.75, "dog", 1.0, 0.75
    )  # fmt: skip
    (table,) = [table for table in summary.tables if table.title.startswith("Clearest")]
    assert [(row[0], row[-1]) for row in table.rows] == [("001", 0.75), ("003", 0.75)]


def test_ties_are_counted_in_both_populations_and_decided_as_told():
    dense, sparse = np.array([[0, 1], [2, 1]]), np.array([[2, 1], [2, 1]])
    smallest, largest = (
        summarise(options={"ties": ties}, dense=dense, sparse=sparse).comparisons[0] for ties in ("smallest", "largest")
    )
    assert smallest["ties"] == largest["ties"] == {"reference": 1, "pruned": 0}
    assert (smallest["count"], largest["count"]) == (1, 0)


def test_the_readings_name_ties_and_permutations():
    readings = summarise(dense=DENSE, sparse=SPARSE).readings
    assert readings[0] == "modal label: ties go to the smallest class index"
    assert readings[-2:] == [
        "dense → sparse: 4 + 4 members, chance from all 8 distinct swaps within seed pairs",
        "tied modal labels: 0 in dense, 0 in sparse",
    ]
    drawn = summarise(options={"permutations": 5}, dense=DENSE, sparse=SPARSE).readings[-2]
    assert "chance from 5 swaps within seed pairs drawn" in drawn


def test_readings_and_note_say_that_two_tests_are_made():
    summary = summarise(dense=DENSE, sparse=SPARSE)
    assert sum("two tests" in reading for reading in summary.readings) == 1
    assert "Two tests are made: p of count" in summary.tables[0].note
    row = dict(zip((column.name for column in summary.tables[0].columns), summary.tables[0].rows[0], strict=True))
    found = summary.comparisons[0]
    assert (row["p of count"], row["p of votes"]) == (found["p"], found["votes_p"])
    assert [row["95 % from"], row["95 % to"]] == found["interval"]
    assert row["Smallest p"] == found["smallest_p"] == 1 / 8


def test_the_control_stands_beside_the_pruned():
    summary = summarise(dense=DENSE, sparse=SPARSE, control=DENSE)
    control = summary.comparisons[0]["control"]
    assert (control["population"], control["count"], control["p"]) == ("control", 0, 1.0)
    assert [row[0] for row in summary.tables[0].rows] == ["dense → sparse", "dense → control"]
    by_class = summary.tables[1]
    assert [column.name for column in by_class.columns][2:] == [
        "PIEs", "By chance", "PIEs, control", "By chance, control"
    ]  # fmt: skip
    assert [row[2] for row in by_class.rows] == [1, 0, 1]
    assert [row[4] for row in by_class.rows] == [0, 0, 0]


def test_chance_by_class_adds_up_to_chance():
    rng = np.random.default_rng(0)
    summary = summarise(dense=rng.integers(0, 3, (6, 90)), sparse=rng.integers(0, 3, (6, 90)))
    assert sum(row[3] for row in summary.tables[1].rows) == pytest.approx(summary.comparisons[0]["expected"])


def test_populations_with_different_seeds_are_not_paired():
    populations = study(dense=DENSE, sparse=SPARSE[:3])
    found = Pie().summarise(populations, [Comparison("dense", "sparse", None, paired=True)]).comparisons[0]
    assert found["paired"] is False


def test_a_population_without_control_has_none():
    assert summarise(dense=DENSE, sparse=SPARSE).comparisons[0]["control"] is None


def test_comparisons_that_share_a_control_share_its_chance_level(monkeypatch):
    tested = []
    test = _change.permutation_test
    monkeypatch.setattr(_change, "permutation_test", lambda *both, **rest: tested.append(0) or test(*both, **rest))
    comparisons = [Comparison("dense", name, "control", True) for name in ("sparse", "sparser")]
    populations = study(dense=DENSE, sparse=SPARSE, sparser=SPARSE, control=DENSE)
    summary = Pie().summarise(populations, comparisons)
    assert len(tested) == 3
    assert [row[0] for row in summary.tables[0].rows] == ["dense → sparse", "dense → control", "dense → sparser"]
    assert summary.comparisons[0]["control"] == summary.comparisons[1]["control"]


def test_the_headline_is_the_count_with_the_smaller_p_of_two_tests_doubled():
    populations = study(dense=np.zeros((8, 4), int), sparse=np.ones((8, 4), int))
    (number,) = Pie().summarise(populations, [Comparison("dense", "sparse", None, True)]).headline.comparisons
    assert (number.value, number.p, number.smallest_p) == (4, 2 / 128, 2 / 128)  # no swap is as far apart, bar one


def test_the_headline_has_interval_and_chance_level_of_the_count():
    summary = summarise(dense=DENSE, sparse=SPARSE)
    (number,), found = summary.headline.comparisons, summary.comparisons[0]
    assert (list(number.interval), number.chance) == (found["interval"], found["expected"])


def test_the_figure_by_class_shows_the_table_by_class():
    summary = summarise(dense=DENSE, sparse=SPARSE, control=DENSE)
    (figure,) = [figure for figure in summary.figures if figure.name == "pie-classes.dense-sparse"]
    table = summary.tables[1]
    assert figure.comparison == table.comparison == Comparison("dense", "sparse", "control", True)
    assert figure.categories == CLASSES
    assert [panel.title for panel in figure.panels] == ["dense → sparse", "dense → control"]
    shown = [bar.values.tolist() for panel in figure.panels for bar in panel.bars]
    assert shown == [[row[column] for row in table.rows] for column in (2, 3, 4, 5)]


def test_the_figure_of_examples_has_the_first_24():
    rng = np.random.default_rng(0)
    summary = summarise(dense=rng.integers(0, 3, (5, 90)), sparse=rng.integers(0, 3, (5, 90)))
    (figure,) = [figure for figure in summary.figures if figure.name == "pie-examples.dense-sparse"]
    assert len(summary.exemplars[0]) > 24
    assert figure.exemplars == summary.exemplars[0][:24]
    assert (figure.reference, figure.pruned) == ("dense", "sparse")
    assert figure.caption.startswith(
        f"The 24 of {len(summary.exemplars[0])} PIEs, those whose votes changed most first"
    )


def test_readings_of_many_comparisons_are_said_once():
    names = [f"sparse{k}" for k in range(5)]
    populations = study(dense=DENSE, **dict.fromkeys(names, SPARSE))
    readings = Pie().summarise(populations, [Comparison("dense", name, None, True) for name in names]).readings
    assert readings[2:] == [
        "5 comparisons: 4 + 4 members, chance from all 8 distinct swaps within seed pairs",
        "tied modal labels: from 0 in dense to 0 in sparse4",
    ]


# ---------------------------------------------------------------------------------------------------------- clauses


def split_votes(members, changed, unchanged):
    """Two populations: ``changed`` examples are won narrowly by other labels, the rest unanimously by the same."""
    rng = np.random.default_rng(0)
    place = rng.permuted(np.tile(np.arange(members)[:, None], (2, 1, changed)), axis=1)
    same = np.zeros((members, unchanged), int)
    one, two = np.where(place[0] < members // 2, 1, 0), np.where(place[1] < members // 2 - 1, 0, 1)
    return np.hstack([one, same]), np.hstack([two, same])


def test_a_clause_says_that_there_is_more_than_noise_where_p_allows_it():
    dense, sparse = split_votes(9, 40, 1200)
    summary = summarise(dense=dense, sparse=sparse, control=dense)
    expected = f"{summary.comparisons[0]['expected']:.0f}"
    assert summary.clauses == [
        f"40 of 1,240 test examples changed their modal label where seed noise alone changes {expected} (p = 0.0039); "
        "fine-tuning without pruning changes none"
    ]


def test_a_clause_claims_nothing_where_p_does_not_allow_it():
    rng = np.random.default_rng(1)
    dense, sparse = (np.where(rng.random((8, 90)) < 0.4, 1, 0) for _ in range(2))
    summary = summarise(dense=dense, sparse=sparse)
    found = summary.comparisons[0]
    assert found["p"] > 0.05
    assert summary.clauses[0].startswith(
        f"{found['count']} of 90 test examples changed their modal label, no more than seed noise alone can give ("
    )


def test_a_clause_says_so_where_the_votes_moved_though_the_count_is_no_larger():
    dense, sparse = np.zeros((9, 30), int), np.zeros((9, 30), int)
    sparse[:, :5] = 1  # every member changes its mind about five examples
    assert summarise(dense=dense, sparse=sparse).clauses == [
        "5 of 30 test examples changed their modal label, a number that seed noise alone can give (5 expected, p = 1), "
        "but vote shares moved further than seed noise moves them (p = 0.0039)"
    ]


def test_a_clause_says_that_so_few_members_cannot_tell():
    dense, sparse = split_votes(5, 40, 0)
    assert (
        summarise(dense=dense, sparse=sparse)
        .clauses[0]
        .endswith("(5 + 5 members cannot tell: the smallest p that they can reach is 0.12)")
    )


@pytest.mark.parametrize(
    ("changed", "start"),
    [(0, "none of 4 test examples changed its modal label"), (1, "1 of 4 test examples changed its modal label")],
)
def test_a_clause_counts_in_words_that_fit(changed, start):
    sparse = np.zeros((1, 4), int)
    sparse[0, :changed] = 1
    assert summarise(dense=np.zeros((1, 4), int), sparse=sparse).clauses[0].startswith(start)


def test_one_member_each_is_well_defined():
    found = summarise(dense=DENSE[:1], sparse=SPARSE[:1]).comparisons[0]
    assert (found["p"], found["smallest_p"], found["interval"]) == (1.0, 1.0, None)
    json.dumps(found, allow_nan=False)


def test_populations_without_members_are_refused():
    with pytest.raises(ValueError, match="at least one member"):
        summarise(dense=DENSE[:0], sparse=SPARSE)


def test_one_member_each_has_no_chance_level():
    one, other = np.array([[0, 1, 2, 0]]), np.array([[0, 1, 1, 1]])
    summary = summarise(dense=one, sparse=other)
    assert summary.comparisons[0]["count"] == 2
    assert summary.comparisons[0]["expected"] is None
    assert summary.headline.comparisons[0].chance is None
    untold = "PIEs need populations, and how many labels another seed alone would change cannot be told"
    assert summary.clauses[0].endswith(f"label; that is one network beside another: {untold}")
