"""Observes the members of a stored study once more: what a measure that its recipe did not name wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prunekit.capacity import choose_device, default_jobs
from prunekit.errors import InputError, PrunekitError
from prunekit.pool import OBSERVE, Event, Listener, Pool, Task
from prunekit.progress import listening
from prunekit.protocols import Dataset, Measure
from prunekit.registry import Registry, registry
from prunekit.stages import as_recipe, plugin
from prunekit.store import Store
from prunekit.study import observers
from prunekit.worker import Setup


def observe(
    store: Store,
    plan: dict[str, Any],
    measures: Sequence[Measure],
    known: Registry,
    *,
    jobs: int | None = None,
    listener: Listener | None = None,
) -> None:
    """Let ``measures`` observe the finished members of the study with that plan, where the store lacks it.

    Computes from stored weights alone; nothing is trained. ``known`` holds the measures' plugins. Raises InputError
    where the data are not there, or are not those that the members were trained on, PrunekitError where a measure
    fails, naming the first member.
    """
    tasks = _tasks(store, plan, measures, known)
    if not tasks:
        return
    tell = listener or (lambda event: None)
    recipe = store.load_recipe(plan["identity"])
    files = list(dict.fromkeys([*map(Path, plan.get("plugin_files", plan["plugins"])), *known.files]))
    everything = registry.with_files(files)
    fingerprint = _fingerprint(plan, plugin("dataset", recipe["data"], everything), tell)
    tell(Event("planned", data={"tasks": tasks, "members": []}))
    device, threads = choose_device(None), recipe.get("threads", 1)
    setup = Setup(
        store=str(store.root.resolve()),
        device=device,
        threads=threads,
        files={str(file): digest for file, digest in everything.files.items()},
        data=recipe["data"],
        fingerprint=fingerprint,
        model=recipe["model"],
    )
    log = store.study_folder(plan["identity"]) / "workers.log"
    pool = Pool(setup, tasks, jobs or default_jobs(device, threads), log, tell)
    pool.run()
    for label, error in pool.failures.items():
        raise PrunekitError(f"{label}: {error} (log: {log})")


def _tasks(store: Store, plan: dict[str, Any], measures: Sequence[Measure], known: Registry) -> list[Task]:
    split = plan["data"]["split"]
    cost = float(plan["data"]["examples"])
    tasks: dict[str, Task] = {}
    for population, block in plan["populations"].items():
        for rank, (seed, keys) in enumerate(block["members"].items()):
            key = keys[-1]
            if store.find_observation(key, split) is None:
                continue  # not finished: the report leaves it out, too
            missing = [
                as_recipe(measure)
                for measure, name in observers(measures, rank, known)
                if store.find_observation(key, split, name) is None
            ]
            message = {"key": key, "seed": int(seed), "split": split, "base": False, "measures": missing}
            if missing:  # populations may share a member
                task = Task(population, int(seed), OBSERVE, {"task": OBSERVE, **message}, cost, key)
                tasks.setdefault(key, task)
    return list(tasks.values())


def _fingerprint(plan: dict[str, Any], data: Dataset, tell: Listener) -> str:
    """Return the fingerprint of the data, decoded if need be. Raises InputError unless the members saw the same."""

    def hear(what: str, done: int, total: int | None) -> None:
        tell(Event("preparing", data={"what": what, "done": done, "total": total}))

    found = data.fingerprint()
    if found is None:
        with listening(hear):
            data.load()
        found = data.fingerprint()
    if found is None or found != plan["data"].get("fingerprint", found):
        raise InputError(f"the data of {data.name} are not those that the members of {plan['study']} were trained on")
    return found
