"""How long a run takes, told from what was measured before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prunekit import estimates
from prunekit.estimates import Stopwatch, Timings, circumstances, machine_name
from prunekit.recipe import load
from prunekit.stages import as_recipe
from prunekit.store import Store, StoredStage
from prunekit.study import Study, observers, resolve


def study_of(path: Path, *assignments: str, **options: Any) -> Study:
    return resolve(load(path, assignments=assignments, **options))


def here(study: Study, **changes: Any) -> dict[str, Any]:
    at = circumstances("cpu", study.recipe.threads, as_recipe(study.recipe.model), study.fingerprint)
    return {**at, **changes}


def finish(store: Store, study: Study, units: Mapping[str, float], seed: int = 0, **changes: Any) -> None:
    """Store all members of a seed: a unit of each stage took so many seconds, what is besides 1 s, observing 3 s."""
    at = here(study, **changes)
    for population in study.populations.values():
        member = population.members[seed]
        for stage, key in zip(population.lineage, member.keys, strict=True):
            unit = units[stage.name]
            timed = {"seconds": 0.0, "unit": unit, "rest": 1.0, "at": at}
            store.save_stage(key, StoredStage({}, {}, {"stage": as_recipe(stage.options), "timed": timed}), {})
        for measure, name in [(None, None), *observers(study.recipe.measures, seed, study.source.registry)]:
            timed = {"seconds": 3.0, "measure": measure and measure.name, "at": at}
            store.save_observation(member.key, "test", {}, {"timed": timed}, name)


UNITS = {"train": 10.0, "prune": 2.0, "finetune": 5.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_where_nothing_was_measured_nothing_is_said(tiny: Path, store: Store) -> None:
    found = Timings(study_of(tiny), store, "cpu").estimate("test", jobs=2)
    assert found.seconds is None
    assert found.tasks == 2 + 4 + 2 + 6
    assert found.measurements == 0
    assert found.unknown[:2] == ["dense: train", "dense: observe"]


def test_what_is_stored_takes_no_time(tiny: Path, store: Store) -> None:
    study = study_of(tiny, seeds=1)
    finish(store, study, UNITS)
    found = Timings(study, store, "cpu").estimate("test", jobs=2)
    assert (found.seconds, found.tasks, found.unknown) == (0.0, 0, [])


def test_a_stage_takes_what_its_like_took_an_epoch_and_what_is_besides(tiny: Path, store: Store) -> None:
    finish(store, study_of(tiny), UNITS)
    study = study_of(tiny, "populations.dense.stages.train.epochs=30", seeds=1)
    timings = Timings(study, store, "cpu")
    dense, sparse, control = (study.populations[name].stages for name in ("dense", "sparse", "control"))
    # Neither the learning rate nor the number of epochs matters, so all that trains is alike: of the three measured
    # stages two took 5 s an epoch, and one 10 s.
    assert timings.of(dense[0]) == 30 * 5 + 1
    assert timings.of(sparse[0]) == 1 * 2 + 1
    assert timings.of(control[0]) == 1 * 5 + 1
    assert timings.observing(0, lambda _: True) == 2 * 3
    whole = 30 * 5 + 1 + 6 + (2 + 1) + (5 + 1) + 6 + (5 + 1) + 6
    assert timings.estimate("test", jobs=1).seconds == whole


def test_processes_share_what_waits_for_nothing(tiny: Path, store: Store) -> None:
    finish(store, study_of(tiny), UNITS, seed=0)
    study = study_of(tiny, seeds=range(1, 3))
    timings = Timings(study, store, "cpu")
    alone, shared, many = (timings.estimate("test", jobs=jobs).seconds for jobs in (1, 2, 9))
    assert alone is not None
    assert shared == alone / 2
    # dense, then sparse with its two stages and its observation: nobody can do them faster
    assert many == (2 * 5 + 1) + (2 + 1) + (5 + 1) + 6


@pytest.mark.parametrize(
    "changes", [{"machine": "another, 2 cores"}, {"threads": 4}, {"model": "wrn16_2"}, {"data": "others"}]
)
def test_times_of_other_machines_models_and_data_say_nothing(tiny: Path, store: Store, changes: dict[str, Any]) -> None:
    finish(store, study_of(tiny), UNITS, **changes)
    assert Timings(study_of(tiny, seeds=3), store, "cpu").estimate("test", jobs=1).seconds is None


def test_stages_of_another_kind_are_named_as_unknown(tiny: Path, store: Store) -> None:
    finish(store, study_of(tiny), UNITS)
    changes = ["populations.dense.stages.train.objective=supcon", "populations.sparse.stages.prune.criterion=random"]
    found = Timings(study_of(tiny, *changes, seeds=1), store, "cpu").estimate("test", jobs=1)
    assert found.unknown == ["dense: train", "sparse: prune"]
    assert found.seconds == 6 + (5 + 1) + 6 + (5 + 1) + 6


def test_a_batch_of_the_same_size_is_more_alike_than_any_other(tiny: Path, store: Store) -> None:
    change = "populations.dense.stages.train.batch_size=100"
    finish(store, study_of(tiny), UNITS)
    finish(store, study_of(tiny, change), {**UNITS, "train": 40.0})
    study = study_of(tiny, change, "populations.dense.stages.train.epochs=3")
    assert Timings(study, store, "cpu").of(study.populations["dense"].stages[0]) == 3 * 40 + 1


def test_a_stopwatch_tells_epochs_from_what_is_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 9.0, 11.0, 13.5, 14.5])
    monkeypatch.setattr(estimates.time, "monotonic", lambda: next(times))
    watch = Stopwatch()
    for _ in range(3):
        watch.lap()  # epochs of 9, 2 and 2.5 s
    assert watch.read(updates=7) == {"seconds": 14.5, "unit": 2.5, "rest": 7.0}


def test_a_stage_that_only_prunes_is_measured_by_its_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 6.0, 0.0, 6.0])
    monkeypatch.setattr(estimates.time, "monotonic", lambda: next(times))
    assert Stopwatch().read(updates=3) == {"seconds": 6.0, "unit": 2.0, "rest": 0.0}
    assert Stopwatch().read(updates=0) == {"seconds": 6.0, "unit": 0.0, "rest": 6.0}


def test_training_that_goes_on_after_its_last_epoch_measures_none(
    tiny: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 6.0])
    monkeypatch.setattr(estimates.time, "monotonic", lambda: next(times))
    assert Stopwatch().read() == {"seconds": 6.0}
    study = study_of(tiny)
    stage, member = study.populations["dense"].lineage[0], study.populations["dense"].members[0]
    timed = {"seconds": 6.0, "at": here(study)}
    store.save_stage(member.key, StoredStage({}, {}, {"stage": as_recipe(stage.options), "timed": timed}), {})
    assert Timings(study, store, "cpu").of(stage) is None


def test_a_machine_is_known_by_its_processor(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Some Chip 3000\nprocessor\t: 1\n")
    assert machine_name("cpu", tmp_path).startswith("Some Chip 3000, ")
    assert machine_name("cpu", tmp_path / "none")
