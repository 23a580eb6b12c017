"""From stored observations to arrays: what is left out, what is said, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunekit.errors import InputError
from prunekit.observed import Place
from prunekit.report.arrays import Published
from prunekit.report.load import load_study
from prunekit.store import Store
from prunekit.tables import Number

HERE = {"device": "cpu", "name": "x86_64", "torch": "2.15", "prunekit": "0.1.0"}
N = 6

RECIPE = {"name": "pets", "data": "pets", "model": "wrn10_1"}


def population(seeds: int, initial: str = "wrn16_2", control: str | None = None, name: str = "") -> dict[str, Any]:
    members = {str(seed): ["first", f"{name}{seed}"] for seed in range(seeds)}
    return {"from": None, "control": control, "initial": initial, "stages": {}, "members": members}


def observe(store: Store, key: str, seed: int, **changes: Any) -> None:
    record = {
        "seed": seed,
        "examples": N,
        "ids": "same",
        "classes": ["cat", "dog"],
        "zeros": {"zeros": 3, "total": 10},
        "made_on": [HERE],
        "emptied": [],
        **changes,
    }
    columns = {
        "example_id": [f"e{i}" for i in range(N)],
        "label": np.arange(N) % 2,
        "prediction": (np.arange(N) + seed) % 2,
        "confidence": np.full(N, 0.5, np.float32),
        "loss": np.full(N, 1.0, np.float32),
    }
    store.save_observation(key, "test", columns, record)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A study of two populations of two, all observed."""
    store = Store.create(tmp_path)
    plan = {
        "study": "pets",
        "identity": "pets-1",
        "description": "",
        "data": {"name": "pets", "split": "test", "examples": N},
        "plugins": [],
        "measures": ["accuracy", "pie"],
        "comparisons": [{"reference": "dense", "pruned": "sparse"}],
        "populations": {
            "dense": population(2, name="d"),
            "sparse": population(2, name="s", control="control"),
            "control": population(2, name="c"),
            "other": population(2, name="o", initial="elsewhere"),
        },
    }
    store.save_study("pets-1", RECIPE, plan)
    for name in "dsco":
        for seed in range(2):
            observe(store, f"{name}{seed}", seed)
    return store


def test_columns_are_members_by_examples(store: Store) -> None:
    study = load_study(store.root)
    dense = study.columns.populations["dense"]
    assert dense["prediction"].tolist() == [[0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0]]
    assert dense.seeds == (0, 1)
    assert dense.sparsity == pytest.approx(0.3)
    assert study.columns.ids == tuple(f"e{i}" for i in range(N))
    assert study.columns.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert [measure.name for measure in study.measures] == ["accuracy", "pie"]
    assert list(study.notes) == []


def test_members_of_one_seed_are_paired_where_they_grow_from_the_same_network(store: Store) -> None:
    study = load_study(store.root)
    assert study.compare("dense", "sparse").paired
    assert not study.compare("dense", "other").paired


def test_the_control_stands_beside_the_pruned_population_but_not_beside_itself(store: Store) -> None:
    study = load_study(store.root)
    assert study.compare("dense", "sparse").control == "control"
    assert study.compare("control", "sparse").control is None
    assert study.compare("dense", "control").control is None


def test_members_that_are_not_finished_are_left_out_and_named(store: Store) -> None:
    store.observation("s1", "test").with_suffix(".json").unlink()
    study = load_study(store.root)
    assert study.columns.populations["dense"].seeds == (0,)
    assert "sparse: 1 of 2 members are finished" in study.notes
    for name in "dco":
        store.observation(f"{name}0", "test").with_suffix(".json").unlink()
    with pytest.raises(InputError, match="no seed of pets is finished in all populations yet"):
        load_study(store.root)


def test_a_population_without_members_is_left_out_with_its_comparisons(store: Store) -> None:
    for seed in range(2):
        store.observation(f"s{seed}", "test").with_suffix(".json").unlink()
    study = load_study(store.root)
    assert "sparse" not in study.columns.populations
    assert list(study.comparisons) == []
    with pytest.raises(InputError, match="no population 'sparse'"):
        study.compare("dense", "sparse")


def test_layers_of_which_nothing_is_left_are_said(store: Store) -> None:
    observe(store, "s1", 1, emptied=["head.weight"])
    assert load_study(store.root).notes == ["sparse: nothing is left of head.weight in 1 of 2 members"]


def test_machines_of_several_kinds_are_said(store: Store) -> None:
    observe(store, "s1", 1, made_on=[HERE, {**HERE, "device": "cuda", "name": "H200"}])
    (note,) = load_study(store.root).notes
    assert "2 kinds of machine" in note
    assert "cuda H200" in note


def test_members_observed_on_other_examples_are_refused(store: Store) -> None:
    observe(store, "s1", 1, ids="others")
    with pytest.raises(InputError, match="sparse seed 1 was observed on other examples"):
        load_study(store.root)


def test_damage_is_named_and_says_what_to_do(store: Store) -> None:
    path = store.observation("d0", "test")
    study = load_study(store.root)
    path.write_bytes(path.read_bytes()[:-9])
    for read in (lambda: load_study(store.root), lambda: study.columns.populations["dense"]["loss"]):
        with pytest.raises(InputError, match="is cut short or altered: `prunekit run` the recipe again"):
            read()


def test_plans_that_know_no_repetitions_are_read(store: Store) -> None:
    study = load_study(store.root)
    assert (study.places, study.published, study.readings) == ({}, None, [])


def test_places_published_numbers_and_readings_are_those_of_the_plan(store: Store) -> None:
    plan = store.find_study(None)
    values = {"sparse": 0.9, "control": True, "other": "text"}
    for name, value in values.items():
        repetition = {"group": "Sup", "values": {"criterion": "random", "axis": value}}
        plan["populations"][name] |= {"title": "Sup", "repetition": repetition}
    plan["populations"]["dense"] |= {"title": "", "repetition": None}
    numbers = {"pie": 188, "accuracy": [90.5, 0.39], "q_score": {"q": 0.5, "z": [4.5, 1]}}
    plan["published"] = {"source": "A paper", "populations": {"sparse": numbers}}
    plan["readings"] = ["weights are pruned"]
    store.save_study("pets-1", RECIPE, plan)
    study = load_study(store.root)
    assert study.places == {
        "sparse": Place("axis", 0.9, "Sup"),
        "control": Place("axis", "true", "Sup"),
        "other": Place("axis", "text", "Sup"),
    }
    expected = {"pie": Number(188), "accuracy": Number(90.5, 0.39), "q_score": {"q": Number(0.5), "z": Number(4.5, 1)}}
    assert study.published == Published("A paper", {"sparse": expected})
    assert study.readings == ["weights are pruned"]


def test_a_population_without_members_keeps_its_place(store: Store) -> None:
    plan = store.find_study(None)
    plan["populations"]["sparse"]["repetition"] = {"group": "Sup", "values": {"s": 0.9}}
    store.save_study("pets-1", RECIPE, plan)
    for seed in range(2):
        store.observation(f"s{seed}", "test").with_suffix(".json").unlink()
    assert list(load_study(store.root).places) == ["sparse"]
