"""What is stored comes back whole, or is named as damaged."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from prunekit.errors import InputError, PrunekitError
from prunekit.files import write_whole
from prunekit.store import DamagedError, Store, StoredStage, default_root, digest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "runs")


@pytest.fixture
def stage() -> StoredStage:
    weights = {"a.weight": torch.arange(13.0).reshape(1, 13), "a.steps": torch.tensor(7)}
    return StoredStage(weights, {"a.weight": torch.arange(13).reshape(1, 13) % 3 == 0}, {"seed": 3})


def test_a_stage_comes_back_with_its_masks(store: Store, stage: StoredStage) -> None:
    assert not store.has_stage("k")
    assert store.check_stage("k") is None
    store.save_stage("k", stage, [{"epoch": 1}])
    back = store.load_stage("k")
    assert store.has_stage("k")
    assert back.record["seed"] == 3
    for name, tensor in stage.weights.items():
        assert torch.equal(back.weights[name], tensor)
    assert torch.equal(back.masks["a.weight"], stage.masks["a.weight"])
    assert back.masks["a.weight"].dtype == torch.bool


def test_weights_that_are_views_or_share_memory_can_be_stored(store: Store) -> None:
    base = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    store.save_stage("k", StoredStage({"a": base, "b": base, "c": base.transpose(0, 1)}, {}, {}), [])
    assert torch.equal(store.load_stage("k").weights["c"], base.transpose(0, 1))


@pytest.mark.parametrize("file", ["weights.safetensors", "history.json", "stage.json"])
@pytest.mark.parametrize("damage", ["cut", "altered", "removed"])
def test_damage_is_noticed_and_named(store: Store, stage: StoredStage, file: str, damage: str) -> None:
    store.save_stage("k", stage, [{"epoch": 1}])
    path = store.stage_folder("k") / file
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-5])
    elif damage == "altered":
        path.write_bytes(content.replace(b"1", b"2", 1) if b"1" in content else content[:-1] + b"\0")
    else:
        path.unlink()
    if (file, damage) == ("stage.json", "removed"):
        assert store.check_stage("k") is None
    else:
        with pytest.raises(DamagedError, match=file):
            store.check_stage("k")
    with pytest.raises(DamagedError, match=file):
        store.load_stage("k")


def test_a_checkpoint_replaces_the_one_before_and_goes_with_the_stage(store: Store, stage: StoredStage) -> None:
    assert store.load_checkpoint("k") is None
    for epoch in (1, 2):
        store.save_checkpoint("k", {"w": torch.full((3,), float(epoch))}, {"epoch": epoch, "history": [0.1]})
    found = store.load_checkpoint("k")
    assert found is not None
    assert torch.equal(found[0]["w"], torch.full((3,), 2.0))
    assert found[1]["history"] == [0.1]
    folder = store.stage_folder("k")
    assert [path.name for path in folder.glob("*.safetensors")] == ["checkpoint-2.safetensors"]
    store.save_stage("k", stage, [])
    assert store.load_checkpoint("k") is None
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "history.json", "stage.json"}


def test_observations_come_back_by_column(store: Store) -> None:
    columns = {"example_id": ["a", "b"], "prediction": np.array([1, 0]), "loss": np.array([0.5, 2.0], np.float32)}
    store.save_observation("k", "test", columns, {"seed": 0})
    store.save_observation("k", "test", {"q": np.array([1.0, 2.0])}, {"seed": 0}, "q_score-1")
    assert store.load_observation("k", "test", columns=["loss"])["loss"].tolist() == [0.5, 2.0]
    assert store.load_observation("k", "test")["example_id"].tolist() == ["a", "b"]
    assert store.load_observation("k", "test", "q_score-1")["q"].tolist() == [1.0, 2.0]
    assert (store.check_observation("k", "test") or {})["columns"] == ["example_id", "prediction", "loss"]
    with pytest.raises(DamagedError, match="missing"):
        store.load_observation("other", "test")
    store.observation("k", "test").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DamagedError, match=r"test\.parquet"):
        store.load_observation("k", "test")


def test_a_study_is_found_by_name_by_identity_or_as_the_last_one(store: Store) -> None:
    with pytest.raises(InputError, match="nothing was run there yet"):
        store.find_study(None)
    for name in ("one-aaaa", "two-bbbb"):
        store.save_study(name, {}, {"identity": name})
    assert store.find_study(None)["identity"] == "two-bbbb"
    assert store.find_study("one")["identity"] == "one-aaaa"
    assert store.find_study("two-bbbb")["identity"] == "two-bbbb"
    with pytest.raises(InputError, match=r"'twoo'.*did you mean 'two'"):
        store.find_study("twoo")


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write results there"):
        Store.create(tmp_path / "file" / "runs")


def test_a_failed_write_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PrunekitError, match="No space left on device"):
        store.save_checkpoint("k", {"w": torch.zeros(1)}, {"epoch": 1})
    assert list(store.stage_folder("k").iterdir()) == []


def test_writers_with_one_process_id_do_not_disturb_each_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)  # as in two containers that share a store
    path = store.root / "file"
    with ThreadPoolExecutor(4) as writers:
        list(writers.map(lambda i: write_whole(path, f"{i:03}".encode() * 1000), range(300)))
        list(writers.map(lambda _: Store.create(store.root), range(100)))
    assert path.read_text() == path.read_text()[:3] * 1000
    assert list(store.root.iterdir()) == [path]


def test_what_a_killed_writer_left_goes_and_writers_of_one_stage_take_turns(store: Store, stage: StoredStage) -> None:
    folder = store.stage_folder("k")
    folder.mkdir(parents=True)
    (folder / ".stage.json.killed").write_bytes(b"{")

    def write(_: int) -> None:
        with store.locked("k"):
            store.save_stage("k", stage, [])

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(20)))
    assert store.check_stage("k") is not None
    assert not list(folder.glob(".*"))


def test_the_digest_of_a_value_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.0})
    with pytest.raises(ValueError, match="Out of range"):
        digest(float("nan"))


def test_the_default_root_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRUNEKIT_RUNS", raising=False)
    assert default_root() == Path("runs")
    monkeypatch.setenv("PRUNEKIT_RUNS", "/somewhere")
    assert default_root() == Path("/somewhere")
