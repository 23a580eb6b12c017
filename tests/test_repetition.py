"""Populations that repeat along an axis, and the published numbers beside them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from prunekit.blocks import Source
from prunekit.errors import InputError
from prunekit.outline import describe
from prunekit.recipe import load
from prunekit.schema import recipe_schema
from prunekit.stages import as_recipe
from prunekit.study import resolve

RECIPE = """
name: grid
data: digits
model: wrn10_1
seeds: 1
populations:
  dense:
    stages: {train: {objective: cross_entropy, epochs: 4, optimizer: {name: sgd, lr: 0.2}}}
  "gmp_{s}":
    title: Sup/GMP
    for: {s: [0.5, 0.9]}
    from: dense
    stages: {prune: {schedule: {name: one_shot, sparsity: "{s}"}}}
comparisons: [{reference: dense, pruned: "gmp_{s}", for: {s: [0.5, 0.9]}}]
measures: [accuracy, pie]
published:
  source: A paper, Table 1
  populations:
    gmp_0.5: {pie: 188, accuracy: [90.5, 0.39]}
"""


def loaded(folder: Path, *changes: tuple[str, str]) -> Source:
    text = RECIPE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "grid.yaml"
    path.write_text(text)
    return load(path)


def test_repetitions_know_their_values_and_share_a_title(tmp_path: Path) -> None:
    found = loaded(tmp_path).repetitions
    assert {name: (place.group, dict(place.values)) for name, place in found.items()} == {
        "gmp_0.5": ("Sup/GMP", {"s": 0.5}),
        "gmp_0.9": ("Sup/GMP", {"s": 0.9}),
    }


@pytest.mark.parametrize(
    ("template", "group"),
    [("gmp_{s}", "gmp"), ("{s}-gmp", "gmp"), ("gmp_{s}_late", "gmp_late"), ("gmp{s}", "gmp"), ("{s}", "s")],
)
def test_without_a_title_it_is_the_name_without_the_value(tmp_path: Path, template: str, group: str) -> None:
    text = RECIPE[: RECIPE.index("comparisons:")].replace("    title: Sup/GMP\n", "").replace("gmp_{s}", template)
    (tmp_path / "r.yaml").write_text(text)
    assert {place.group for place in load(tmp_path / "r.yaml").repetitions.values()} == {group}


@pytest.mark.parametrize(
    ("title", "groups"),
    [
        ("GMP by {c}", ["GMP by magnitude", "GMP by random"]),
        ("GMP", ["GMP, magnitude", "GMP, random"]),
        ("", ["gmp_magnitude", "gmp_random"]),
    ],
)
def test_of_two_axes_the_last_is_the_axis_and_the_other_stands_in_the_group(
    tmp_path: Path, title: str, groups: list[str]
) -> None:
    source = loaded(
        tmp_path,
        ("gmp_{s}", "gmp_{c}_{s}"),
        ("    title: Sup/GMP\n", f"    title: {title!r}\n"),
        ("for: {s: [0.5, 0.9]}", "for: {c: [magnitude, random], s: [0.5, 0.9]}"),
        ("gmp_0.5:", "gmp_random_0.5:"),
    )
    places = source.repetitions.values()
    assert list(dict.fromkeys(place.group for place in places)) == groups
    assert dict(source.repetitions["gmp_random_0.9"].values) == {"c": "random", "s": 0.9}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("title: Sup/GMP", "title: 'GMP {s}'"), r"grid.yaml:10: .*share their title: leave out \{s\}"),
        (("title: Sup/GMP", "title: 3"), r"grid.yaml:10: populations.gmp_.*title: expected a valid string"),
        (("gmp_0.5: {", "gpm_0.5: {"), r"grid.yaml:19: .*no population 'gpm_0.5' \(did you mean 'gmp_0.5'\?\)"),
        (("{pie: 188", "{pies: 188"), r"grid.yaml:19: .*there is no measure 'pies' \(did you mean 'pie'\?\)"),
        (("188", "many"), r"grid.yaml:19: .*gmp_0.5.pie: expected a number, or \[number, standard deviation\]"),
        (("188", "true"), "expected a number, or"),
        (
            ("pie: 188", "q_score: {z: 4.5, qq: 1}"),
            r"grid.yaml:19: .*q_score.qq: q_score has no figure 'qq' \(.*'q'\?\)",
        ),
        (("pie: 188", "q_score: {q: many}"), r"grid.yaml:19: .*q_score: expected a number, or .*, not 'many'"),
        (("pie: 188", "pie: {count: 188}"), r"grid.yaml:19: .*pie.count: pie has no figure 'count': expected a number"),
        (("188", ".nan"), "expected a number, or"),
        (("188", "[]"), "expected a number, or"),
        (("188", "[1, 2, 3]"), "expected a number, or"),
        (("source: A paper, Table 1", "sauce: A paper"), r"published.sauce: unknown key \(did you mean 'source'\?\)"),
        (("  source: A paper, Table 1\n", ""), "published.source: the key is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        loaded(tmp_path, change)


def test_two_populations_in_one_place_of_a_title_are_refused(tmp_path: Path) -> None:
    again = '  "late_{s}": {title: Sup/GMP, for: {s: [0.9]}, from: dense, stages: {prune: {schedule: one_shot}}}'
    with pytest.raises(InputError, match=r"'gmp_0.9' and 'late_0.9' would both stand at s 0.9 of 'Sup/GMP'"):
        loaded(tmp_path, ("comparisons:", f"{again}\ncomparisons:"))
    elsewhere = again.replace("0.9", "0.99").replace("one_shot", "{name: one_shot, sparsity: 0.99}")
    assert loaded(tmp_path, ("comparisons:", f"{elsewhere}\ncomparisons:")).repetitions["late_0.99"].group == "Sup/GMP"


def test_published_numbers_of_repetitions_that_a_study_leaves_out_may_stay(tmp_path: Path) -> None:
    published = loaded(tmp_path, ("[0.5, 0.9]", "[0.9]")).recipe.published
    assert published is not None
    assert published.populations == {"gmp_0.5": {"pie": 188, "accuracy": [90.5, 0.39]}}


def test_numbers_of_an_installed_measure_that_is_not_taken_may_stay(tmp_path: Path) -> None:
    assert loaded(tmp_path, ("measures: [accuracy, pie]", "measures: [accuracy]")).recipe.published is not None


def test_numbers_of_the_tables_of_a_measure_are_named_by_their_keys(tmp_path: Path) -> None:
    source = loaded(tmp_path, ("{pie: 188", "{pie: 188, q_score: {q: 0.56, l1: [8.14, 0.1]}"))
    numbers = {"pie": 188, "q_score": {"q": 0.56, "l1": [8.14, 0.1]}, "accuracy": [90.5, 0.39]}
    assert describe(resolve(source))["published"]["populations"] == {"gmp_0.5": numbers}
    schema = jsonschema.Draft202012Validator(recipe_schema())
    assert not list(schema.iter_errors(json.loads(json.dumps(as_recipe(source.recipe)))))


def test_titles_and_published_numbers_make_no_other_study_and_no_other_key(tmp_path: Path) -> None:
    one = resolve(loaded(tmp_path))
    other = resolve(loaded(tmp_path, ("title: Sup/GMP", "title: Other"), ("188", "189")))
    assert one.identity == other.identity
    assert [member.keys for member in one.members()] == [member.keys for member in other.members()]
    assert one.identity != resolve(loaded(tmp_path, ("0.9", "0.8"))).identity


def test_the_plan_tells_a_report(tmp_path: Path) -> None:
    plan = describe(resolve(loaded(tmp_path)))
    assert plan["published"] == {
        "source": "A paper, Table 1",
        "populations": {"gmp_0.5": {"pie": 188, "accuracy": [90.5, 0.39]}},
    }
    assert plan["populations"]["gmp_0.9"]["repetition"] == {"group": "Sup/GMP", "values": {"s": 0.9}}
    assert plan["populations"]["dense"]["repetition"] is None


def test_a_recipe_with_published_numbers_survives_the_round_trip(tmp_path: Path) -> None:
    recipe = loaded(tmp_path).recipe
    (tmp_path / "again.yaml").write_text(json.dumps(as_recipe(recipe)))
    assert load(tmp_path / "again.yaml").recipe == recipe


def test_a_comparison_with_a_template_stands_for_all_that_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(
        """\
name: all
data: digits
model: wrn10_1
seeds: 1
populations:
  dense: {stages: {train: {objective: cross_entropy, epochs: 1}}}
  "{criterion}-{s}":
    for: {criterion: [magnitude, random], s: [0.5, 0.9]}
    from: dense
    stages: {prune: {schedule: {name: one_shot, sparsity: "{s}"}, criterion: "{criterion}"}}
comparisons:
  - {reference: dense, pruned: "{criterion}-{s}"}
  - {reference: "magnitude-{s}", pruned: "random-{s}", for: {s: [0.9]}}
"""
    )
    pairs = [(each.reference, each.pruned) for each in load(path).recipe.comparisons]
    names = ["magnitude-0.5", "magnitude-0.9", "random-0.5", "random-0.9"]
    assert pairs == [*(("dense", name) for name in names), ("magnitude-0.9", "random-0.9")]
    path.write_text(path.read_text().replace('pruned: "{criterion}-{s}"', 'pruned: "{criterion}_{s}"'))
    with pytest.raises(
        InputError, match=r"all.yaml:12: comparisons.0.pruned: there is no population '{criterion}_{s}'"
    ):
        load(path)


def test_a_key_in_a_name_that_for_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"populations\.gmp_\{t\}: `for` has no 't' \(known: s\)"):
        loaded(tmp_path, ('"gmp_{s}":', '"gmp_{t}":'))
