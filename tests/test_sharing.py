"""Runs that share a store: what each is at, and the plan that they share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prunekit.sharing import at_work, at_work_now, lineages, save_plan
from prunekit.store import Store


def plan(seeds: Sequence[int], data: str = "a", **more: Any) -> dict[str, Any]:
    members = {str(seed): [f"{data}{seed}", f"{data}{seed}-pruned"] for seed in seeds}
    return {"identity": "s-1", "populations": {"dense": {"members": members}}, **more}


def save(store: Store, seeds: Sequence[int], *, exactly: bool = False, **more: Any) -> None:
    with at_work(store, "s-1", ()) as work:
        save_plan(store, work, {"seeds": len(seeds)}, plan(seeds, **more), exactly=exactly)


def members(store: Store) -> list[int]:
    found = store.find_plan("s-1")
    assert found is not None
    assert store.load_recipe("s-1")["seeds"] == len(found["populations"]["dense"]["members"])
    return [int(seed) for seed in found["populations"]["dense"]["members"]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "runs")


def test_a_plan_keeps_the_members_that_other_runs_gave_it(store: Store) -> None:
    save(store, range(12))
    save(store, range(3), note="later")
    assert members(store) == list(range(12))
    assert (store.find_plan("s-1") or {})["note"] == "later"


def test_a_number_of_members_is_exactly_that(store: Store) -> None:
    save(store, range(12))
    save(store, range(3), exactly=True)
    assert members(store) == [0, 1, 2]


def test_no_member_is_dropped_while_another_run_is_at_the_study(store: Store) -> None:
    save(store, range(12))
    with at_work(store, "other-2", ()):
        save(store, range(5), exactly=True)
    assert members(store) == list(range(5))
    with at_work(store, "s-1", ()):
        save(store, range(3), exactly=True)
    assert members(store) == list(range(5))


def test_a_plan_of_other_data_takes_the_place_of_the_one_before(store: Store) -> None:
    save(store, range(12))
    save(store, range(3), data="b")
    assert members(store) == [0, 1, 2]


def test_a_damaged_plan_is_written_anew(store: Store) -> None:
    save(store, range(12))
    (store.study_folder("s-1") / "study.json").write_text("{")
    save(store, range(3))
    assert members(store) == [0, 1, 2]


def test_what_runs_is_known_until_it_ends(store: Store) -> None:
    assert at_work_now(store) == []
    with at_work(store, "s-1", lineages(plan([4]))) as work:
        assert at_work_now(store) == [work]
        assert work.keys == {"a4", "a4-pruned"}
        with at_work(store, "s-1", ["x"]) as second:
            assert {each.name for each in at_work_now(store)} == {work.name, second.name}
    assert at_work_now(store) == []
    assert list((store.root / "running").iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from prunekit.sharing import at_work
from prunekit.store import Store

with at_work(Store(Path(sys.argv[1])), "s-1", ["k"]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_killed_runs_no_more_and_is_forgotten(store: Store) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(store.root)], check=False, timeout=60)
    assert len(list((store.root / "running").iterdir())) == 2
    assert at_work_now(store) == []
    with at_work(store, "s-1", ()) as work:
        assert at_work_now(store) == [work]
        assert len(list((store.root / "running").iterdir())) == 2


SAVES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_sharing import save
from prunekit.store import Store

store, last = Store(Path(sys.argv[1])), int(sys.argv[2])
for seeds in range(1, last + 1):
    save(store, range(seeds))
"""


def test_processes_that_write_one_plan_at_once_lose_nothing(store: Store) -> None:
    script = [sys.executable, "-c", SAVES, str(store.root)]
    writers = [
        subprocess.Popen([*script, str(last), str(Path(__file__).parent)], stderr=subprocess.PIPE, text=True)
        for last in (40, 37, 12)
    ]
    for process in writers:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert members(store) == list(range(40))
