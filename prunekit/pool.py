"""Processes that do stages and observations, and what they tell of them."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prunekit.progress import listening
from prunekit.worker import Setup

# glibc hands memory back after every step without these, and faults it in again (2× at large batches).
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


OBSERVE = "observe"


@dataclass(eq=False)
class Task:
    """A stage or an observation of one member."""

    population: str
    seed: int
    stage: str
    """Name of the stage, or ``OBSERVE``."""
    message: dict[str, Any]
    """What the worker is told."""
    cost: float
    """Images that pass through the network: for the time left."""
    key: str
    needs: str | None = None
    """Key of the stage that must be finished before."""

    @classmethod
    def observation(
        cls, population: str, seed: int, key: str, split: str, cost: float, measures: list[Any], *, base: bool
    ) -> Task:
        """Return the observation of the member with that key, by ``measures``, and of what all have if ``base``."""
        message = {"task": OBSERVE, "key": key, "seed": seed, "split": split, "base": base, "measures": measures}
        return cls(population, seed, OBSERVE, message, cost, f"observe {key}", needs=key)

    @property
    def label(self) -> str:
        """``sparse seed 3: finetune``."""
        return f"{self.population} seed {self.seed}: {self.stage}"


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    kind: Literal[
        "preparing", "planned", "started", "progress", "epoch", "waiting", "done", "failed", "skipped", "notice"
    ]
    task: Task | None = None
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


@contextmanager
def preparing(tell: Listener) -> Iterator[None]:
    """Pass on how far data are that are downloaded or decoded meanwhile."""

    def hear(what: str, done: int, total: int | None) -> None:
        tell(Event("preparing", data={"what": what, "done": done, "total": total}))

    with listening(hear):
        yield


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that worker processes have beside those of the caller."""
    return {
        **_ALLOCATOR,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS does not give the same bits twice
    }


class _WorkerProcess:
    """A worker and the thread that reads its events."""

    def __init__(self, number: int, setup: Setup, log: Path, inbox: queue.Queue[Any]) -> None:
        self.task: Task | None = None
        self.ready = False
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                # -P: no file of the working folder stands in for a module
                [sys.executable, "-P", "-m", "prunekit.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **worker_environment(setup.threads)},
                text=True,
                bufsize=1,
            )
        threading.Thread(target=self._read, args=(inbox,), daemon=True, name=f"worker {number}").start()
        self.send(setup.model_dump())

    def _read(self, inbox: queue.Queue[Any]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # it died as it wrote
            inbox.put((self, json.loads(line)))
        inbox.put((self, {"event": "exit", "code": self.process.wait()}))

    def send(self, message: dict[str, Any]) -> None:
        """Tell the worker something; a dead one is noticed by its exit."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return


class Pool:
    """Hands tasks to workers as what they need is finished."""

    def __init__(self, setup: Setup, tasks: Sequence[Task], jobs: int, log: Path, tell: Listener) -> None:
        self.setup, self.jobs, self.log, self.tell = setup, jobs, log, tell
        self.pending = list(tasks)
        self.unfinished = {task.key for task in tasks}
        self.failed: set[str] = set()
        self.failures: dict[str, str] = {}
        self.skipped: list[str] = []
        self.done = 0
        self.workers: list[_WorkerProcess] = []
        self.started = 0
        self.inbox: queue.Queue[tuple[_WorkerProcess, dict[str, Any]]] = queue.Queue()

    def run(self) -> None:
        """Work until nothing is left; end the workers whatever happens."""
        try:
            self._assign()
            while any(worker.task for worker in self.workers):
                worker, event = self.inbox.get()
                self._handle(worker, event)
                self._assign()
        finally:
            for worker in self.workers:  # at once: what they had finished is stored
                worker.process.kill()
            for worker in self.workers:
                worker.process.wait()

    def _ready(self) -> Task | None:
        """Return the next task whose parent is finished; drop those whose parent failed."""
        for task in list(self.pending):
            if task.needs in self.failed:
                self.pending.remove(task)
                self.failed.add(task.key)
                self.skipped.append(task.label)
                self.tell(Event("skipped", task))
        return next((task for task in self.pending if task.needs not in self.unfinished), None)

    def _assign(self) -> None:
        while (task := self._ready()) is not None:
            worker = next((each for each in self.workers if each.task is None), None)
            if worker is None:
                if len(self.workers) >= self.jobs:
                    return
                self.started += 1
                worker = _WorkerProcess(self.started, self.setup, self.log, self.inbox)
                self.workers.append(worker)
            self.pending.remove(task)
            worker.task = task
            worker.send(task.message)
            if worker.ready:
                self.tell(Event("started", task))

    def _handle(self, worker: _WorkerProcess, event: dict[str, Any]) -> None:
        kind, task = event.pop("event"), worker.task
        if kind == "ready":
            worker.ready = True
            self.tell(Event("started", task))
        elif kind == "exit":
            if worker in self.workers:
                self.workers.remove(worker)
            if task is not None:
                self._fail(task, _death(event["code"], self.log))
        elif kind in ("done", "failed") and task is not None:
            worker.task = None
            if kind == "failed":
                self._fail(task, event["error"], event.get("refused", False))
            else:
                self.unfinished.discard(task.key)
                self.done += 1
                self.tell(Event("done", task))
        elif kind in ("progress", "epoch", "waiting", "notice"):
            self.tell(Event(kind, task, event))

    def _fail(self, task: Task, error: str, refused: bool = False) -> None:
        self.failed.add(task.key)
        self.unfinished.discard(task.key)
        self.failures[task.label] = error
        self.tell(Event("failed", task, {"error": error, "refused": refused}))


def _death(code: int, log: Path) -> str:
    """Say how a worker ended that should not have."""
    if code < 0:
        return f"its process was killed by signal {-code}" + (" (out of memory?)" if code == -9 else "")
    return f"its process ended with code {code}; its last words are in {log}"
