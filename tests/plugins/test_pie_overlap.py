"""The measure ``pie_overlap``: which pairs, what is shared, what is drawn and what is left unsaid."""

from __future__ import annotations

import json

import numpy as np
import pytest

from prunekit.comparison import Comparison
from prunekit.observed import Place
from prunekit.plugins.measures._overlap import overlap, vote_strata
from prunekit.plugins.measures.pie_overlap import PieOverlap
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.report.cells import full_name

CLASSES = ("cat", "dog", "owl")
EXAMPLES = 12
LABELS = np.arange(EXAMPLES) % 3


def unanimous(*changed, members=3):
    """Members that all say 1 of some examples, and 0 of the rest."""
    votes = np.zeros((members, EXAMPLES), dtype=int)
    votes[:, list(changed)] = 1
    return votes


def population(name, votes, sparsity=0.9, place=None):
    return ArrayPopulation(name, tuple(range(len(votes))), sparsity, {"prediction": votes}, place=place)


def placed(name, votes, group, sparsity):
    return population(name, votes, sparsity, Place("sparsity", sparsity, group))


def summarise(pairs, *populations, **options):
    """Compare populations by name, ``(reference, pruned)``; the references ``sup`` and ``scl`` say 0 of everything."""
    references = [population(name, unanimous(), 0.0) for name in ("sup", "scl")]
    study = ArrayStudy(
        CLASSES,
        tuple(map(str, range(EXAMPLES))),
        LABELS,
        {each.name: each for each in (*references, *populations)},
    )
    comparisons = [Comparison(reference, pruned, None, True) for reference, pruned in pairs]
    return PieOverlap(**options).summarise(study, comparisons)


def two(one=(0, 1, 3), other=(0, 3, 5, 8), **options):
    pairs = [("sup", "sup_gmp"), ("scl", "scl_gmp")]
    return summarise(pairs, population("sup_gmp", unanimous(*one)), population("scl_gmp", unanimous(*other)), **options)


def row(summary, number=0):
    (table,) = summary.tables
    return dict(zip(map(full_name, table.columns), table.rows[number], strict=True))


# ------------------------------------------------------------------------------------------------------ two of them


def test_either_comparison_says_what_it_shares_with_the_other():
    (mine,), (theirs,) = two().comparisons
    assert (mine["reference"], mine["pruned"]) == ("scl", "scl_gmp")
    assert (mine["shared"], mine["unique"], mine["unique_to_other"], mine["jaccard"]) == (2, 1, 2, 2 / 5)
    assert (theirs["reference"], theirs["pruned"]) == ("sup", "sup_gmp")
    assert (theirs["shared"], theirs["unique"], theirs["unique_to_other"], theirs["jaccard"]) == (2, 2, 1, 2 / 5)


def test_what_is_shared_is_told_by_class():
    # cat: examples 0, 3, 6, 9 · dog: 1, 4, 7, 10 · owl: 2, 5, 8, 11
    per_class = two().comparisons[0][0]["per_class"]
    counts = {name: [each[key] for key in ("shared", "unique", "unique_to_other")] for name, each in per_class.items()}
    assert counts == {"cat": [2, 0, 0], "dog": [0, 1, 0], "owl": [0, 0, 2]}
    assert sum(each["expected"] for each in per_class.values()) == pytest.approx(3 * 4 / 12)


def test_chance_is_that_within_strata_of_the_votes_of_both_references_and_without():
    rng = np.random.default_rng(4)
    sup, scl, one, other = (np.where(rng.random((5, EXAMPLES)) < 0.4, 1, 0) for _ in range(4))
    names = ("sup", "scl", "one", "other")
    populations = {name: population(name, votes) for name, votes in zip(names, (sup, scl, one, other), strict=True)}
    study = ArrayStudy(CLASSES, tuple(map(str, range(EXAMPLES))), LABELS, populations)
    summary = PieOverlap().summarise(
        study, [Comparison("sup", "one", None, True), Comparison("scl", "other", None, True)]
    )
    pies = [np.median(a, axis=0) != np.median(b, axis=0) for a, b in ((sup, one), (scl, other))]
    within, plain = overlap(*pies, vote_strata(sup, scl)), overlap(*pies, np.zeros(EXAMPLES, dtype=int))
    found = summary.comparisons[0][0]
    assert (found["expected"], found["p"], found["smallest_p"]) == (within.expected, within.p, within.smallest_p)
    assert found["plain"] == {"expected": plain.expected, "p": plain.p}
    assert found["ratio"] == within.shared / within.expected
    shown = row(summary)
    among = "Among equally disputed: "
    assert (shown[among + "By chance"], shown[among + "Ratio"]) == (within.expected, found["ratio"])
    assert (shown[among + "p"], shown[among + "Smallest p"]) == (within.p, within.smallest_p)
    assert (shown["Among all: By chance"], shown["Among all: p"]) == (plain.expected, plain.p)


def test_the_table_has_a_row_per_pair():
    shown = row(two())
    assert shown["Comparisons"] == "sup_gmp and scl_gmp"
    assert [shown[f"PIEs: {name}"] for name in ("First", "Second", "Shared", "Jaccard")] == [3, 4, 2, 0.4]


def test_a_population_that_is_compared_twice_is_named_with_its_reference():
    shown = row(summarise([("sup", "sparse"), ("scl", "sparse")], population("sparse", unanimous(1))))
    assert shown["Comparisons"] == "sup → sparse and scl → sparse"


def test_comparisons_with_a_population_in_common_have_no_p():
    populations = population("gmp", unanimous(0, 1)), population("oneshot", unanimous(1, 2))
    found = summarise([("sup", "gmp"), ("sup", "oneshot")], *populations).comparisons[0][0]
    assert found["common"] == ["sup"]
    assert (found["expected"], found["ratio"]) == (pytest.approx(1 / 3), pytest.approx(3))
    assert (found["p"], found["smallest_p"], found["plain"]["p"]) == (None, None, None)


@pytest.mark.parametrize(("members", "tested"), [(2, False), (3, True)])
def test_references_of_few_members_give_neither_ratio_nor_p(members, tested):
    study = ArrayStudy(
        CLASSES,
        tuple(map(str, range(EXAMPLES))),
        LABELS,
        {name: population(name, unanimous(*pies, members=members)) for name, pies in
         {"sup": (), "scl": (), "one": (0, 1), "other": (1,)}.items()},
    )  # fmt: skip
    summary = PieOverlap().summarise(
        study, [Comparison("sup", "one", None, True), Comparison("scl", "other", None, True)]
    )
    assert (row(summary)["Among equally disputed: Ratio"] is not None) is tested
    assert (row(summary)["Among equally disputed: p"] is not None) is tested
    assert "neither ratio nor p where a reference has fewer than 3 members" in summary.tables[0].note


def test_the_readings_name_ties_and_strata():
    first, second = two(ties="largest").readings
    assert first == "modal label: ties go to the largest class index"
    assert "strata crossed" in second


def test_ties_are_decided_as_told():
    tied = np.where(np.arange(EXAMPLES) < 6, [[0], [1]], 0)  # of six examples one member says 1
    smallest, largest = (
        summarise([("sup", "a"), ("scl", "b")], population("a", tied), population("b", tied), ties=ties)
        for ties in ("smallest", "largest")
    )
    assert (row(smallest)["PIEs: Shared"], row(largest)["PIEs: Shared"]) == (0, 6)


def test_without_pies_there_is_nothing_to_share_and_nothing_drawn():
    summary = two(one=(), other=())
    (found,) = summary.comparisons[0]
    assert (found["shared"], found["jaccard"], found["expected"], found["ratio"], found["p"]) == (0, None, 0, None, 1)
    assert summary.figures == []
    json.dumps(summary.comparisons, allow_nan=False)


@pytest.mark.parametrize("pairs", [[], [("sup", "sparse")]], ids=["none", "one"])
def test_one_comparison_has_nothing_to_overlap_with(pairs):
    summary = summarise(pairs, population("sparse", unanimous(1)))
    assert summary.comparisons == [[] for _ in pairs]
    assert (summary.tables[0].rows, summary.tables[0].note) == ([], "An overlap takes two comparisons.")
    assert (summary.figures, summary.readings) == ([], [])


# ------------------------------------------------------------------------------------------------------ many of them


def grid(groups=("Sup/GMP", "SCL/GMP"), sparsities=(0.9, 0.5, 0.99), shift=0.0):
    """A population per group and sparsity, compared with the reference its group is named after."""
    populations, pairs = [], []
    for number, group in enumerate(groups):
        for sparsity in sparsities:
            name = f"{group}_{sparsity}"
            each = placed(name, unanimous(number, 5), group, sparsity)
            each.sparsity += number * shift
            populations.append(each)
            pairs.append((group.split("/")[0].lower(), name))
    return pairs, populations


def meetings(summary):
    return [tuple(each[0].split(" and ")) for each in summary.tables[0].rows]


def test_of_many_comparisons_those_that_are_equally_sparse_are_paired_the_sparsest_last():
    pairs, populations = grid(shift=0.004)
    summary = summarise(pairs, *populations)
    assert meetings(summary) == [(f"Sup/GMP_{s}", f"SCL/GMP_{s}") for s in (0.5, 0.9, 0.99)]
    assert [len(each) for each in summary.comparisons] == [1] * 6
    assert summary.tables[0].note.startswith("Only comparisons that are equally sparse")


def test_of_few_comparisons_all_are_paired():
    pairs, populations = grid(sparsities=(0.5, 0.9))
    assert len(meetings(summarise(pairs, *populations))) == 6


def test_many_comparisons_none_of_which_are_equally_sparse_say_so():
    names = [f"sparse{k}" for k in range(5)]
    populations = [population(name, unanimous(k), sparsity=k / 10) for k, name in enumerate(names)]
    summary = summarise([("sup", name) for name in names], *populations)
    assert (summary.tables[0].rows, summary.figures) == ([], [])
    assert summary.tables[0].note == "No two of the 5 comparisons are equally sparse."


def test_along_another_axis_those_at_the_same_value_meet():
    pairs, populations = [], []
    for group in ("magnitude", "random"):
        for rounds in (1, 14, 140):
            name = f"{group}_{rounds}"
            populations.append(population(name, unanimous(2), 0.9, Place("rounds", rounds, group)))
            pairs.append(("sup", name))
    found = meetings(summarise(pairs, *populations))
    assert found == [(f"magnitude_{rounds}", f"random_{rounds}") for rounds in (1, 14, 140)]


# ---------------------------------------------------------------------------------------------------------- figures


def test_two_stacks_stand_side_by_side_shared_below_in_the_strong_colour():
    (figure,) = two().figures
    assert figure.categories == CLASSES
    (panel,) = figure.panels
    drawn = [(bar.name, bar.stack, bar.light, bar.values.tolist()) for bar in panel.bars]
    assert drawn == [
        ("sup_gmp, shared", "sup_gmp", False, [2, 0, 0]),
        ("sup_gmp, unique", "sup_gmp", True, [0, 1, 0]),
        ("scl_gmp, shared", "scl_gmp", False, [2, 0, 0]),
        ("scl_gmp, unique", "scl_gmp", True, [0, 0, 2]),
    ]


def test_the_caption_stands_in_for_the_picture():
    (figure,) = two().figures
    assert figure.caption.endswith("by chance among equally disputed examples: 90 % pruned 2 (1.0).")


def test_groups_that_meet_at_several_sparsities_have_a_panel_for_each():
    pairs, populations = grid()
    (figure,) = summarise(pairs, *populations).figures
    assert figure.title == "PIEs by class: Sup/GMP and SCL/GMP"
    assert [panel.title for panel in figure.panels] == ["50 % pruned", "90 % pruned", "99 % pruned"]


def test_two_sparsities_of_one_group_are_told_apart_by_name():
    pairs, populations = grid(groups=("Sup/GMP",), sparsities=(0.5, 0.9))
    (figure,) = summarise(pairs, *populations).figures
    assert {bar.stack for bar in figure.panels[0].bars} == {"Sup/GMP_0.5", "Sup/GMP_0.9"}
    assert figure.panels[0].title == "50 % and 90 % pruned"


GROUPS = ("Sup/GMP", "Sup/One-Shot", "SCL/GMP", "SCL/One-Shot")


def test_groups_of_different_references_are_drawn_first():
    pairs, populations = grid(groups=GROUPS, sparsities=(0.5, 0.9))
    figures = summarise(pairs, *populations).figures
    assert [figure.title.removeprefix("PIEs by class: ") for figure in figures] == [
        "Sup/GMP and SCL/GMP",
        "Sup/GMP and SCL/One-Shot",
        "Sup/One-Shot and SCL/GMP",
        "Sup/One-Shot and SCL/One-Shot",
        "Sup/GMP and Sup/One-Shot",
        "SCL/GMP and SCL/One-Shot",
    ]
    assert len({figure.name for figure in figures}) == 6


def test_no_more_figures_are_drawn_than_asked_for_and_the_readings_say_so():
    pairs, populations = grid(groups=GROUPS)
    summary = summarise(pairs, *populations, figures=2)
    assert len(summary.figures) == 2
    assert summary.readings[-1] == "overlap of PIEs: 2 of 6 pairs of groups are drawn"
    assert len(summary.tables[0].rows) == 18
