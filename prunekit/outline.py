"""What a study would do, as data: for ``--dry-run``, for the disk, and for the report that comes later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prunekit.blocks import PopulationRecipe
from prunekit.capacity import default_jobs, free_memory
from prunekit.errors import InputError
from prunekit.estimates import Timings
from prunekit.expansion import Repetition
from prunekit.protocols import Measure, Options
from prunekit.stages import KIND_NAMES, TrainStage, as_recipe, options_in, parts_trained, pruning_of
from prunekit.store import Store
from prunekit.study import Member, PlannedStage, Population, Study, columns_of, observers, versions

if TYPE_CHECKING:
    from prunekit.memory import Estimates
    from prunekit.network import Network

SPLIT = "test"
"""The split that is observed."""


def outline(study: Study, store: Store, *, jobs: int | None = None, device: str = "cpu") -> dict[str, Any]:
    """Return populations, stages, updates, memory and what is stored already. Decodes nothing and looks into no file.

    ``stored`` counts members; it is ``"unknown"`` where the fingerprint of the data is. Bytes of memory are None where
    they cannot be told, seconds where nothing like it was measured on this machine. Raises InputError as
    :func:`count_targets` does.
    """
    network = blueprint(study) if study.recipe.has_networks else None
    if network is not None:
        check_checkpoints(study, network, store)
    targets = {} if network is None else count_targets(study, network)
    memory = None if network is None else _estimates(network, study, device)
    held = None if memory is None else _memory(study, memory, jobs, device)
    timings = None if network is None else Timings(study, store, device)
    return {
        "study": study.recipe.name,
        "identity": study.identity,
        "store": str(store.root),
        "data": {
            "name": study.recipe.data_name,
            "classes": len(study.data.classes),
            "train": study.data.train,
            "validation": study.data.validation,
            "test": study.data.test,
        },
        "members": len(list(study.members())),
        "disk_bytes": estimate_disk(study, network),
        "memory": held,
        "time": vars(timings.estimate(SPLIT, held["jobs"])) if timings and held else None,
        "populations": {
            name: {
                "from": population.parent,
                "control": population.control,
                "members": len(study.asked(name)),
                "files": [str(file.path) for file in population.files],
                "stages": [
                    {
                        **_stage(study, population, stage, store),
                        "prunes": targets.get((name, stage.name), 0),
                        "memory_bytes": None if memory is None else memory.of(stage.options),
                        "seconds": None if timings is None else timings.of(stage),
                    }
                    for stage in population.stages
                ],
                "observed": _count(study, [_observed(study, store, population, m) for m in study.asked(name)]),
                "observing_bytes": None if memory is None else memory.observing,
                "observing_seconds": None if timings is None else timings.observing(0, lambda _: True),
            }
            for name, population in study.populations.items()
        },
    }


def _estimates(network: Network, study: Study, device: str) -> Estimates:
    from prunekit.memory import Estimates

    return Estimates(network, study.data, device)


def _memory(study: Study, memory: Estimates, jobs: int | None, device: str) -> dict[str, Any]:
    free = free_memory(device)
    worker = memory.most([stage.options for population in study.populations.values() for stage in population.stages])
    jobs = jobs or default_jobs(device, study.recipe.threads, worker, free)
    return {
        "device": device,
        "worker_bytes": worker,
        "jobs": jobs,
        "bytes": None if worker is None else jobs * worker,
        "available_bytes": free,
    }


def _stage(study: Study, population: Population, stage: PlannedStage, store: Store) -> dict[str, Any]:
    trains = isinstance(stage.options, TrainStage)
    stored = [bool(m.keys) and store.has_stage(m.keys[stage.ordinal - 1]) for m in study.asked(population.name)]
    return {
        "name": stage.name,
        "kind": KIND_NAMES[type(stage.options)],
        "epochs": stage.options.epochs if isinstance(stage.options, TrainStage) else 0,
        "batch_size": stage.options.batch_size if isinstance(stage.options, TrainStage) else 0,
        "iterations": stage.iterations,
        "stored": _count(study, stored),
        "updates": [
            {"iteration": iteration, "epoch": iteration / stage.iterations_per_epoch if trains else 0.0, "sparsity": s}
            for iteration, s in stage.updates
        ],
    }


def _count(study: Study, stored: list[bool]) -> int | str:
    return "unknown" if study.fingerprint is None else sum(stored)


def _observed(study: Study, store: Store, population: Population, member: Member) -> bool:
    if not member.keys:
        return False
    measures = [] if study.is_predicted(population.name) else study.recipe.measures
    rank = population.members.index(member)
    names = [None, *(name for _, name in observers(measures, rank, study.source.registry))]
    return all(store.has_observation(member.key, SPLIT, name) for name in names)


def describe(study: Study) -> dict[str, Any]:
    """Return the plan as a report needs it: JSON, without any plugin's code."""
    recipe = study.recipe
    return {
        "study": recipe.name,
        "identity": study.identity,
        "description": recipe.description,
        "data": {
            "name": recipe.data_name,
            "images": recipe.data is not None,
            "split": SPLIT,
            "examples": study.data.test,
            "fingerprint": study.fingerprint,
        },
        "model": None if recipe.model is None else as_recipe(recipe.model),
        "plugins": _files_of(recipe.measures, study),
        "plugin_files": [str(file) for file in study.source.registry.files],
        "versions": versions([recipe.backbone, recipe.dataset], study.source.registry) if recipe.has_networks else {},
        "measures": [as_recipe(measure) for measure in recipe.measures],
        "comparisons": [as_recipe(comparison) for comparison in recipe.comparisons],
        "readings": _readings(study),
        "published": as_recipe(recipe.published) if recipe.published else None,
        "populations": {
            name: {
                "from": population.parent,
                "control": population.control,
                "initial": _initial(study, name),
                "given": _given(recipe.populations[name]),
                "sparsity": recipe.populations[name].sparsity,
                "title": recipe.populations[name].title,
                "repetition": _repetition(study.source.repetitions.get(name)),
                "stages": {stage.name: as_recipe(stage.options) for stage in population.stages},
                "members": {str(member.seed): list(member.keys) for member in population.members},
            }
            for name, population in study.populations.items()
        },
    }


def _initial(study: Study, population: str) -> Any:
    """Return what members of one seed share with those of other populations that begin alike."""
    root = study.recipe.lineage(population)[0]
    return {"given": root} if study.recipe.populations[root].given else as_recipe(study.recipe.backbone)


def _given(block: PopulationRecipe) -> str | None:
    """Return as what a population was given that was made elsewhere; None of one that was made here."""
    return None if block.given is None else "checkpoints" if block.checkpoints else "predictions"


def _readings(study: Study) -> list[str]:
    """Return which readings of the method the options are, with their stages where not all of a kind read alike."""
    where: dict[type[Options], dict[str, dict[str, None]]] = {}
    for place, options in _options(study):
        if reading := options.reading:
            where.setdefault(type(options), {}).setdefault(reading, {})[place] = None
    return [
        f"{reading} ({', '.join(places)})" if len(readings) > 1 else reading
        for readings in where.values()
        for reading, places in readings.items()
    ]


def _options(study: Study) -> Iterator[tuple[str, Options]]:
    """Yield the options of the study, with what they belong to in words."""
    recipe, repetitions = study.recipe, study.source.repetitions
    blocks: list[tuple[str, Options]] = [(key, block) for key in ("data", "model") if (block := getattr(recipe, key))]
    for name, population in recipe.populations.items():
        called = repetitions[name].group if name in repetitions else population.title or name
        blocks += [(f"{called} {title}", stage) for title, stage in population.stages.items()]
    for place, block in blocks:
        yield from ((place, options) for options in options_in(block))


def _repetition(place: Repetition | None) -> dict[str, Any] | None:
    return None if place is None else {"group": place.group, "values": dict(place.values)}


def blueprint(study: Study) -> Network:
    """Return a network such as the members have, to look at."""
    from prunekit.network import build_network

    with study.source.blaming(("model",)):
        return build_network(study.recipe.backbone, study.data, seed=0, weights=False)


def count_targets(study: Study, network: Network) -> dict[tuple[str, str], int]:
    """Return how many weights each stage prunes, by the names of its population and its own.

    Raises InputError (file, line, key) where a stage would find nothing to prune in the network.
    """
    from prunekit.masks import find_targets

    counts = {}
    for name, population in study.populations.items():
        for stage in population.stages:
            options = stage.options
            prune = pruning_of(options)
            if prune is None:
                continue
            parts = parts_trained(options) if isinstance(options, TrainStage) else ("encoder", "head")
            block = ("prune",) if isinstance(options, TrainStage) else ()
            try:
                targets = find_targets(network, prune.targets, within_parts=parts)
            except InputError as error:
                path = ("populations", name, "stages", stage.name, *block, "targets")
                raise study.source.error(path, str(error)) from None
            try:
                prune.criterion.check(targets)
            except InputError as error:
                path = ("populations", name, "stages", stage.name, *block, "criterion")
                raise study.source.error(path, f"{prune.criterion.name}: {error}") from None
            counts[name, stage.name] = sum(target.parameter.numel() for target in targets)
    return counts


def check_checkpoints(study: Study, network: Network, store: Store) -> None:
    """Raise InputError (file, line, key) where weights that the store lacks cannot be read, or do not fit the network.

    Puts them into ``network``, one after the other.
    """
    from prunekit.network import load_checkpoint

    for name, population in study.populations.items():
        if study.recipe.populations[name].checkpoints is None:
            continue
        for member, file in zip(population.members, population.files, strict=True):
            if not (member.keys and store.has_stage(member.key)):
                with study.source.blaming(("populations", name, "checkpoints")):
                    load_checkpoint(network, study.recipe.backbone, study.data, file.path)


def _files_of(measures: Sequence[Measure], study: Study) -> list[str]:
    """Return the plugin files that a report needs: those of its measures."""
    origins = {study.source.registry.entry_of(measure).origin for measure in measures}
    return [str(file) for file in study.source.registry.files if str(file) in origins]


def _beside(stage: PlannedStage) -> float:
    """Return how often a stage writes its weights, or as much, beside those of its end."""
    if isinstance(stage.options, TrainStage):
        return len(stage.options.keep)
    return 0.5 if len(stage.updates) > 1 else 0.0  # of several rounds, which one pruned each weight: two bytes


def estimate_disk(study: Study, network: Network | None, stages: int | None = None) -> int:
    """Return about how many bytes the results of ``stages`` stages take, and their observations; of all by default.

    ``network`` is one such as the members have; None where they are predictions alone.
    """
    every = sum(
        len(study.asked(name)) * sum(1 + _beside(stage) for stage in population.stages)
        for name, population in study.populations.items()
    )
    columns = 3 + 3 * sum(columns_of(m, study.source.registry) is not None for m in study.recipe.measures)
    observations = len(list(study.members())) * study.data.test * (columns * 4 + 16)
    if network is None:
        return observations
    from prunekit.network import size_of

    return int((every if stages is None else stages) * size_of(network) * 1.05) + observations
