"""One process that does stages and observations: tasks come as JSON lines on stdin, events leave as JSON lines.

    python -m prunekit.worker

The first line is the :class:`Setup`. Every other line is a task; its last event is ``done`` or ``failed``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from prunekit.errors import InputError, PrunekitError
from prunekit.estimates import Stopwatch, circumstances
from prunekit.images import DataSummary
from prunekit.observations import checked_columns, checked_note
from prunekit.protocols import Backbone, Dataset, Measure, Options
from prunekit.registry import line_in, registry
from prunekit.stages import GivenStage, PruneStage, Stage, TrainStage, plugin, stage_kind
from prunekit.store import DamagedError, Store, StoredStage, digest, is_whole
from prunekit.study import columns_of

Emit = Callable[[dict[str, Any]], None]


class Setup(Options):
    """What all tasks of a worker share."""

    store: str
    device: str
    threads: int
    files: dict[str, str]
    """Plugin files and the digests that the keys of the tasks were made with."""
    data: Any
    fingerprint: str
    """What the data must be: the keys of the tasks were made with it."""
    model: Any


class Worker:
    """Does tasks, one after the other."""

    def __init__(self, setup: Setup, emit: Emit) -> None:
        self.setup, self.emit = setup, emit
        self.store = Store(Path(setup.store))
        self.registry = registry.with_files([Path(file) for file in setup.files])
        for file, expected in setup.files.items():
            if self.registry.files[Path(file)] != expected:
                raise PrunekitError(f"{file}: was edited since the run began: run it again")
        self.dataset: Dataset = plugin("dataset", setup.data, self.registry)
        self.backbone: Backbone = plugin("backbone", setup.model, self.registry)
        self._watch = Stopwatch()

    @cached_property
    def summary(self) -> DataSummary:
        """What is known of the data set without decoding it."""
        return self.dataset.describe()

    @cached_property
    def data(self) -> Any:
        """The data set, on the device; decoded when first needed."""
        from prunekit.data import DeviceData

        images = self.dataset.load()
        if self.dataset.fingerprint() != self.setup.fingerprint:
            raise PrunekitError(f"the data of {self.dataset.name} changed since the run began: run it again")
        return DeviceData(images, self.setup.device, self.backbone.normalisation)

    @cached_property
    def circumstances(self) -> dict[str, Any]:
        """What the times that are recorded depend on."""
        setup = self.setup
        return circumstances(setup.device, setup.threads, setup.model, setup.fingerprint)

    def do(self, task: dict[str, Any]) -> None:
        """Do one task."""
        if task["task"] == "stage":
            self._stage(task)
        else:
            self._observe(task)

    # ------------------------------------------------------------------------------------------------------- stages

    def _stage(self, task: dict[str, Any]) -> None:
        key = task["key"]
        with self.store.locked(key, waiting=lambda: self.emit({"event": "waiting"})):
            if not is_whole(self.store.check_stage, key):  # another run may have finished it by now
                self._run_stage(key, task)

    def _run_stage(self, key: str, task: dict[str, Any]) -> None:
        from prunekit.outcome import StageContext

        kind = stage_kind(task["stage"])
        assert kind is not None  # who plans has validated it
        stage: Stage = kind.model_validate(task["stage"], context={"registry": self.registry})
        watch = self._watch = Stopwatch()
        member = self._member(task["seed"], task["parent"], weights=not isinstance(stage, GivenStage))
        context = StageContext(member_seed=task["seed"], ordinal=task["ordinal"], device=self.setup.device)
        outcome = self._outcome(key, member, stage, context, task)
        updates = None if isinstance(stage, TrainStage) else len(outcome.updates)
        record = {
            "seed": task["seed"],
            "ordinal": task["ordinal"],
            "stage": task["stage"],
            "parent": task["parent"],
            "zeros": _zeros(member.network, outcome.masks),
            "timed": {**watch.read(updates), "at": self.circumstances},
            "made_on": member.made_on,
        }
        if emptied := [name for name, mask in outcome.masks.items() if not mask.any()]:
            self.emit({"event": "notice", "text": f"nothing is left of {', '.join(emptied)}"})
        weights = dict(member.network.state_dict())
        history = {
            "epochs": outcome.history,
            "updates": [vars(update) for update in outcome.updates],
            "selected": outcome.selected,
        }
        self.store.save_stage(key, StoredStage(weights, outcome.masks, record, outcome.kept, outcome.rounds), history)

    def _outcome(self, key: str, member: _Member, stage: Stage, context: Any, task: dict[str, Any]) -> Any:
        """Do what the stage says to the member's network."""
        from prunekit.pruning import prune, rewind

        if isinstance(stage, TrainStage):
            return self._train(key, member, stage, context)
        if isinstance(stage, PruneStage):
            return prune(member.network, stage, self.data, context, masks=member.masks)
        if isinstance(stage, GivenStage):
            return self._import(member.network, Path(task["file"]["path"]), task["file"]["digest"])
        weights = self._weights_at(task["seed"], task["point"], stage.point[1])
        return rewind(member.network, weights, context, masks=member.masks)

    def _import(self, network: Any, path: Path, expected: str) -> Any:
        """Load weights that were made elsewhere. What is zero in them counts as pruned, and stays it."""
        from prunekit.given import digest_of
        from prunekit.masks import zeros_of
        from prunekit.network import load_checkpoint
        from prunekit.outcome import StageOutcome

        if digest_of(path) != expected:
            raise PrunekitError(f"{path}: was changed since the run began: run it again")
        load_checkpoint(network, self.backbone, self.summary, path)
        return StageOutcome(zeros_of(network))

    def _weights_at(self, seed: int, key: str | None, time: str | None) -> dict[str, Any]:
        """Return the weights before the first stage, at the end of the stage with that key, or at a time in it."""
        if key is None:
            return dict(self._member(seed, None).network.state_dict())
        return self.store.load_stage(key).weights if time is None else self.store.load_kept(key, time)

    def _train(self, key: str, member: _Member, stage: TrainStage, context: Any) -> Any:
        """Train a stage from its last finished epoch, keeping every further one."""
        from prunekit.checkpoint import Checkpoint
        from prunekit.training import train

        resume = None
        try:
            found = self.store.load_checkpoint(key)
        except DamagedError as error:
            self.emit({"event": "notice", "text": f"{error}: the stage starts again"})
            found = None
        if found is not None:
            resume = Checkpoint(*found)
            member.made_on = _united(resume.meta["made_on"], member.made_on)
            done = resume.meta["epoch"]
            self.emit({"event": "progress", "epoch": done, "epochs": stage.epochs, "resumed": done / stage.epochs})

        def keep(checkpoint: Checkpoint, epoch: dict[str, Any]) -> None:
            self.store.save_checkpoint(key, checkpoint.tensors, {**checkpoint.meta, "made_on": member.made_on})
            self._watch.lap()
            self.emit({"event": "epoch", **epoch})

        def tell(progress: dict[str, Any]) -> None:
            self.emit({"event": "progress", **progress})

        return train(
            member.network,
            stage,
            self.data,
            context,
            masks=member.masks,
            resume=resume,
            on_epoch=keep,
            on_progress=tell,
        )

    def _member(self, seed: int, key: str | None, *, weights: bool = True) -> _Member:
        """Return a member at the end of a stage, or before the first one, perhaps with its backbone's ``weights``."""
        from prunekit.network import build_network

        here = [machine(self.setup.device)]
        network = build_network(self.backbone, self.summary, seed, weights=weights and key is None)
        network.to(self.setup.device)
        if key is None:
            return _Member(network, {}, here)
        stage = self.store.load_stage(key)
        network.load_state_dict(stage.weights)
        masks = {name: mask.to(self.setup.device) for name, mask in stage.masks.items()}
        return _Member(network, masks, _united(stage.record["made_on"], here))

    # ------------------------------------------------------------------------------------------------- observations

    def _observe(self, task: dict[str, Any]) -> None:
        key, split, check = task["key"], task["split"], self.store.check_observation
        asked: list[Measure] = [plugin("measure", each, self.registry) for each in task["measures"]]
        with self.store.locked(key, waiting=lambda: self.emit({"event": "waiting"})):
            base = task["base"] and not is_whole(check, key, split)
            named = [(columns_of(measure, self.registry), measure) for measure in asked]
            measures = [(name, measure) for name, measure in named if not is_whole(check, key, split, name)]
            if base or measures:
                self._run_observation(key, split, task["seed"], measures, base=base)

    def _run_observation(
        self, key: str, split: str, seed: int, measures: Sequence[tuple[str | None, Measure]], *, base: bool
    ) -> None:
        from prunekit.network import base_columns
        from prunekit.outcome import deterministic

        watch = Stopwatch()
        member = self._member(seed, key)
        observed = self._observed(seed, key, member, split)
        examples = getattr(self.data.source, split)
        record = {
            "seed": seed,
            "examples": len(examples.ids),
            "ids": digest(list(examples.ids)),
            "classes": list(self.data.source.classes),
            "zeros": _zeros(member.network, member.masks),
            "made_on": member.made_on,
            "emptied": [name for name, mask in member.masks.items() if not mask.any()],
        }
        with deterministic():
            if base:
                names = {"example_id": list(examples.ids), "label": examples.labels}
                columns = {**names, **base_columns(observed.logits(), examples.labels)}
                self.store.save_observation(key, split, columns, {**record, **self._timed(watch, None)})
            for name, measure in measures:
                watch = Stopwatch()
                columns = checked_columns(measure, measure.observe(observed), len(examples.ids))
                note = checked_note(measure, measure.note(observed)) if measure.notes else {}
                timed = self._timed(watch, measure.name)
                self.store.save_observation(key, split, columns, {**record, **note, **timed}, name)

    def _timed(self, watch: Stopwatch, measure: str | None) -> dict[str, Any]:
        return {"timed": {**watch.read(), "measure": measure, "at": self.circumstances}}

    def _observed(self, seed: int, key: str, member: _Member, split: Any) -> Any:
        """Return the member as measures see it, with the stages that it went through."""
        from prunekit.network import ObservedNetwork, build_network
        from prunekit.past import StoredPastStage

        def load(weights: dict[str, Any]) -> ObservedNetwork:
            network = build_network(self.backbone, self.summary, seed, weights=False)
            network.load_state_dict(weights)
            return ObservedNetwork(network, self.data, split)

        def past() -> list[StoredPastStage]:
            lineage: list[StoredPastStage] = []
            here: str | None = key
            while here is not None:
                stage = StoredPastStage.read(self.store, here, load, lambda point: self._weights_at(seed, point, None))
                lineage.insert(0, stage)
                here = stage.parent
            return lineage

        return ObservedNetwork(member.network, self.data, split, past)


@dataclass
class _Member:
    """A member somewhere in its lineage."""

    network: Any
    masks: dict[str, Any]
    made_on: list[dict[str, str]]
    """The kinds of machine that have had a part in it."""


def machine(device: str) -> dict[str, str]:
    """Return what a result is made on: recorded, but no part of its key."""
    import platform

    import torch

    import prunekit

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    kind = device.partition(":")[0]
    return {"device": kind, "name": name, "torch": torch.__version__, "prunekit": prunekit.__version__}


def _united(some: list[dict[str, str]], others: list[dict[str, str]]) -> list[dict[str, str]]:
    return some + [each for each in others if each not in some]


def _zeros(network: Any, masks: dict[str, Any]) -> dict[str, int]:
    """Count the zeros of the weights of convolutions and linear layers and of whatever else is masked."""
    from prunekit.masks import count_zeros, find_targets
    from prunekit.protocols import TargetSelection

    everything = TargetSelection(parameters=["weight", "bias"])
    usual = {target.name for target in find_targets(network, TargetSelection())}
    counted = [t for t in find_targets(network, everything) if t.name in usual or t.name in masks]
    zeros, total = count_zeros(counted)
    return {"zeros": zeros, "total": total}


def prepare_torch(device: str, threads: int) -> None:
    """Set what the bits of results depend on, for the whole process."""
    import torch

    torch.set_num_threads(threads)
    if device.startswith("cuda"):
        torch.use_deterministic_algorithms(True, warn_only=True)  # the log then names what has no such algorithm
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs a kernel each


def serve(lines: TextIO, emit: Emit) -> None:
    """Do the tasks of ``lines`` until they end."""
    setup = Setup.model_validate_json(lines.readline())
    prepare_torch(setup.device, setup.threads)
    worker: Worker | None = None
    for line in lines:
        try:
            if worker is None:
                worker = Worker(setup, emit)
                emit({"event": "ready"})
            worker.do(json.loads(line))
        except BrokenPipeError:
            raise
        except PrunekitError as error:
            emit({"event": "failed", "error": str(error), "refused": isinstance(error, InputError)})
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a member that fails leaves the others running)
            traceback.print_exc()  # to the log
            places = [f"{file}{line}: " for file in setup.files if (line := line_in(error, Path(file)))]
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            emit({"event": "failed", "error": (places or [""])[0] + text})
        else:
            emit({"event": "done"})


def main() -> None:
    """Serve stdin; exit silently when whoever asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all; whoever asked ends us
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no event

    def emit(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin, emit)
    os._exit(0)  # skips the flush of a pipe that may be broken, and nothing else is open


if __name__ == "__main__":
    main()
