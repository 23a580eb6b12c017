"""Populations that are like others."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.blocks import Source
from prunekit.errors import InputError
from prunekit.recipe import load
from prunekit.study import resolve

RECIPE = """
name: like
data: digits
model: wrn16_2
seeds: 1
populations:
  dense:
    stages:
      train: {objective: cross_entropy, epochs: 4, optimizer: {name: sgd, lr: 0.2}}
  "gmp_{s}":
    for: {s: [0.5, 0.9]}
    extends: dense
    stages: {train: {prune: {schedule: {name: gmp, sparsity: "{s}"}}}}
  late_0.9:
    extends: "gmp_{s}"
    for: {s: [0.9]}
    stages: {train: {prune: {schedule: {begin: 1ep}}}}
profiles:
  longer: {populations: {dense: {stages: {train: {epochs: 6}}}}}
"""


def written(tmp_path: Path, text: str = RECIPE) -> Path:
    path = tmp_path / "like.yaml"
    path.write_text(text)
    return path


def test_a_population_that_extends_another_has_its_stages_with_the_changes(tmp_path: Path) -> None:
    populations = load(written(tmp_path)).recipe.populations
    assert list(populations) == ["dense", "gmp_0.5", "gmp_0.9", "late_0.9"]
    dense, sparse = populations["dense"].stages["train"], populations["gmp_0.9"].stages["train"]
    assert sparse.model_copy(update={"prune": None}) == dense
    assert sparse.prune.schedule.sparsity == 0.9
    late = populations["late_0.9"].stages["train"].prune.schedule
    assert (late.sparsity, str(late.begin)) == (0.9, "1ep")


def test_what_a_profile_or_set_changes_in_the_one_changes_in_the_other(tmp_path: Path) -> None:
    study = resolve(load(written(tmp_path), profile="longer"))
    assert {p.stages[0].options.epochs for p in study.populations.values()} == {6}
    study = resolve(load(written(tmp_path), assignments=["populations.dense.stages.train.epochs=5"]))
    assert {p.stages[0].options.epochs for p in study.populations.values()} == {5}


def test_set_reaches_a_stage_that_is_only_inherited(tmp_path: Path) -> None:
    text = RECIPE.replace("profiles:", "  same: {extends: dense, from: null}\nprofiles:")
    source = load(written(tmp_path, text), assignments=["populations.same.stages.train.optimizer.lr=0.3"])
    assert source.recipe.populations["same"].stages["train"].optimizer.lr == 0.3
    assert source.recipe.populations["dense"].stages["train"].optimizer.lr == 0.2
    with pytest.raises(InputError, match=r"has no populations.same.stages.tran \(did you mean 'train'"):
        load(written(tmp_path, text), assignments=["populations.same.stages.tran.epochs=3"])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("extends: dense", "extends: dens", r"like.yaml:12: .*extends: there is no population 'dens'.*'dense'"),
        ("extends: dense", "extends: [dense]", r"like.yaml:12: .*extends: there is no population"),
        ("extends: dense", "extends: late_0.9", r"extend each other: gmp_\{s\} extends late_0.9 extends gmp_\{s\}"),
        ("extends: dense", 'extends: "gmp_{s}"', r"extend each other: gmp_\{s\} extends gmp_\{s\}"),
    ],
)
def test_a_wrong_name_and_a_circle_are_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(written(tmp_path, RECIPE.replace(before, after, 1)))


def test_a_population_that_extends_another_shares_its_results_where_nothing_differs(tmp_path: Path) -> None:
    text = RECIPE.replace("profiles:", "  same: {extends: dense}\nprofiles:")
    populations = resolve(load(written(tmp_path, text))).populations
    assert populations["same"].members[0].keys == populations["dense"].members[0].keys


PRUNED = RECIPE.replace(
    "profiles:",
    """  pruned: {extends: dense, stages: {train: {prune: {schedule: {name: gmp, sparsity: 0.5}}}}}
  control: {extends: pruned, stages: {train: {prune: null}}}
  other: {extends: pruned, stages: {train: {epochs: 3}}}
profiles:
  again: {populations: {control: {stages: {train: {prune: null}}}, other: {stages: {train: {prune: null}}}}}""",
)


def prunes(source: Source, population: str) -> bool:
    return source.recipe.populations[population].stages["train"].prune is not None


def test_null_takes_away_what_the_other_population_has_however_often_it_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, PRUNED)
    plain, again = load(path), load(path, profile="again")
    assert [prunes(plain, name) for name in ("pruned", "control", "other")] == [True, False, True]
    assert [prunes(again, name) for name in ("pruned", "control", "other")] == [True, False, False]
    for name in ("control", "other"):
        assert not prunes(load(path, assignments=[f"populations.{name}.stages.train.prune=null"]), name)


def test_a_population_cannot_extend_one_that_was_taken_away(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"control\.extends: there is no population 'pruned'"):
        load(written(tmp_path, PRUNED), assignments=["populations.other=null", "populations.pruned=null"])


def test_two_populations_of_one_name_are_refused_with_what_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two populations would be called 'gmp_0.5': a value of `for` stands twice"):
        load(written(tmp_path, RECIPE.replace("[0.5, 0.9]", "[0.5, 0.50]")))
    with pytest.raises(InputError, match=r"two populations would be called 'gmp': put \{s\} in the name"):
        load(written(tmp_path, RECIPE.replace('"gmp_{s}"', "gmp")))


def test_published_numbers_may_be_of_values_that_are_left_out_but_not_of_names_that_no_value_makes(
    tmp_path: Path,
) -> None:
    published = "measures: [pie]\npublished: {source: A paper, populations: {NAME: {pie: 3}}}\n"
    load(written(tmp_path, RECIPE + published.replace("NAME", "gmp_0.7")))
    with pytest.raises(InputError, match=r"there is no population 'gmp_O\.7'"):
        load(written(tmp_path, RECIPE + published.replace("NAME", "gmp_O.7")))
