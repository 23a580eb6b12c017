"""What a run shows while it works."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
from rich.console import Console

from prunekit.cli.live import Display
from prunekit.pool import Event, Task
from prunekit.study import Member


def task(population: str, seed: int, stage: str, cost: float = 100.0) -> Task:
    return Task(population, seed, stage, {}, cost, f"{population}{seed}{stage}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"t": 1000.0}
    monkeypatch.setattr("prunekit.cli.live.time.monotonic", lambda: now["t"])
    return now


def display(tasks: list[Task], members: int) -> tuple[Display, io.StringIO]:
    shown = Display()
    out = io.StringIO()
    shown.console = Console(file=out, width=200)
    every = [Member("dense", seed, ("k",)) for seed in range(members)]
    shown(Event("planned", data={"tasks": tasks, "members": every}))
    return shown, out


def test_members_that_are_stored_are_counted_at_once() -> None:
    _, out = display([task("dense", 0, "train")], members=3)
    assert out.getvalue() == "3 members, 2 of them in the store already\n"


def test_a_finished_stage_is_one_plain_line(clock: dict[str, float]) -> None:
    one, two = task("dense", 0, "train"), task("dense", 1, "train")
    shown, out = display([one, two], members=2)
    shown(Event("started", one))
    data: dict[str, Any] = {"epoch": 2, "iteration": 8, "loss": 0.51234, "accuracy": 0.975, "sparsity": 0.9}
    shown(Event("epoch", one, data))
    clock["t"] += 4
    shown(Event("done", one))
    line = out.getvalue().splitlines()[-1]
    assert (
        line == "[1/2 members] dense seed 0: train: 4.0 s, loss 0.512, accuracy 97.5 %, sparsity 90.0 %, about 4 s left"
    )


def test_a_long_stage_says_once_a_minute_how_far_it_is(clock: dict[str, float]) -> None:
    one = task("dense", 0, "train")
    shown, out = display([one], members=1)
    shown(Event("started", one))
    progress = {"epoch": 2, "epochs": 5, "iteration": 10, "iterations": 50, "loss": 0.5, "images_per_second": 1234.5}
    for seconds in (30, 29, 1, 59):
        clock["t"] += seconds
        shown(Event("progress", one, progress))
    assert out.getvalue().splitlines()[1:] == [
        "dense seed 0: train: epoch 2 of 5, loss 0.500, 1,234 images/s, about 4 min 0 s left"
    ]


def test_time_left_follows_the_pace_of_stages_of_the_same_name(clock: dict[str, float]) -> None:
    tasks = [task("dense", 0, "train", 100), task("dense", 0, "tune", 10), task("dense", 1, "train", 100)]
    shown, _ = display(tasks, members=2)
    assert shown.seconds_left() is None
    shown(Event("started", tasks[0]))
    shown(Event("progress", tasks[0], {"iteration": 5, "iterations": 10}))
    clock["t"] += 10  # half of 100 images in 10 s: 0.2 s an image, for tune too as long as nothing else is known
    assert shown.seconds_left() == pytest.approx(10 + 2 + 20)


def test_a_failure_and_a_wait_are_said_when_they_happen() -> None:
    one = task("sparse", 3, "finetune")
    shown, out = display([one], members=1)
    shown(Event("started", one))
    shown(Event("waiting", one))
    shown(Event("failed", one, {"error": "the loss is nan"}))
    assert "sparse seed 3: finetune: another run is at it; waiting" in out.getvalue()
    assert "failed: sparse seed 3: finetune (the error stands at the end)" in out.getvalue()


def test_pruning_says_nothing_of_how_long_training_takes(clock: dict[str, float]) -> None:
    prune, tune = task("sparse", 0, "prune", 0), task("sparse", 0, "tune", 8000)
    shown, _ = display([prune, tune], members=1)
    shown(Event("started", prune))
    clock["t"] += 0.1
    shown(Event("done", prune))
    assert shown.seconds_left() is None


def test_a_stage_that_goes_on_is_said_and_its_pace_is_that_of_this_run(clock: dict[str, float]) -> None:
    one = task("dense", 0, "train")
    shown, out = display([one], members=1)
    shown(Event("started", one))
    shown(Event("progress", one, {"epoch": 8, "epochs": 10, "resumed": 0.8}))
    assert "dense seed 0: train: goes on after epoch 8 of 10" in out.getvalue()
    clock["t"] += 5
    shown(Event("progress", one, {"iteration": 90, "iterations": 100}))
    assert shown.seconds_left() == pytest.approx(5)


def preparing(what: str, done: int, total: int | None) -> Event:
    return Event("preparing", data={"what": what, "done": done, "total": total})


def test_preparations_are_a_line_at_the_start_every_ten_seconds_and_at_the_end(clock: dict[str, float]) -> None:
    shown, out = display([], members=0)
    out.truncate(0)
    for done in range(0, 60_001, 1000):  # 1,000 images in half a second
        shown(preparing("decoding images", done, 60_000))
        clock["t"] += 0.5
    assert [line.strip("\0") for line in out.getvalue().splitlines()] == [
        "decoding images (60,000)",
        "decoding images: 33 %, about 20 s left",
        "decoding images: 67 %, about 10 s left",
        "decoding images: done in 30 s",
    ]


def test_preparations_of_unknown_length_say_how_long_they_have_taken(clock: dict[str, float]) -> None:
    shown = Display()
    shown.console = Console(file=(out := io.StringIO()), width=200)
    shown(preparing("downloading", 0, None))
    clock["t"] += 12
    shown(preparing("downloading", 5000, None))
    shown(preparing("waiting for another run", 0, None))
    clock["t"] += 2
    shown(Event("planned", data={"tasks": [], "members": []}))
    assert out.getvalue().splitlines() == [
        "downloading",
        "downloading: 5,000, 12 s so far",
        "downloading: done in 12 s",
        "waiting for another run",
        "0 members, 0 of them in the store already",
    ]


def test_on_a_terminal_preparations_are_one_line_with_a_bar(clock: dict[str, float]) -> None:
    shown = Display()
    shown.console = Console(file=(out := io.StringIO()), width=60, force_terminal=True, color_system=None)
    with shown:
        shown(preparing("decoding images", 0, 100))
        clock["t"] += 3
        shown(preparing("decoding images", 25, 100))
        assert shown.live is not None
        out.truncate(0)
        shown.console.print(shown._render())
        assert "decoding images: 25 %, about 9 s left" in out.getvalue()
        assert "━" in out.getvalue()
        shown(preparing("decoding images", 100, 100))
    assert "decoding images: done in 3 s" in out.getvalue()


def test_what_a_plugin_warns_of_is_a_notice_without_its_code(recwarn: pytest.WarningsRecorder) -> None:
    usual = warnings.showwarning
    shown = Display()
    shown.console = Console(file=(out := io.StringIO()), width=200)
    with shown:
        warnings.warn("2 broken images left out", stacklevel=1)
    assert out.getvalue() == "notice: 2 broken images left out\n"
    assert warnings.showwarning is usual


def test_the_live_table_shows_what_each_running_member_does(clock: dict[str, float]) -> None:
    one = task("dense", 0, "encoder")
    shown, out = display([one], members=1)
    shown(Event("started", one))
    data = {"epoch": 3, "epochs": 30, "iteration": 12, "iterations": 120, "loss": 4.5, "images_per_second": 1234.5}
    shown(Event("progress", one, data))
    shown.console.print(shown._render())
    text = out.getvalue()
    for piece in ("0 of 1 members done", "dense 0", "encoder", "3/30", "4.500", "–", "1,234"):
        assert piece in text
