"""Observes the members of a stored study once more: what a measure that its recipe did not name wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunekit.capacity import choose_device, default_jobs
from prunekit.errors import InputError, PrunekitError
from prunekit.plans import is_predicted, shown_seeds
from prunekit.pool import Event, Listener, Pool, Task, preparing
from prunekit.protocols import Dataset, Measure, Options
from prunekit.registry import Registry, registry
from prunekit.sharing import at_work, lineages
from prunekit.stages import as_recipe, plugin
from prunekit.store import Store, is_whole
from prunekit.study import observers, versions
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
    where the data are not there, or are not those that the members were trained on, or where the code of model or data
    has changed since, PrunekitError where a measure fails, naming the first member.
    """
    members = _finished(store, plan)
    tasks = _tasks(store, plan, members, measures, known)
    if not tasks:
        return
    tell = listener or (lambda event: None)
    recipe = store.load_recipe(plan["identity"])
    everything = registry.with_files([*map(Path, plan.get("plugin_files", plan["plugins"])), *known.files])
    data: Dataset = plugin("dataset", recipe["data"], everything)
    _check_versions(plan, [plugin("backbone", recipe["model"], everything), data], everything)
    fingerprint = _fingerprint(plan, data, tell)
    tell(Event("planned", data={"tasks": tasks, "members": members}))
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

    def hear(event: Event) -> None:
        if event.kind == "failed" and event.task is not None:  # what fails for one member would for all: it ends here
            error = event.data["error"]
            raise (
                InputError(error)
                if event.data["refused"]
                else PrunekitError(f"{event.task.label}: {error} (log: {log})")
            )
        tell(event)

    with at_work(store, plan["identity"], lineages(plan)):
        Pool(setup, tasks, jobs or default_jobs(device, threads), log, hear).run()


@dataclass(frozen=True)
class _Finished:
    """A member at the end of its stages."""

    population: str
    seed: int
    rank: int
    """Its place among the seeds that a report shows."""
    key: str


def _finished(store: Store, plan: dict[str, Any]) -> list[_Finished]:
    """Return the networks that a report shows."""
    split = plan["data"]["split"]
    keys = {
        population: {
            int(seed): stages[-1]
            for seed, stages in block["members"].items()
            if store.find_observation(stages[-1], split) is not None
        }
        for population, block in plan["populations"].items()
        if not is_predicted(plan, population)
    }
    return [
        _Finished(population, seed, rank, keys[population][seed])
        for population, seeds in shown_seeds(plan, keys).items()
        for rank, seed in enumerate(seeds)
    ]


def _tasks(
    store: Store, plan: dict[str, Any], members: Sequence[_Finished], measures: Sequence[Measure], known: Registry
) -> list[Task]:
    split, cost = plan["data"]["split"], float(plan["data"]["examples"])
    tasks: dict[str, Task] = {}
    for member in members:
        missing = [
            as_recipe(measure)
            for measure, name in observers(measures, member.rank, known)
            if not is_whole(store.check_observation, member.key, split, name)
        ]
        if missing:  # populations may share a member
            task = Task.observation(member.population, member.seed, member.key, split, cost, missing, base=False)
            tasks.setdefault(member.key, task)
    return list(tasks.values())


def _check_versions(plan: dict[str, Any], plugins: list[Options], known: Registry) -> None:
    """Raise InputError where a plugin is another one now: its members' weights would say something else in it."""
    now = versions(plugins, known)
    then = plan.get("versions", now)  # older plans do not tell
    changed = [plugin for plugin in sorted({*then, *now}) if then.get(plugin) != now.get(plugin)]
    if changed:
        kind, _, name = changed[0].partition(" ")
        raise InputError(
            f"the {kind} {name!r} is not as it was when the members of {plan['study']} were trained (its code or its "
            "version has changed): `prunekit run` the recipe again"
        )


def _fingerprint(plan: dict[str, Any], data: Dataset, tell: Listener) -> str:
    """Return the fingerprint of the data, decoded if need be. Raises InputError unless the members saw the same."""
    found = data.fingerprint()
    if found is None:
        with preparing(tell):
            data.load()
        found = data.fingerprint()
    if found is None or found != plan["data"].get("fingerprint", found):
        raise InputError(f"the data of {data.name} are not those that the members of {plan['study']} were trained on")
    return found
