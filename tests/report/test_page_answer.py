"""What was asked, the answer in three sentences, and what the numbers cannot say."""

from __future__ import annotations

import re

import numpy as np
from helpers_page import page_of

from prunekit.comparison import Comparison
from prunekit.figures import PlanePanel, Planes
from prunekit.observed import Place
from prunekit.protocols import Measure
from prunekit.report.arrays import About, ArrayPopulation
from prunekit.report.build import build_report
from prunekit.report.page.answer import answer_of_all, answers
from prunekit.report.page.asked import population_table
from prunekit.report.page.limits import limits
from prunekit.tables import Headline, Number, Summary


def test_populations_that_a_recipe_repeats_in_the_same_way_share_a_row(make):
    study = make()
    for name, sparsity in (("s-0.5", 0.5), ("s-0.9", 0.9)):
        study.columns.populations[name] = ArrayPopulation(name, (0, 1), sparsity, {}, Place("s", sparsity, "GMP"))
    stage = {"objective": {"name": "supcon"}, "epochs": 3, "prune": {"schedule": {"name": "gmp", "sparsity": 0.5}}}
    block = {"from": "dense", "stages": {"train": stage, "cut": {"schedule": "one_shot"}}}
    study.about = About(recipe={"populations": {"s-0.5": block, "s-0.9": block}})
    assert population_table(study).rows == [
        ("dense", "–", "–", "8", "0 %"),
        ("sparse", "–", "–", "8", "90 %"),
        ("control", "–", "–", "8", "0 %"),
        (
            "GMP: s-0.5 to s-0.9",
            "dense",
            "train: supcon, 3 epochs, pruned by magnitude, gmp; cut: pruned by magnitude, one_shot",
            "2",
            "50 % to 90 %",
        ),
    ]


class Told(Measure):
    """Says what a test gives it."""

    name = "told"
    numbers: list[Number] = []
    whom: list[str] = []
    certainty: list[str] = []

    def summarise(self, study, comparisons):
        headline = Headline("PIE", ",d", comparisons=self.numbers) if self.numbers else None
        clauses = [f"clause {i}" for i in range(len(comparisons))]
        return Summary(headline=headline, clauses=clauses, whom=self.whom, certainty=self.certainty)


class Kept(Measure):
    """Has a headline number of every population."""

    name = "kept"
    numbers: dict[str, Number] = {}

    def summarise(self, study, comparisons):
        return Summary(headline=Headline("accuracy, %", ".1f", populations=self.numbers))


def answered(pictured, measures):
    pictured.measures = measures
    report = build_report(pictured, pictured.comparisons)
    populations = pictured.columns.populations
    return answers(report, pictured.comparisons, populations), answer_of_all(report, pictured.comparisons, populations)


def test_the_answer_is_the_three_sentences_of_the_report(make):
    whom, certainty = ["class 3 lost most", ""], ["p = 0.01", ""]
    (first, second), _ = answered(make(members=3), [Told(whom=whom, certainty=certainty)])
    assert (first.cost, first.whom) == ("90 % of the weights pruned: clause 0.", "Class 3 lost most.")
    assert first.certainty == "3 + 3 members, and no test of what they show. P = 0.01."
    assert second.whom == "No measure of this study says whom it cost."
    assert second.certainty == "3 + 3 members, and no test of what they show."


def test_headline_numbers_stand_beside_with_what_it_takes_to_judge_them(make):
    numbers = [Number(7, p=0.02, smallest_p=0.01, interval=(3.0, 9.0), chance=2.25), Number(0, p=1.0)]
    kept = {"dense": Number(97.66, 0.5), "sparse": Number(91.0, 1.25), "control": Number(97.0)}
    (first, second), _ = answered(make(members=3), [Kept(numbers=kept), Told(numbers=numbers)])
    accuracy, pie = first.numbers
    assert (accuracy.value, accuracy.note, accuracy.marked) == ("97.7 → 91.0", "± 0.5 → ± 1.2", False)
    assert (pie.value, pie.marked) == ("7*", True)
    assert pie.note == "95 % from 3.0 to 9.0 · 2.2 by chance · p = 0.02, 0.01 at best"
    assert first.certainty == "3 + 3 members: p of PIE is 0.02, and the smallest that so few can reach is 0.01."
    assert second.certainty == "3 + 3 members: p of PIE is 1."
    assert [(each.value, each.marked) for each in second.numbers] == [("97.0 → 91.0", False), ("0", False)]


def test_a_number_that_the_reference_lacks_stands_alone(make):
    kept = {"sparse": Number(0.25, 0.05)}
    (first, second), _ = answered(make(members=3), [Kept(numbers=kept)])
    assert [(each.value, each.note) for each in first.numbers] == [("0.2", "± 0.1")]
    assert first.numbers == second.numbers


def test_of_many_comparisons_the_ranges_the_marks_and_the_worst_are_said(make):
    numbers = [Number(7, p=0.02, smallest_p=0.01), Number(3, p=0.3, smallest_p=0.01)]
    kept = {"dense": Number(97.0, 0.5), "sparse": Number(91.0, 1.25), "control": Number(98.0)}
    _, everything = answered(
        make(members=3), [Kept(numbers=kept), Told(numbers=numbers, whom=["it fell on 3", "it fell on 8"])]
    )
    assert everything.about == "All 2 comparisons"
    assert everything.cost == (
        "90 % of the weights pruned: accuracy, %: 91.0 ± 1.2 in all, against 97.0 ± 0.5 (dense) and 98.0 (control); "
        "PIE: from 3 (control → sparse) to 7 (dense → sparse)."
    )
    assert everything.whom == "PIE is largest in dense → sparse: it fell on 3."
    assert everything.certainty == (
        "3 members per population; PIE is told from seed noise in 1 of 2 comparisons (p ≤ 0.05, each on "
        "its own: chance alone gives up to 0.1 of them); the smallest p that they can reach is 0.01."
    )


def test_members_too_few_to_tell_are_said_to_be(make):
    numbers = [Number(7, p=0.5, smallest_p=0.5), Number(3, p=1.0, smallest_p=0.5)]
    (first, _), everything = answered(make(members=2), [Told(numbers=numbers)])
    assert first.certainty == (
        "2 + 2 members are too few to tell PIE from seed noise: the smallest p that they can reach is 0.5."
    )
    assert everything.certainty == (
        "2 members per population; for a test of PIE that is too few: the smallest p that they can reach is 0.5, "
        "whatever they show."
    )


def test_a_study_without_comparisons_says_so(pictured):
    page = page_of(pictured, [])
    assert "Nothing is compared" in page
    assert 'id="comparison"' not in page


def test_of_many_comparisons_the_one_that_changed_most_is_shown_first(make):
    study = make()
    sparse = study.columns.populations["sparse"]
    for i in range(4):
        copy = dict(sparse.columns) | {"prediction": study.columns.populations["dense"]["prediction"]}
        study.columns.populations[f"same-{i}"] = ArrayPopulation(f"same-{i}", sparse.seeds, 0.5, copy)
    names = ["same-0", "same-1", "sparse", "same-2", "same-3"]
    study.comparisons = [Comparison("dense", name, None, True) for name in names]
    page = page_of(study)
    assert re.findall(r'<option value="(\d)" selected>', page) == ["2"]
    assert "All 5 comparisons" in page


def said(pictured, measures=None):
    pictured.measures = pictured.measures if measures is None else measures
    return " ".join(limits(pictured, build_report(pictured, pictured.comparisons), pictured.comparisons))


class Mapped(Measure):
    """Has a map of the representation."""

    name = "mapped"

    def summarise(self, study, comparisons):
        panel = PlanePanel("dense", np.arange(3.0), np.arange(3.0))
        plane = Planes(name="map", title="Map", caption="A map.", labels=np.arange(3), classes=("a",), panels=(panel,))
        return Summary(figures=[plane])


def test_limits_are_those_that_apply(make):
    text = said(make())
    assert "8 members per population" in text
    assert "The smallest p of PIE that so few can reach is 0.016" in text
    assert "200 test images of made-up" in text
    assert "the true label plays no part" in text
    assert "Sparsity counts weights" in text
    assert "Maps of the representation" not in text
    assert "tested, each on its own" not in text
    assert "Maps of the representation deceive" in said(make(), [Mapped()])


def test_few_members_cannot_show_anything_and_one_is_no_population(make):
    assert "however large it is, they cannot tell it from seed noise" in said(make(members=3))
    text = said(make(members=1))
    assert text.startswith("One network per population")
    assert "smallest p" not in text


def test_where_nothing_is_pruned_nothing_is_said_of_sparsity(make):
    study = make()
    study.comparisons = [Comparison("dense", "control", None, True)]
    assert "Sparsity" not in said(study)


def test_many_tests_give_marks_by_chance(make):
    study = make(members=2)
    study.comparisons = study.comparisons * 20
    text = said(study, [Told(numbers=[Number(1, p=0.5)] * 40)])
    assert "40 headline numbers are tested, each on its own" in text
    assert "2 of them would be marked" in text
