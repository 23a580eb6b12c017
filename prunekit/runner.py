"""Runs what the store lacks of a study, in processes; tells a listener how it goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit.capacity import choose_device, default_jobs, free_memory, memory_warning
from prunekit.errors import InputError, PrunekitError
from prunekit.outline import SPLIT, blueprint, check_checkpoints, count_targets, describe, estimate_disk
from prunekit.pool import OBSERVE, Event, Listener, Pool, Task, preparing
from prunekit.protocols import Measure
from prunekit.recipe import load
from prunekit.recording import record_predictions
from prunekit.sharing import Work, at_work, save_plan
from prunekit.stages import GivenStage, PruneStage, TrainStage, as_recipe
from prunekit.store import DamagedError, Store, default_root
from prunekit.study import Member, PlannedStage, Study, observers, resolve
from prunekit.worker import Setup

if TYPE_CHECKING:
    from prunekit.network import Network


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    study: str
    """Identity of the study in the store."""
    store: Path
    members: int
    done: int
    """Stages and observations (not members) that this run did; 0 where the store had them all."""
    failures: dict[str, str]
    """Error by ``population seed N: stage``."""
    skipped: list[str]
    """What was not done because what it starts from failed."""
    log: Path
    """What the processes wrote to their standard error: warnings, and tracebacks of failures."""


def run(
    recipe: str | Path,
    *,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    seeds: int | range | None = None,
    jobs: int | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Run a recipe: train, prune and observe every member that the store lacks.

    ``recipe`` is a path or the name of a shipped recipe; ``assignments`` are ``a.b=value``; ``seeds`` is how many
    members a population has, or, as a range, which of them this run does; ``out`` defaults to ``PRUNEKIT_RUNS`` or
    ``./runs``; ``jobs`` to one process per core, fewer on a GPU or where memory is short. Failed members are in the
    result, the others are finished all the same. Raises InputError before any work where the recipe is refused.
    """
    source = load(recipe, profile=profile, assignments=assignments, seeds=seeds)
    study = resolve(source)
    store = Store.create(Path(out) if out is not None else default_root())
    return execute(study, store, jobs=jobs, device=device, listener=listener)


def execute(
    study: Study,
    store: Store,
    *,
    jobs: int | None = None,
    device: str | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Run a resolved study. See :func:`run`."""
    tell = listener or (lambda event: None)
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs}: expected at least 1")
    if study.fingerprint is None:
        study = _prepared(study, tell)
    keys = (key for member in study.members() for key in member.keys)
    if not study.recipe.has_networks:
        with at_work(store, study.identity, keys) as work:
            return _recorded(study, store, work)
    chosen = choose_device(device)
    network = blueprint(study)
    check_checkpoints(study, network, store)
    count_targets(study, network)
    with at_work(store, study.identity, keys) as work:
        tasks = plan_tasks(study, store, tell)
        check_disk(study, network, store, tasks)
        recorded = _recorded(study, store, work)
        tell(Event("planned", data={"tasks": tasks, "members": list(study.members())}))
        jobs = choose_jobs(study, network, tasks, jobs, chosen, tell)
        pool = Pool(_setup(study, store, chosen), tasks, jobs, recorded.log, tell)
        pool.run()
    return replace(recorded, done=recorded.done + pool.done, failures=pool.failures, skipped=pool.skipped)


def _recorded(study: Study, store: Store, work: Work) -> RunResult:
    """Write what was given as predictions, and the plan; return what that did."""
    log = store.study_folder(study.identity) / "workers.log"
    done = record_predictions(study, store)
    exactly = isinstance(study.source.seeds, int)
    save_plan(store, work, as_recipe(study.recipe), describe(study), exactly=exactly)
    return RunResult(study.identity, store.root, len(list(study.members())), done, {}, [], log)


def _setup(study: Study, store: Store, device: str) -> Setup:
    """Return what the workers of a study share, once its fingerprint is known."""
    assert study.fingerprint is not None  # _prepared sees to it
    return Setup(
        store=str(store.root.resolve()),
        device=device,
        threads=study.recipe.threads,
        files={str(file): digest for file, digest in study.source.registry.files.items()},
        data=as_recipe(study.recipe.dataset),
        fingerprint=study.fingerprint,
        model=as_recipe(study.recipe.backbone),
    )


def _prepared(study: Study, tell: Listener) -> Study:
    """Let the data set download and decode, once and before any worker starts: then it knows its fingerprint."""
    with preparing(tell), study.source.blaming(("data",)):
        study.recipe.dataset.load()
    study = resolve(study.source)
    if study.fingerprint is None:
        raise PrunekitError(f"the dataset {study.recipe.data_name} has no fingerprint even after loading")
    return study


def choose_jobs(
    study: Study, network: Network, tasks: Sequence[Task], jobs: int | None, device: str, tell: Listener
) -> int:
    """Return ``jobs``, or as many as the machine has cores and memory for; say where memory is short."""
    if not tasks:
        return 1
    from prunekit.memory import Estimates

    asked = {(task.population, task.stage) for task in tasks}
    stages = [stage for each in study.populations.values() for stage in each.stages if (each.name, stage.name) in asked]
    needed = Estimates(network, study.data, device).most([stage.options for stage in stages])
    free, threads = free_memory(device), study.recipe.threads
    chosen = jobs or default_jobs(device, threads, needed, free)
    if warning := memory_warning(device, chosen, jobs or default_jobs(device, threads), needed, free):
        tell(Event("notice", data={"text": warning}))
    return chosen


def plan_tasks(study: Study, store: Store, tell: Listener) -> list[Task]:
    """Return what the store lacks, parents first. Damaged results are named and done again."""
    tasks: dict[str, Task] = {}
    for member in study.members():
        population = study.populations[member.population]
        if study.is_predicted(population.name):
            continue
        for i, stage in enumerate(population.lineage):
            key = member.keys[i]
            if stage.population == member.population and key not in tasks and not _has(store.check_stage, tell, key):
                tasks[key] = _stage_task(study, member, stage, key, member.keys[i - 1] if i else None)
        observation = _observation_task(study, store, member, study.recipe.measures, tell)
        if observation is not None:
            tasks.setdefault(observation.key, observation)
    return list(tasks.values())


def _has(check: Callable[..., Any], tell: Listener, *key: str | None) -> bool:
    try:
        return check(*key) is not None
    except DamagedError as error:
        tell(Event("notice", data={"text": f"{error}: it is done again"}))
        return False


def _stage_task(study: Study, member: Member, stage: PlannedStage, key: str, parent: str | None) -> Task:
    message = {
        "task": "stage",
        "key": key,
        "parent": parent,
        "seed": member.seed,
        "ordinal": stage.ordinal,
        "stage": as_recipe(stage.options),
        "point": member.keys[stage.point - 1] if stage.point else None,
        "file": _file(study, member, stage),
    }
    options = stage.options
    if isinstance(options, TrainStage):
        passes = options.epochs * options.objective.views
    else:  # criteria that look at data take about as long for each round as a pass over them
        passes = len(stage.updates) if isinstance(options, PruneStage) and options.criterion.needs_data else 0
    return Task(member.population, member.seed, stage.name, message, float(passes * study.data.train), key, parent)


def _file(study: Study, member: Member, stage: PlannedStage) -> dict[str, str] | None:
    """Return the file that a member begins with which was made elsewhere."""
    if not isinstance(stage.options, GivenStage):
        return None
    population = study.populations[stage.population]
    file = population.files[member.seed]
    return {"path": str(file.path.resolve()), "digest": file.digest}


def _observation_task(
    study: Study, store: Store, member: Member, measures: Sequence[Measure], tell: Listener
) -> Task | None:
    base = not _has(store.check_observation, tell, member.key, SPLIT)
    rank = study.populations[member.population].members.index(member)
    missing = [
        as_recipe(measure)
        for measure, name in observers(measures, rank, study.source.registry)
        if not _has(store.check_observation, tell, member.key, SPLIT, name)
    ]
    if not base and not missing:
        return None
    cost = float(study.data.test)
    return Task.observation(member.population, member.seed, member.key, SPLIT, cost, missing, base=base)


def check_disk(study: Study, network: Network, store: Store, tasks: Sequence[Task]) -> None:
    """Raise InputError where the results of ``tasks`` would not fit on the disk."""
    needed = estimate_disk(study, network, sum(task.stage != OBSERVE for task in tasks)) if tasks else 0
    free = shutil.disk_usage(store.root).free
    if needed > free:
        raise InputError(
            f"{store.root}: the study needs about {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free"
            " (make room, or choose another folder with --out)"
        )
