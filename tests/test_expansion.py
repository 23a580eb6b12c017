"""Populations that are like others."""

from __future__ import annotations

from pathlib import Path

import pytest

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
