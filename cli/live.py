"""What ``prunekit run`` shows while it works: a live table on a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prunekit.pool import Event, Task

LEAST_SHARE = 0.05
"""Share of a task that must be done before its pace says something."""
SECONDS_PER_LINE = 10
"""Where there is no terminal: between two lines on how far preparations have come."""
SECONDS_PER_STAGE_LINE = 60
"""Likewise between two lines about a stage under way."""


@dataclass
class _Preparation:
    """Work before the stages, such as decoding the images, in units of its own."""

    what: str
    total: int | None
    begun: float
    said: float
    """When a line was last printed."""
    done: int = 0

    @property
    def title(self) -> str:
        """``decoding images (60,000)``."""
        return self.what + ("" if self.total is None else f" ({self.total:,})")

    @property
    def share(self) -> float:
        """Share that is done, 0 where nobody knows the whole."""
        return self.done / self.total if self.total else 0.0

    def line(self, now: float) -> str:
        """``decoding images: 41 %, about 9 s left``."""
        if not self.total:
            return self.what + (f": {self.done:,}" if self.done else "") + f", {duration(now - self.begun)} so far"
        left = (now - self.begun) * (1 / self.share - 1) if self.share > LEAST_SHARE else None
        return f"{self.what}: {self.share:.0%}".replace("%", " %") + (f", about {duration(left)} left" if left else "")


@dataclass
class _Running:
    started: float
    said: float
    """When a line was last printed about it."""
    data: dict[str, Any] = field(default_factory=dict)
    waiting: bool = False

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the task still takes at its own pace; None while too little of it is done to tell."""
        pace = self.seconds_per_share
        return None if pace is None else pace * (1 - self.share)

    @property
    def resumed(self) -> float:
        """Share that an earlier run had done."""
        return float(self.data.get("resumed", 0))

    @property
    def seconds_per_share(self) -> float | None:
        """Seconds that the whole task takes at its pace so far; None while too little is done to tell."""
        done = self.share - self.resumed
        return (time.monotonic() - self.started) / done if done > LEAST_SHARE else None

    @property
    def share(self) -> float:
        """Share of the task that is done."""
        return float(self.data.get("iteration", 0) / max(1, self.data.get("iterations", 1))) or self.resumed


class Display:
    """A listener of the runner."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.live: Live | None = None
        self.tasks: list[Task] = []
        self.members: list[Any] = []
        self.running: dict[Task, _Running] = {}
        self.finished: dict[Task, float] = {}
        """Seconds that each finished task takes as a whole."""
        self.given_up: set[Task] = set()
        self.begun = time.monotonic()
        self.preparation: _Preparation | None = None
        self._usual_warning = warnings.showwarning

    def __enter__(self) -> Display:
        warnings.showwarning = self._warn
        if self.console.is_terminal:
            self.live = Live(console=self.console, get_renderable=self._render, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        warnings.showwarning = self._usual_warning
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        task = event.task
        if event.kind == "preparing":
            self._prepare(**event.data)
        elif event.kind == "planned":
            self._prepared()
            self.tasks, self.members = event.data["tasks"], event.data["members"]
            self.begun = time.monotonic()
            left = len({(each.population, each.seed) for each in self.tasks})
            members = f"{len(self.members)} member{'s' * (len(self.members) != 1)}"
            self._say(f"{members}, {len(self.members) - left} of them in the store already")
        elif event.kind == "notice":
            self._say(f"notice: {task.label + ': ' if task else ''}{event.data['text']}")
        elif task is None:
            return
        elif event.kind == "started":
            self.running[task] = _Running(time.monotonic(), time.monotonic())
        elif event.kind == "waiting":
            self.running[task].waiting = True
            self._say(f"{task.label}: another run is at it; waiting")
        elif event.kind in ("progress", "epoch"):
            self.running[task].data.update(event.data)
            self.running[task].waiting = False
            if "resumed" in event.data:
                self._say(f"{task.label}: goes on after epoch {event.data['epoch']} of {event.data['epochs']}")
            self._say_now_and_then(task, self.running[task])
        elif event.kind == "done":
            self._done(task)
        elif event.kind in ("failed", "skipped"):
            self.running.pop(task, None)
            self.given_up.add(task)
            if event.kind == "failed":
                self._say(f"failed: {task.label} (the error stands at the end)")

    def _prepare(self, what: str, done: int, total: int | None) -> None:
        now, current = time.monotonic(), self.preparation
        if current is None or what != current.what or done < current.done:
            self._prepared()
            self.preparation = current = _Preparation(what, total, now, now)
            if self.live is None:
                self._say(current.title)
        current.done = done
        if done == total:
            self._prepared()
        elif self.live is None and now - current.said >= SECONDS_PER_LINE:
            current.said = now
            self._say(current.line(now))

    def _prepared(self) -> None:
        """Say how long the preparation took that is over now; of mere waiting nothing is said."""
        if self.preparation is not None and self.preparation.done:
            self._say(f"{self.preparation.what}: done in {duration(time.monotonic() - self.preparation.begun)}")
        self.preparation = None

    def _say_now_and_then(self, task: Task, running: _Running) -> None:
        """Where no table shows it, print how far a long stage is, once a minute."""
        now = time.monotonic()
        if self.live is None and now - running.said >= SECONDS_PER_STAGE_LINE:
            running.said = now
            epoch = f"epoch {running.data.get('epoch')} of {running.data.get('epochs')}"
            self._say(f"{task.label}: {', '.join([epoch, *_details(running.data)])}{self._left()}")

    def _done(self, task: Task) -> None:
        running = self.running.pop(task)
        seconds = time.monotonic() - running.started
        self.finished[task] = seconds / (1 - running.resumed)
        details = [f"{seconds:.1f} s", *_details(running.data)]
        if self.live is None:
            self._say(
                f"[{self._members_done()}/{len(self.members)} members] {task.label}: {', '.join(details)}{self._left()}"
            )

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Say what a plugin warns of, without the line of its code."""
        self._say(f"notice: {message}")

    def _members_done(self) -> int:
        open_tasks = {(task.population, task.seed) for task in self.tasks if task not in self.finished}
        return len(self.members) - len(open_tasks)

    def _left(self) -> str:
        seconds = self.seconds_left()
        return "" if seconds is None or seconds < 1 else f", about {duration(seconds)} left"

    def seconds_left(self) -> float | None:
        """Return the time left at the pace of this run: stages of a name take what their like took per image."""
        paces: dict[str, list[float]] = {}
        running = {task: each.seconds_per_share for task, each in self.running.items()}
        for task, seconds in [*self.finished.items(), *running.items()]:
            if seconds is not None and task.cost:  # pruning passes no images: its pace says nothing of others
                paces.setdefault(task.stage, []).append(seconds / task.cost)
        if not paces:
            return None
        pace_of = {stage: sum(each) / len(each) for stage, each in paces.items()}
        usual = sum(pace_of.values()) / len(pace_of)
        left = sum(
            task.cost * pace_of.get(task.stage, usual) * (1 - (self.running[task].share if task in self.running else 0))
            for task in self.tasks
            if task not in self.finished and task not in self.given_up
        )
        return left / max(1, len(self.running))

    def _render(self) -> Group:
        if self.preparation is not None:
            bar = ProgressBar(self.preparation.total, self.preparation.done, width=40, pulse=not self.preparation.total)
            return Group(Text(self.preparation.line(time.monotonic()), style="bold"), bar)
        table = Table(box=None, pad_edge=False)
        for column in ("member", "stage"):
            table.add_column(column)
        for column in ("epoch", "loss", "accuracy", "sparsity", "images/s", "left"):
            table.add_column(column, justify="right")
        for task, running in self.running.items():
            data = running.data
            epoch = "waiting" if running.waiting else _number(data.get("epoch"), ".0f") + f"/{data.get('epochs', '–')}"
            rate = _number(data.get("images_per_second"), ",.0f")
            left = "–" if running.seconds_left is None else duration(running.seconds_left)
            cells = [
                epoch,
                _number(data.get("loss"), ".3f"),
                _percent(data.get("accuracy")),
                _percent(data.get("sparsity")),
            ]
            table.add_row(f"{task.population} {task.seed}", task.stage, *cells, rate, left)
        done, total = self._members_done(), len(self.members)
        head = f"{done} of {total} members done, {duration(time.monotonic() - self.begun)} so far{self._left()}"
        return Group(Text(head, style="bold"), table)


def _details(data: dict[str, Any]) -> list[str]:
    """Return what is known of a stage."""
    shown = []
    if data.get("loss") is not None:
        shown.append(f"loss {data['loss']:.3f}")
    if data.get("accuracy") is not None:
        shown.append(f"accuracy {_percent(data['accuracy'])}")
    if data.get("sparsity"):
        shown.append(f"sparsity {_percent(data['sparsity'])}")
    if data.get("images_per_second"):
        shown.append(f"{data['images_per_second']:,.0f} images/s")
    return shown


def _number(value: float | None, layout: str) -> str:
    return "–" if value is None else format(value, layout)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """``2 min 5 s``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
