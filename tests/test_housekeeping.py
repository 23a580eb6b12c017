"""What a store holds, and what is deleted of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from helpers_command import prunekit

from prunekit import housekeeping
from prunekit.errors import InputError
from prunekit.housekeeping import delete, plan_deletion, take_stock
from prunekit.sharing import at_work
from prunekit.store import Store, digest

DAY = 86400


def key(of: str) -> str:
    """Return a key as long as those of stages are."""
    return digest(of)


def write_stage(store: Store, name: str, days_old: float = 0) -> None:
    """Write 100 bytes of weights and 10 of an observation; their records come to it."""
    stage, observed = store.stage_folder(key(name)), store.root / "observations" / key(name)
    for folder, files in ((stage, ("weights.safetensors", "stage.json")), (observed, ("test.parquet", "test.json"))):
        folder.mkdir(parents=True)
        for file, size in zip(files, (100, 10) if folder == stage else (10, 5), strict=True):
            (folder / file).write_bytes(b"x" * size)
        for path in (*folder.iterdir(), folder):
            os.utime(path, (time.time() - days_old * DAY,) * 2)


def write_study(store: Store, identity: str, **populations: list[list[str]]) -> None:
    blocks = {
        population: {"members": {str(seed): [key(name) for name in names] for seed, names in enumerate(members)}}
        for population, members in populations.items()
    }
    store.save_study(identity, {}, {"identity": identity, "data": {"split": "test"}, "populations": blocks})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two studies that share the two dense members; ``old`` is what neither needs."""
    store = Store(tmp_path / "runs")
    for name in ("d0", "d1", "a0", "b0", "old"):
        write_stage(store, name, days_old=40 if name == "old" else 0)
    write_study(store, "one-aaaaaaaa", dense=[["d0"], ["d1"]], sparse=[["d0", "a0"]])
    write_study(store, "two-bbbbbbbb", dense=[["d0"], ["d1"]], sparse=[["d0", "b0"], ["d1", "b1"]])
    return store


def left(store: Store) -> set[str]:
    """Return the stages that are there, checked to have their observations."""
    names = {key(name): name for name in ("d0", "d1", "a0", "b0", "b1", "old")}
    stages, observed = (
        {names[path.name] for path in (store.root / part).iterdir()} for part in ("stages", "observations")
    )
    assert stages == observed
    assert not list(store.root.glob("deleted*"))
    return stages


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        delete(*arguments, **options)
    return str(caught.value)


def test_the_inventory_says_who_needs_what_and_what_is_finished(store: Store) -> None:
    stock = take_stock(store)
    one, two = stock.studies["one-aaaaaaaa"], stock.studies["two-bbbbbbbb"]
    assert (one.name, one.asked, one.finished) == ("one", 3, 3)
    assert (two.asked, two.finished) == (4, 3)
    assert stock.users(key("d0")) == ["one-aaaaaaaa", "two-bbbbbbbb"]
    assert stock.users(key("b0")) == ["two-bbbbbbbb"]
    assert stock.size(one.keys) == 3 * 125
    assert stock.freed_with(one) == {key("a0")}
    assert stock.unused == {key("old")}
    assert stock.results[key("old")].changed == pytest.approx(time.time() - 40 * DAY, abs=60)


def test_what_no_study_needs_is_deleted_and_nothing_else(store: Store) -> None:
    deletion = delete(store, unused=True)
    assert deletion.results == [key("old")]
    assert deletion.size == 125
    assert left(store) == {"d0", "d1", "a0", "b0"}
    assert delete(store, unused=True).results == []


def test_a_study_goes_with_what_no_other_needs(store: Store) -> None:
    deletion = delete(store, ["one"])
    assert deletion.kept == ["2 results: two-bbbbbbbb needs them"]
    assert left(store) == {"d0", "d1", "b0", "old"}
    assert list(take_stock(store).studies) == ["two-bbbbbbbb"]
    assert delete(store, ["two-bbbbbbbb"]).kept == []
    assert left(store) == {"old"}


def test_two_studies_go_with_what_they_share(store: Store) -> None:
    delete(store, ["one", "two"])
    assert left(store) == {"old"}


def test_a_dry_run_says_the_same_and_deletes_nothing(store: Store) -> None:
    before = sorted(store.root.rglob("*"))
    planned = plan_deletion(store, ["one"], unused=True)
    assert sorted(store.root.rglob("*")) == before
    assert delete(store, ["one"], unused=True) == planned


def test_a_result_that_a_study_needs_takes_force(store: Store) -> None:
    words = f"{key('d0')[:12]}: dense seed 0 of one-aaaaaaaa and 3 more members need it: --force deletes it"
    assert words in refused(store, [key("d0")[:8]])
    assert left(store) == {"d0", "d1", "a0", "b0", "old"}
    delete(store, [key("d0")], force=True)
    assert left(store) == {"d1", "a0", "b0", "old"}
    delete(store, [key("old")[:12]])
    assert left(store) == {"d1", "a0", "b0"}


def test_what_was_written_since_stays(store: Store) -> None:
    write_stage(store, "b1")
    delete(store, ["two"])
    write_stage(store, "b0")
    deletion = delete(store, unused=True, older_than=30 * DAY)
    assert deletion.kept == ["1 result: written since"]
    assert left(store) == {"d0", "d1", "a0", "b0"}
    assert delete(store, ["one"], older_than=DAY).kept == ["one-aaaaaaaa: was run since"]
    assert list(take_stock(store).studies) == ["one-aaaaaaaa"]


def test_a_result_is_as_old_as_what_was_written_of_it(store: Store) -> None:
    stage = store.stage_folder(key("old"))
    (stage / "lock").write_text("")  # new, as where whoever looks at it truncates it
    assert take_stock(store).results[key("old")].changed == pytest.approx(time.time() - 40 * DAY, abs=60)
    assert delete(store, unused=True, older_than=30 * DAY).results == [key("old")]
    begun = store.stage_folder(key("begun"))
    with store.locked(key("begun")):
        assert take_stock(store).results[key("begun")].changed == begun.stat().st_mtime


def test_what_a_process_is_at_is_never_deleted(store: Store) -> None:
    with at_work(store, "two-bbbbbbbb", [key("old"), key("b0")]):
        assert "two-bbbbbbbb is being run at the moment" in refused(store, ["two"], force=True)
        assert delete(store, [key("old")], unused=True, force=True).kept == ["1 result: in use by a process"]
        assert take_stock(store).busy == {"two-bbbbbbbb", key("old"), key("b0")}
    with FileLock(store.stage_folder(key("old")) / "lock"):
        assert delete(store, unused=True).results == []
    assert left(store) == {"d0", "d1", "a0", "b0", "old"}


def test_what_killed_processes_left_is_swept_unless_it_is_of_use(store: Store) -> None:
    finished, begun = store.stage_folder(key("d0")), store.stage_folder(key("b1"))
    begun.mkdir()
    draft = store.root / "observations" / key("a0") / ".test.parquet.77"
    for path in (finished / "checkpoint.json", finished / ".stage.json.77", draft, begun / "checkpoint-2.safetensors"):
        path.write_text("x")
    half = store.study_folder("three-cccccccc")
    half.mkdir()
    (half / "recipe.json").write_text("x")
    deletion = delete(store, unused=True)
    assert set(deletion.drafts) == {finished / "checkpoint.json", finished / ".stage.json.77", draft, half}
    assert (begun / "checkpoint-2.safetensors").exists()
    assert (finished / "weights.safetensors").exists()
    assert not half.exists()


def test_nothing_is_called_unused_while_a_plan_is_damaged(store: Store) -> None:
    (store.study_folder("two-bbbbbbbb") / "study.json").write_text("{")
    words = "two-bbbbbbbb: its plan is damaged, so what it needs cannot be told"
    assert words in refused(store, unused=True)
    assert left(store) == {"d0", "d1", "a0", "b0", "old"}
    delete(store, ["two"])
    assert delete(store, unused=True).results == sorted([key("old"), key("b0")])


def test_no_result_goes_that_a_study_may_need_whose_plan_is_damaged(store: Store) -> None:
    (store.study_folder("two-bbbbbbbb") / "study.json").write_text("{")
    for name in ("one", key("old")):
        assert "two-bbbbbbbb: its plan is damaged" in refused(store, [name])
    assert list(take_stock(store).studies) == ["one-aaaaaaaa", "two-bbbbbbbb"]
    assert left(store) == {"d0", "d1", "a0", "b0", "old"}
    delete(store, ["one", "two"])
    assert left(store) == {"b0", "old"}


def test_where_a_plan_is_damaged_force_deletes_all_the_same(store: Store) -> None:
    (store.study_folder("two-bbbbbbbb") / "study.json").write_text("{")
    delete(store, ["one"], force=True)
    assert left(store) == {"b0", "old"}


def test_of_two_studies_with_damaged_plans_each_can_be_deleted(store: Store) -> None:
    for identity in ("one-aaaaaaaa", "two-bbbbbbbb"):
        (store.study_folder(identity) / "study.json").write_text("{")
    delete(store, ["one"])
    assert list(take_stock(store).studies) == ["two-bbbbbbbb"]


def test_unknown_and_ambiguous_names_are_refused(store: Store, tmp_path: Path) -> None:
    assert "no study or key is called 'tow' (did you mean 'two'?)" in refused(store, ["one", "tow"])
    assert "no study or key is called" in refused(store, [key("old")[:7]])
    write_study(store, "two-cccccccc", dense=[["d0"]])
    assert "2 studies are called 'two': say which of two-bbbbbbbb, two-cccccccc" in refused(store, ["two"])
    assert "there is no store" in refused(Store(tmp_path / "none"), ["two"])
    assert not (tmp_path / "none").exists()
    assert left(store) == {"d0", "d1", "a0", "b0", "old"}


@pytest.mark.parametrize(("text", "seconds"), [("12h", 43200), ("30d", 30 * DAY), ("2w", 14 * DAY)])
def test_an_age_has_a_unit(text: str, seconds: int) -> None:
    assert housekeeping.parse_age(text) == seconds
    with pytest.raises(InputError, match="expected hours, days or weeks, such as 12h, 30d or 8w"):
        housekeeping.parse_age(text[:-1])


KILLED = """
import os, signal, sys
from pathlib import Path
from prunekit import housekeeping
from prunekit.store import Store

housekeeping.shutil.rmtree = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
housekeeping.delete(Store(Path(sys.argv[1])), ["two"])
"""


def test_a_deletion_that_is_killed_leaves_nothing_half_deleted(store: Store) -> None:
    result = subprocess.run([sys.executable, "-c", KILLED, str(store.root)], check=False, timeout=60)
    assert result.returncode == -9
    assert list(store.root.glob("deleted*"))
    assert list(take_stock(store).studies) == ["one-aaaaaaaa"]
    for folder in (*(store.root / "stages").iterdir(), *(store.root / "observations").iterdir()):
        assert len([path for path in folder.iterdir() if path.name != "lock"]) == 2
    delete(store, unused=True)
    assert left(store) == {"d0", "d1", "a0"}


def test_a_deletion_may_begin_before_another_has_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def another_first(folder: Path) -> None:
        monkeypatch.setattr(housekeeping.shutil, "rmtree", rmtree)
        assert delete(store, ["two"]).studies == ["two-bbbbbbbb"]
        write_stage(store, "b1")
        rmtree(folder)

    rmtree = housekeeping.shutil.rmtree
    monkeypatch.setattr(housekeeping.shutil, "rmtree", another_first)
    assert delete(store, ["one"]).studies == ["one-aaaaaaaa"]
    assert left(store) == {"b1", "old"}


def vanish(path: Path, look: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be there until it is looked at for the time ``look``."""
    looks = iter(range(look))
    stat = Path.stat

    def looked_at(self: Path, **options: Any) -> os.stat_result:
        if self == path and next(looks, None) is None:
            self.unlink(missing_ok=True)
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", looked_at)


@pytest.mark.parametrize("look", range(4))
def test_files_that_a_running_stage_takes_away_disturb_nobody(
    store: Store, look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.stage_folder(key("old")) / "checkpoint-1.safetensors"
    path.write_bytes(b"x")
    vanish(path, look, monkeypatch)
    assert take_stock(store).size([key("old")]) in (125, 126)
    assert delete(store, ["one"], unused=True).results == sorted([key("old"), key("a0")])


@pytest.mark.parametrize("look", range(4))
def test_a_study_may_be_deleted_while_others_are_looked_at(
    store: Store, look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanish(store.study_folder("one-aaaaaaaa") / "study.json", look, monkeypatch)
    assert store.find_study("two")["identity"] == "two-bbbbbbbb"
    stock = take_stock(store)
    assert list(stock.studies)[-1] == "two-bbbbbbbb"
    assert all(study.plan is not None for study in stock.studies.values())


def test_the_command_lists_sizes_and_what_would_be_freed(store: Store) -> None:
    shown = prunekit("store", "list", "--stages", "--out", store.root)
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[1][:2] == ["one", "one-aaaaaaaa"]
    assert lines[1][-7:-4] == ["3", "of", "3"]
    assert next(line for line in lines if line[0] == key("old")[:12])[-1] == "–"
    assert "No study needs 1 of them, 0.0 MB: `prunekit store delete --unused`" in shown.stdout
    body = json.loads(prunekit("store", "list", "--out", store.root, "--format", "json").stdout)
    assert (body["bytes"], body["unused"]) == (5 * 125, {"results": 1, "bytes": 125})
    assert [(each["bytes"], each["freed_bytes"]) for each in body["studies"]] == [(375, 125), (375, 125)]


def test_predictions_that_were_given_are_finished_once_their_record_is_there(store: Store) -> None:
    store.save_observation(key("given"), "test", {"example_id": ["a"]}, {"seed": 4, "file": "m.csv"})
    half = store.observation(key("half"), "test")
    half.parent.mkdir()
    half.write_bytes(b"x")
    body = json.loads(prunekit("store", "list", "--stages", "--out", store.root, "--format", "json").stdout)
    told = {each["key"]: (each["stage"], each["seed"], each["finished"]) for each in body["stages"]}
    assert told[key("given")] == ("predictions", 4, True)
    assert told[key("half")] == ("unfinished", None, False)


def test_the_command_deletes_and_says_what(store: Store) -> None:
    assert prunekit("store", "delete", "one", "--dry-run", "--out", store.root).stdout.splitlines() == [
        "study one-aaaaaaaa",
        "kept: 2 results: two-bbbbbbbb needs them",
        "would delete 1 study, 1 result: 0.0 MB",
    ]
    assert "deleted 1 result" in prunekit("store", "delete", "--unused", "--out", store.root).stdout
    assert left(store) == {"d0", "d1", "a0", "b0"}
    result = prunekit("store", "delete", "--out", store.root)
    assert result.returncode == 2
    assert result.stderr.startswith("prunekit: say what to delete")
