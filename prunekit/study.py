"""Recipe → Study: every stage of every member, with the key of its result and its pruning updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunekit.blocks import Recipe, Source
from prunekit.capacity import check_data
from prunekit.documents import KeyPath
from prunekit.errors import InputError, did_you_mean
from prunekit.given import GivenFile
from prunekit.images import DataSummary, ImageShape
from prunekit.predictions import PredictionFile, read_predictions, together
from prunekit.protocols import Measure, Options, Schedule
from prunekit.registry import Registry, line_in
from prunekit.stages import (
    START,
    GivenStage,
    PruneStage,
    RewindStage,
    Stage,
    TrainStage,
    as_recipe,
    parts_trained,
    plugins_in,
    pruning_of,
)
from prunekit.store import digest
from prunekit.times import Progress
from prunekit.updates import planned_rounds, planned_updates

ENGINE_VERSION = 1
"""Part of every key: raised when the engine itself would compute other bits from the same options."""
GIVEN = "given"
"""The stage that a population of checkpoints begins with."""
_SAID_ABOUT = ("seeds", "description", "published")
"""Keys of a recipe that do not make it another study."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a population, the same for all its members."""

    population: str
    name: str
    options: Stage
    ordinal: int
    """Its place in the lineage, counted from 1."""
    iterations: int
    """Optimiser steps; 0 where the stage does not train."""
    iterations_per_epoch: int
    updates: list[tuple[int, float]]
    """Pruning updates: (iteration, cumulative sparsity)."""
    point: int = 0
    """Of a stage that rewinds: the ordinal of the stage whose weights it takes; 0 stands for the start."""


@dataclass(frozen=True)
class Member:
    """One seed of a population."""

    population: str
    seed: int
    keys: tuple[str, ...]
    """Keys of all stages of its lineage, those of the populations it starts from included; () while unknown."""

    @property
    def key(self) -> str:
        """Key of its last stage."""
        return self.keys[-1]


@dataclass(frozen=True)
class Population:
    """A name, its stages, its members."""

    name: str
    parent: str | None
    lineage: tuple[PlannedStage, ...]
    """The stages of the populations it starts from, then its own."""
    stages: tuple[PlannedStage, ...]
    """Its own stages."""
    members: tuple[Member, ...]
    control: str | None
    """The population with the same stages but no pruning, where there is one."""
    files: tuple[GivenFile, ...] = ()
    """Of a population that was made elsewhere: those of its members, in their order."""


@dataclass(frozen=True)
class Study:
    """A resolved recipe."""

    source: Source
    data: DataSummary
    fingerprint: str | None
    populations: Mapping[str, Population]
    predictions: Sequence[PredictionFile] = ()
    """Of all populations that are given as such."""

    @property
    def recipe(self) -> Recipe:
        """The validated recipe."""
        return self.source.recipe

    @property
    def identity(self) -> str:
        """Name and short digest: two studies of one name differ in what they ask for, not in how many seeds."""
        asked = {key: value for key, value in as_recipe(self.recipe).items() if key not in _SAID_ABOUT}
        asked["populations"] = {
            name: {key: value for key, value in block.items() if key != "title"}
            for name, block in asked["populations"].items()
        }
        files = {name: [file.digest for file in each.files] for name, each in self.populations.items() if each.files}
        return f"{self.recipe.name}-{digest([asked, files] if files else asked)[:8]}"

    def is_predicted(self, population: str) -> bool:
        """Return whether a population is given as predictions: its members have no stages and no networks."""
        return self.recipe.populations[population].predictions is not None

    def asked(self, population: str) -> tuple[Member, ...]:
        """Return the members of a population that are asked for: all, or those of a part of the seeds."""
        part, members = self.source.seeds, self.populations[population].members
        here = self.recipe.is_made_here(population)
        return members[part.start : part.stop] if isinstance(part, range) and here else members

    def members(self) -> Iterator[Member]:
        """Yield the members that are asked for, those of a population after those that they start from."""
        for name in self.recipe.parents_first():
            yield from self.asked(name)


def resolve(source: Source) -> Study:
    """Plan a study without decoding data or building a network.

    Raises InputError (file, line, key) where a schedule does not fit its stage.
    """
    recipe = source.recipe
    files = {name: source.files(name) for name in recipe.populations}
    predictions = list(_predictions(source, files))
    data, fingerprint = _data(source, predictions)
    plans: dict[str, tuple[PlannedStage, ...]] = {}
    for name in recipe.parents_first():
        parent = recipe.populations[name].from_
        before = plans[parent] if parent else ()
        plans[name] = before + _plan(source, name, data, before)
    populations = {
        name: Population(
            name=name,
            parent=block.from_,
            lineage=plans[name],
            stages=tuple(stage for stage in plans[name] if stage.population == name),
            members=tuple(_members(source, name, plans[name], files[recipe.lineage(name)[0]], data, fingerprint)),
            control=_control_of(recipe, name),
            files=files[name],
        )
        for name, block in recipe.populations.items()
    }
    _check_pairs(source, populations)
    return Study(source, data, fingerprint, populations, predictions)


def _predictions(source: Source, files: Mapping[str, Sequence[GivenFile]]) -> Iterator[PredictionFile]:
    """Read the populations that are given as predictions."""
    for name, population in source.recipe.populations.items():
        if population.predictions:
            with source.blaming(("populations", name, "predictions")):
                yield from [read_predictions(file.path) for file in files[name]]


def _check_pairs(source: Source, populations: Mapping[str, Population]) -> None:
    """Refuse pairs of members where one of two populations has more of them."""
    for i, each in enumerate(source.recipe.comparisons):
        sizes = [len(populations[name].members) for name in (each.reference, each.pruned)]
        if each.paired and sizes[0] != sizes[1]:
            found = f"{each.reference} has {sizes[0]} members and {each.pruned} {sizes[1]}"
            raise source.error(("comparisons", i, "paired"), f"{found}: expected as many, in the same order")


def _members(
    source: Source,
    name: str,
    lineage: tuple[PlannedStage, ...],
    files: Sequence[GivenFile],
    data: DataSummary,
    fingerprint: str | None,
) -> Iterator[Member]:
    """Yield the members of a population: one per seed, or per file that its lineage begins with."""
    for seed in range(len(files) or source.recipe.seeds or 0):
        if fingerprint is None:
            yield Member(name, seed, ())
        elif source.recipe.populations[name].predictions:
            yield Member(name, seed, (_predictions_key(files[seed], data, fingerprint),))
        else:
            yield Member(name, seed, _keys(source, lineage, fingerprint, seed, files[seed] if files else None))


def _data(source: Source, predictions: Sequence[PredictionFile]) -> tuple[DataSummary, str | None]:
    """Return what is known of the data, and their fingerprint: of a recipe without any, those of its predictions.

    Raises InputError where predictions do not fit together.
    """
    recipe = source.recipe
    if recipe.data is None:
        with source.blaming(("populations",)):
            members = together(predictions)
        fingerprint = digest([members.ids, members.labels.tolist()])
        return DataSummary(ImageShape(0, 0, 0), members.classes, 0, 0, len(members.ids)), fingerprint
    with source.blaming(("data",)):
        data = recipe.data.describe()
        check_data(data)
        fingerprint_of_images = recipe.data.fingerprint()
    with source.blaming(("populations",)):
        if predictions:
            together(predictions, classes=data.classes)
    return data, fingerprint_of_images


def _predictions_key(file: GivenFile, data: DataSummary, fingerprint: str) -> str:
    made_of = {"predictions": file.digest, "classes": list(data.classes), "data": fingerprint}
    return digest({"engine": ENGINE_VERSION, **made_of})


def _plan(source: Source, name: str, data: DataSummary, before: tuple[PlannedStage, ...]) -> tuple[PlannedStage, ...]:
    given = source.recipe.populations[name].checkpoints
    if given is not None:
        return (PlannedStage(name, GIVEN, GivenStage(checkpoints=given), 1, 0, 1, []),)
    planned: list[PlannedStage] = []
    for ordinal, (title, options) in enumerate(source.recipe.populations[name].stages.items(), len(before) + 1):
        per_epoch, iterations, point = 1, 0, 0
        if isinstance(options, TrainStage):
            per_epoch = -(-data.train // options.batch_size)
            iterations = per_epoch * options.epochs
            _check_snapshots(source, ("populations", name, "stages", title), options, data, iterations, per_epoch)
        if isinstance(options, RewindStage):
            point = _point(source, ("populations", name, "stages", title, "rewind"), options, [*before, *planned])
        path = ("populations", name, "stages", title, *(("prune",) if iterations else ()), "schedule")
        try:
            updates = _updates(options, iterations, per_epoch)
        except ValueError as error:
            raise source.error(path, str(error)) from None
        except Exception as error:
            raise _failing(source, path, error) from error
        planned.append(PlannedStage(name, title, options, ordinal, iterations, per_epoch, updates, point))
    return tuple(planned)


def _point(source: Source, path: KeyPath, stage: RewindStage, earlier: Sequence[PlannedStage]) -> int:
    """Return the ordinal of the stage that is rewound to, 0 for the start; raise InputError where nothing was kept."""
    name, time = stage.point
    if name is None:
        return 0
    named = {each.name: each for each in earlier}  # of one name the last one
    if name not in named:
        raise source.error(path, f"no stage before it is called {name!r}{did_you_mean(name, [START, *named])}")
    options = named[name].options
    kept = [str(each) for each in options.keep] if isinstance(options, TrainStage) else []
    if time is not None and time not in kept:
        known = f" (kept: {', '.join(kept)})" if kept else ""
        raise source.error(path, f"{name} keeps no weights at {time}{known}: put `keep: [{time}]` into that stage")
    return named[name].ordinal


def _check_snapshots(
    source: Source, path: KeyPath, stage: TrainStage, data: DataSummary, iterations: int, per_epoch: int
) -> None:
    """Raise InputError where there is no best epoch to select, or a time to keep weights at lies after the stage."""
    if stage.select == "best_validation":
        if "head" not in parts_trained(stage):
            raise source.error((*path, "select"), f"{stage.objective.name} does not train the head, so none is best")
        if not data.validation:
            raise source.error((*path, "select"), "the data have no validation images (see their option `validation`)")
    for i, time in enumerate(stage.keep):
        if Progress(0, iterations, per_epoch).at(time) > iterations:
            raise source.error((*path, "keep", i), f"{time} lies after the stage's {iterations} iterations")


def _failing(source: Source, path: KeyPath, error: Exception) -> InputError:
    """Return an error about a schedule whose code fails, with its file and line."""
    files = [f"{file}{line}" for file in source.registry.files if (line := line_in(error, file))]
    where = f" ({files[0]})" if files else ""
    return source.error(path, f"the schedule fails{where}: {type(error).__name__}: {error}")


def _updates(options: Stage, iterations: int, per_epoch: int) -> list[tuple[int, float]]:
    prune = pruning_of(options)
    if prune is None:
        return []
    schedule: Schedule = prune.schedule
    schedule.check(Progress(0, iterations or schedule.steps - 1, per_epoch))
    updates = planned_updates(schedule, iterations, per_epoch) if iterations else planned_rounds(schedule)
    if isinstance(options, PruneStage) and options.round is not None:
        if options.round > len(updates):
            raise ValueError(f"{schedule.name} has {len(updates)} rounds, so there is no round {options.round}")
        return [(options.round - 1, updates[options.round - 1][1])]
    if not updates:
        length = f"{iterations} iterations" if iterations else f"{schedule.steps} rounds"
        raise ValueError(f"none of the updates of {schedule.name} falls into the stage, which has {length}")
    return updates


def _keys(
    source: Source, lineage: tuple[PlannedStage, ...], fingerprint: str, seed: int, file: GivenFile | None
) -> tuple[str, ...]:
    """Return the key of every stage: a digest of what the stage is made of, and of its parent's key.

    Where a lineage begins with weights made elsewhere, those of ``file``, the seed matters to later stages alone.
    """
    recipe = source.recipe
    parent = digest(
        {
            "engine": ENGINE_VERSION,
            "model": as_recipe(recipe.backbone),
            "data": fingerprint,
            "versions": versions([recipe.backbone, recipe.dataset], source.registry),
            **({"seed": seed} if file is None else {}),
            **({"threads": recipe.threads} if recipe.threads != 1 else {}),
        }
    )
    keys: list[str] = []
    ends: list[str] = []  # what later stages depend on: what a stage keeps on the way does not change its end
    for stage in lineage:
        made_of = as_recipe(stage.options)
        if isinstance(stage.options, RewindStage):  # names never enter
            made_of = {"rewind": ends[stage.point - 1] if stage.point else START, "at": stage.options.point[1]}
        elif isinstance(stage.options, GivenStage) and file is not None:
            made_of = {"checkpoint": file.digest}
        kept = sorted(set(made_of.pop("keep", ())))
        whole = {"parent": parent, "stage": made_of, "versions": versions([stage.options], source.registry)}
        if file is not None and stage.ordinal > 1:
            whole["seed"] = seed
        parent = digest(whole)
        ends.append(parent)
        keys.append(digest({**whole, "keep": kept}) if kept else parent)
    return tuple(keys)


def versions(options: list[Options], registry: Registry) -> dict[str, Any]:
    """Return what marks the plugins used: a version other than 1, the digest of a plugin file."""
    marks: dict[str, Any] = {}
    for plugin in plugins_in(options):
        entry = registry.entry_of(plugin)
        if plugin.version != 1 or entry.digest or plugin.foreign_code:
            code = [plugin.foreign_code] if plugin.foreign_code else []
            marks[f"{plugin.kind} {plugin.name}"] = [plugin.version, entry.digest, *code]
    return marks


def columns_of(measure: Measure, registry: Registry) -> str | None:
    """Return the name under which the columns of a measure are stored; None where it observes nothing of its own."""
    if not measure.columns and not measure.notes:
        return None
    fields = type(measure).model_fields
    defaults = {
        name: fields[name].get_default(call_default_factory=True)
        for name in measure.summary_options
        if not fields[name].is_required()
    }
    observed = as_recipe(measure.model_copy(update=defaults))
    return f"{measure.name}-{digest([observed, versions([measure], registry)])[:8]}"


def observers(measures: Sequence[Measure], rank: int, registry: Registry) -> list[tuple[Measure, str]]:
    """Return the measures that observe something of the member at ``rank`` by seed, with the names of the columns."""
    named = [(measure, columns_of(measure, registry)) for measure in measures]
    return [
        (measure, name)
        for measure, name in named
        if name and (measure.most_members is None or rank < measure.most_members)
    ]


def _control_of(recipe: Recipe, name: str) -> str | None:
    """Return the population that differs from ``name`` in nothing but that it does not prune."""
    block = recipe.populations[name]
    if block.given is not None:
        return None
    unpruned = _without_pruning(list(block.stages.values()))
    if unpruned == [as_recipe(stage) for stage in block.stages.values()]:
        return None
    for other, candidate in recipe.populations.items():
        stages = [as_recipe(stage) for stage in candidate.stages.values()]
        if other != name and candidate.given is None and candidate.from_ == block.from_ and stages == unpruned:
            return other
    return None


def _without_pruning(stages: list[Stage]) -> list[Any]:
    trained = [as_recipe(stage) for stage in stages if not isinstance(stage, PruneStage)]
    return [{key: value for key, value in stage.items() if key != "prune"} for stage in trained]
