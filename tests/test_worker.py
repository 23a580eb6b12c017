"""What a worker does of its tasks where it, or another one, has done them in part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prunekit.files import stats
from prunekit.recipe import load
from prunekit.runner import plan_tasks
from prunekit.stages import as_recipe
from prunekit.store import Store
from prunekit.study import resolve
from prunekit.worker import Setup, Worker

RECIPE = """
name: worker
seeds: 1
data: digits
model: mlp_300_100
measures: [q_score]
populations:
  dense:
    stages:
      train:
        {objective: cross_entropy, epochs: 1, batch_size: 500, prune: {schedule: {name: one_shot, sparsity: 0.5}}}
"""


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    (tmp_path / "worker.yaml").write_text(RECIPE)
    study = resolve(load(tmp_path / "worker.yaml"))
    store = Store.create(tmp_path / "runs")
    model, fingerprint = as_recipe(study.recipe.backbone), str(study.fingerprint)
    setup = Setup(
        store=str(store.root), device="cpu", threads=1, files={}, data="digits", fingerprint=fingerprint, model=model
    )
    return Worker(setup, emit=lambda event: None)


@pytest.fixture
def tasks(worker: Worker, tmp_path: Path) -> list[dict[str, Any]]:
    """The training of a member, and its observation."""
    study = resolve(load(tmp_path / "worker.yaml"))
    return [task.message for task in plan_tasks(study, worker.store, lambda event: None)]


class KilledError(Exception):
    """In place of a signal."""


def killed(*arguments: Any) -> None:
    raise KilledError


def test_training_killed_before_its_end_is_written_records_no_time_of_an_epoch(
    worker: Worker, tasks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(worker.store, "save_stage", killed)
        with pytest.raises(KilledError):
            worker.do(tasks[0])
    worker.do(tasks[0])
    key = tasks[0]["key"]
    assert len(worker.store.load_history(key)["updates"]) == 1
    assert worker.store.find_stage(key)["timed"].keys() == {"seconds", "at"}


def observed(worker: Worker, key: str) -> dict[str, tuple[int, int]]:
    """Return number and time of the files of an observation, by name: others where a file was written again."""
    files = stats((worker.store.root / "observations" / key).iterdir())
    return {path.name: (found.st_ino, found.st_mtime_ns) for path, found in files.items()}


def test_what_another_machine_observed_meanwhile_is_neither_computed_nor_written_again(
    worker: Worker, tasks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in tasks:
        worker.do(task)
    before = observed(worker, tasks[1]["key"])
    assert len(before) == 4
    monkeypatch.setattr(worker, "_member", killed)
    worker.do(tasks[1])
    assert observed(worker, tasks[1]["key"]) == before


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{")])
def test_what_is_missing_or_damaged_by_then_is_observed(
    worker: Worker, tasks: list[dict[str, Any]], harm: Callable[[Path], Any]
) -> None:
    for task in tasks:
        worker.do(task)
    key = tasks[1]["key"]
    before = observed(worker, key)
    (record,) = (worker.store.root / "observations" / key).glob("test.q_score*.json")
    said = json.loads(record.read_text())["files"]
    harm(record)
    worker.do(tasks[1])
    after = observed(worker, key)
    assert json.loads(record.read_text())["files"] == said
    assert {name for name in after if after[name] == before[name]} == {"test.parquet", "test.json"}
