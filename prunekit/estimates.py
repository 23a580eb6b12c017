"""How long a run takes, told from what was measured before on this machine. What was not is unknown, never guessed."""

from __future__ import annotations

import heapq
import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from prunekit.capacity import available_cores
from prunekit.stages import TrainStage, as_recipe
from prunekit.store import DamagedError, Store
from prunekit.study import Member, PlannedStage, Study, observers


def circumstances(device: str, threads: int, model: Any, data: str | None) -> dict[str, Any]:
    """Return what must be the same for two times to compare: the machine, the model as a recipe has it, the data."""
    return {"machine": machine_name(device), "threads": threads, "model": model, "data": data}


def machine_name(device: str, system: Path = Path("/")) -> str:
    """``AMD EPYC 7R13, 2 cores``, with the name of the GPU where that is the device."""
    described = system / "proc/cpuinfo"
    found = re.search(r"^model name\s*: (.+)$", described.read_text(), re.MULTILINE) if described.exists() else None
    processor = found[1] if found else platform.processor() or platform.machine()
    name = f"{processor}, {available_cores()} cores"
    if device == "cpu":
        return name
    import torch

    return f"{name}, {torch.cuda.get_device_name(device)}"


class Stopwatch:
    """Measures a stage: its epochs one by one, and what it takes besides."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()
        self._laps: list[float] = []

    def lap(self) -> None:
        """An epoch has ended."""
        now = time.monotonic()
        self._laps.append(now - self._last)
        self._last = now

    def read(self, updates: int | None = None) -> dict[str, float]:
        """Return ``seconds``, those of a ``unit`` and the ``rest``; seconds alone where no unit was measured.

        A unit is an epoch; where a stage has none, one of its ``updates``.
        """
        seconds = time.monotonic() - self._begun
        if self._laps:
            unit = statistics.median_low(self._laps)  # the first epoch of a process takes longer
            units = len(self._laps)
        elif updates is not None:
            unit, units = (seconds / updates, updates) if updates else (0.0, 0)
        else:
            return {"seconds": round(seconds, 4)}
        named = {"seconds": seconds, "unit": unit, "rest": max(0.0, seconds - units * unit)}
        return {name: round(value, 4) for name, value in named.items()}


@dataclass(frozen=True)
class Estimate:
    """How long a run takes."""

    seconds: float | None
    """Of what is known; None where nothing is."""
    jobs: int
    measurements: int
    """Stages and observations measured on this machine that it rests on."""
    tasks: int
    """Stages and observations that the store lacks."""
    unknown: list[str]
    """Stages like which nothing was measured here, ``dense: train``; what they take is not in ``seconds``."""


class Timings:
    """What was measured in a store under the circumstances of a study."""

    def __init__(self, study: Study, store: Store, device: str) -> None:
        self._study, self._store = study, store
        recipe = study.recipe
        self._here = circumstances(device, recipe.threads, as_recipe(recipe.backbone), study.fingerprint)
        self._used: set[Path] = set()

    def of(self, stage: PlannedStage) -> float | None:
        """Return the seconds that a stage takes; None where nothing like it was measured."""
        units = stage.options.epochs if isinstance(stage.options, TrainStage) else len(stage.updates)
        for kind in _kinds(as_recipe(stage.options)):
            if alike := self._stages.get(kind):
                self._used |= {path for path, _ in alike}
                unit, rest = (statistics.median(timed[name] for _, timed in alike) for name in ("unit", "rest"))
                return float(units * unit + rest)
        return None

    def observing(self, rank: int, lacking: Callable[[str | None], bool]) -> float | None:
        """Return the seconds that it takes to observe what is ``lacking`` of the member at ``rank`` by seed."""
        named = [(None, None), *self._observers(rank)]
        wanted = [measure for measure, name in named if lacking(name)]
        known = [self._observations.get(measure, []) for measure in wanted]
        if not all(known):
            return None
        self._used |= {path for alike in known for path, _ in alike}
        return float(sum(statistics.median(timed["seconds"] for _, timed in alike) for alike in known))

    def _observers(self, rank: int) -> Iterable[tuple[str, str]]:
        found = observers(self._study.recipe.measures, rank, self._study.source.registry)
        return [(measure.name, name) for measure, name in found]

    def estimate(self, split: str, jobs: int) -> Estimate:
        """Return how long the study takes in ``jobs`` processes that do what the store lacks."""
        tasks: dict[str, tuple[str | None, float]] = {}
        unknown: dict[str, None] = {}
        for member in self._study.members():
            for i, stage in enumerate(self._study.populations[member.population].lineage):
                key = member.keys[i] if member.keys else f"{member.population} {member.seed} {i}"
                if key not in tasks and not self._store.has_stage(key):
                    seconds = self.of(stage)
                    if seconds is None:
                        unknown[f"{stage.population}: {stage.name}"] = None
                    tasks[key] = (member.keys[i - 1] if i and member.keys else None, seconds or 0.0)
            if member.keys and not self._study.is_predicted(member.population):
                self._add_observation(member, split, tasks, unknown)
        known = not tasks or bool(self._used)
        return Estimate(_makespan(tasks, jobs) if known else None, jobs, len(self._used), len(tasks), list(unknown))

    def _add_observation(
        self, member: Member, split: str, tasks: dict[str, tuple[str | None, float]], unknown: dict[str, None]
    ) -> None:
        def lacking(name: str | None) -> bool:
            return not self._store.has_observation(member.key, split, name)

        rank = self._study.populations[member.population].members.index(member)
        if not any(lacking(name) for name in (None, *(name for _, name in self._observers(rank)))):
            return
        seconds = self.observing(rank, lacking)
        if seconds is None:
            unknown[f"{member.population}: observe"] = None
        tasks.setdefault(f"observe {member.key}", (member.key, seconds or 0.0))

    @cached_property
    def _stages(self) -> dict[str, list[tuple[Path, dict[str, float]]]]:
        """The times of stages, by what they were like."""
        found: dict[str, list[tuple[Path, dict[str, float]]]] = {}
        for path in self._store.root.glob("stages/*/stage.json"):
            record = self._measured(self._store.find_stage, path.parent.name)
            measured = "unit" in record.get("timed", {})  # not where a run went on after the last epoch
            for kind in _kinds(record["stage"]) if measured else ():
                found.setdefault(kind, []).append((path, record["timed"]))
        return found

    @cached_property
    def _observations(self) -> dict[str | None, list[tuple[Path, dict[str, float]]]]:
        """The times of observations, by the measure; None: what all members have."""
        found: dict[str | None, list[tuple[Path, dict[str, float]]]] = {}
        for path in self._store.root.glob("observations/*/*.json"):
            split, _, measure = path.stem.partition(".")
            record = self._measured(self._store.find_observation, path.parent.name, split, measure or None)
            if record:
                found.setdefault(record["timed"]["measure"], []).append((path, record["timed"]))
        return found

    def _measured(self, find: Callable[..., dict[str, Any] | None], *key: str | None) -> dict[str, Any]:
        """Return a record that was measured under the same circumstances; else an empty one."""
        try:
            record = find(*key) or {}
        except DamagedError:  # a run names it, and does it again
            return {}
        return record if record.get("timed", {}).get("at") == self._here else {}


def _kinds(stage: Mapping[str, Any]) -> list[str]:
    """Return what a stage is like, as far as its time depends on it: closely, then roughly."""

    def name(value: Any) -> Any:
        return value.get("name") if isinstance(value, Mapping) else value

    if "objective" in stage:
        pruning = stage.get("prune")
        rough: list[Any] = [stage.get(key) for key in ("objective", "augment", "only", "precision")]
        close = [*rough, stage.get("batch_size"), pruning and [name(pruning.get("criterion"))]]
        kinds = [close, rough]
    elif "schedule" in stage:
        kinds = [[stage.get("criterion"), stage.get("within")], [name(stage.get("criterion"))]]
    else:
        kinds = [["given" if "checkpoints" in stage else "rewind"]]
    return [json.dumps([len(kind), "objective" in stage, *kind], sort_keys=True) for kind in kinds]


def _makespan(tasks: Mapping[str, tuple[str | None, float]], jobs: int) -> float:
    """Return when the last of ``tasks`` (by key: what it waits for, its seconds) ends that ``jobs`` processes do."""
    waiting = list(tasks)
    running: list[tuple[float, str]] = []
    unfinished, now = set(tasks), 0.0
    while waiting or running:
        while len(running) < jobs and (key := _next(waiting, tasks, unfinished)) is not None:
            waiting.remove(key)
            heapq.heappush(running, (now + tasks[key][1], key))
        now, done = heapq.heappop(running)
        unfinished.remove(done)
    return now


def _next(waiting: Sequence[str], tasks: Mapping[str, tuple[str | None, float]], unfinished: set[str]) -> str | None:
    return next((key for key in waiting if tasks[key][0] not in unfinished), None)
