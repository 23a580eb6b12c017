"""How many processes a machine is enough for."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit import capacity, runner
from prunekit.capacity import check_data, default_jobs, free_memory, memory_warning
from prunekit.errors import InputError
from prunekit.images import DataSummary, ImageShape
from prunekit.outline import blueprint
from prunekit.recipe import load
from prunekit.store import Store
from prunekit.study import resolve

GB = 10**9


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_cores", lambda: 8)


def test_there_is_a_process_per_core() -> None:
    assert default_jobs("cpu", threads=1) == 8
    assert default_jobs("cpu", threads=3) == 2
    assert default_jobs("cpu", threads=9) == 1


def test_few_share_a_gpu() -> None:
    assert default_jobs("cuda", threads=1) == capacity.MOST_PER_GPU
    assert default_jobs("cuda:1", threads=4) == 2


def test_there_are_no_more_than_memory_lets() -> None:
    assert default_jobs("cpu", 1, needed=2 * GB, free=7 * GB) == 3
    assert default_jobs("cpu", 1, needed=9 * GB, free=7 * GB) == 1
    assert default_jobs("cpu", 1, needed=GB, free=70 * GB) == 8
    assert default_jobs("cuda", 1, needed=10 * GB, free=25 * GB) == 2
    assert default_jobs("cpu", 1, needed=None, free=7 * GB) == 8
    assert default_jobs("cpu", 1, needed=2 * GB, free=None) == 8


def test_enough_memory_is_nothing_to_speak_of() -> None:
    assert memory_warning("cpu", jobs=8, usual=8, needed=GB, free=8 * GB) is None
    assert memory_warning("cpu", jobs=8, usual=8, needed=None, free=GB) is None
    assert memory_warning("cpu", jobs=8, usual=8, needed=GB, free=None) is None


def test_what_memory_forbids_is_said() -> None:
    said = "a process takes about 2.0 GB of memory and 7.0 GB are free: 3 at once instead of 8"
    assert memory_warning("cpu", jobs=3, usual=8, needed=2 * GB, free=7 * GB) == said
    said = "a process takes about 9.0 GB of memory on cuda and 7.0 GB are free: 1 may not fit"
    assert memory_warning("cuda", 1, 4, 9 * GB, 7 * GB) == said + " (a smaller batch_size takes less)"
    said = "a process takes about 2.0 GB of memory and 7.0 GB are free: 6 may not fit (--jobs 3 would fit)"
    assert memory_warning("cpu", jobs=6, usual=6, needed=2 * GB, free=7 * GB) == said


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:    5000 kB\n")
    return tmp_path


def contain(system: Path, limit: str) -> None:
    for name, text in {"max": limit, "current": "3000000\n", "stat": "anon 1000000\ninactive_file 1500000\n"}.items():
        (system / f"sys/fs/cgroup/memory.{name}").write_text(text)


def test_free_memory_is_what_the_machine_says_is_available(system: Path) -> None:
    assert free_memory("cpu", system) == 5000 * 1024
    contain(system, "max\n")
    assert free_memory("cpu", system) == 5000 * 1024


def test_a_container_may_leave_less_and_its_cached_files_count_as_free(system: Path) -> None:
    contain(system, "4000000\n")
    assert free_memory("cpu", system) == 4_000_000 - (3_000_000 - 1_500_000)
    contain(system, "1000000\n")
    assert free_memory("cpu", system) == 0
    contain(system, "99000000\n")
    assert free_memory("cpu", system) == 5000 * 1024


def test_a_system_may_not_tell(system: Path, tmp_path: Path) -> None:
    (system / "proc/meminfo").write_text("MemTotal:  9000 kB\n")  # an old kernel's
    assert free_memory("cpu", system) is None
    assert free_memory("cpu", tmp_path / "nothing") is None


def test_data_larger_than_memory_is_refused_and_streaming_is_not_promised() -> None:
    data = DataSummary(ImageShape(3, 10, 10), ("a", "b"), train=7_000_000, validation=1_000_000, test=2_000_000)
    check_data(data, free=3 * GB)
    with pytest.raises(InputError, match=r"images take 3.0 GB of memory and 2.9 GB are free.* not streamed yet"):
        check_data(data, free=int(2.9 * GB))


def test_a_study_of_data_larger_than_memory_is_refused_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda device: 1000)
    with pytest.raises(InputError, match=r"scl_onshot_90.yaml:\d+: data: the images take"):
        resolve(load("scl_onshot_90"))


def test_a_run_takes_fewer_processes_where_memory_is_short_and_says_so(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = resolve(load(tiny))
    told: list[runner.Event] = []
    tasks = runner.plan_tasks(study, Store(tmp_path), told.append)
    monkeypatch.setattr(runner, "free_memory", lambda device: int(2.2 * GB))

    def chosen(asked: int | None) -> int:
        return runner.choose_jobs(study, blueprint(study), tasks, asked, "cpu", told.append)

    assert (chosen(None), chosen(6)) == (2, 6)
    assert [event.data["text"].partition(": ")[2] for event in told if event.kind == "notice"] == [
        "2 at once instead of 8",
        "6 may not fit (--jobs 2 would fit)",
    ]
    told.clear()
    assert chosen(1) == 1
    assert not told
