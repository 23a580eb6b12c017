"""What must fit together in a recipe, beyond each of its blocks: names, lineages, stages, numbers of publications."""

from __future__ import annotations

import re
from typing import Any

from prunekit.blocks import Source
from prunekit.errors import did_you_mean
from prunekit.stages import START, PruneStage, TrainStage

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check(source: Source) -> None:
    """Raise InputError (file, line, key) where the blocks of a recipe do not fit together."""
    _check_names(source)
    _check_given(source)
    _check_lineages(source)
    _check_needed(source)
    _check_stages(source)
    _check_published(source)


def _check_names(source: Source) -> None:
    for name, population in source.recipe.populations.items():
        for path, each in [(("populations", name), name)] + [
            (("populations", name, "stages", stage), stage) for stage in population.stages
        ]:
            if not _NAME.fullmatch(each):
                raise source.error(path, f"{each!r} is no name: use letters, digits, '_', '.' and '-'")
        if START in population.stages:
            raise source.error(
                ("populations", name, "stages", START), f"{START!r} is what `rewind` calls the first weights: rename it"
            )
    if not _NAME.fullmatch(source.recipe.name):
        raise source.error(("name",), f"{source.recipe.name!r} is no name: use letters, digits, '_', '.' and '-'")
    seen = set()
    for i, measure in enumerate(source.recipe.measures):
        if measure.name in seen:
            raise source.error(("measures", i), f"the measure {measure.name!r} stands twice")
        seen.add(measure.name)
        with source.blaming(("measures", i)):
            measure.check()


def _check_given(source: Source) -> None:
    """Hold populations that were made elsewhere to their files and nothing beside."""
    for name, population in source.recipe.populations.items():
        if population.given is None:
            if population.sparsity is not None:
                path = ("populations", name, "sparsity")
                raise source.error(path, "is said of predictions; of networks it is counted")
            continue
        kind = "checkpoints" if population.checkpoints else "predictions"
        others: dict[str, object] = {"from": population.from_, "stages": population.stages}
        others |= (
            {"predictions": population.predictions, "sparsity": population.sparsity} if population.checkpoints else {}
        )
        for key, said in others.items():
            if said:
                raise source.error(("populations", name, key), f"a population given as {kind} has nothing beside")


def _check_needed(source: Source) -> None:
    """Ask for what only some recipes can do without."""
    recipe = source.recipe
    made = any(map(recipe.is_made_here, recipe.populations))
    for key, value, needed in (
        ("data", recipe.data, recipe.has_networks),
        ("model", recipe.model, recipe.has_networks),
        ("seeds", recipe.seeds, made),
    ):
        if needed and value is None:
            raise source.error((key,), "the key is missing")


def _check_lineages(source: Source) -> None:
    populations = source.recipe.populations
    for name, population in populations.items():
        if population.from_ is not None and population.from_ not in populations:
            hint = did_you_mean(population.from_, populations.keys() - {name})
            raise source.error(("populations", name, "from"), f"there is no population {population.from_!r}{hint}")
        if population.from_ is not None and populations[population.from_].predictions is not None:
            raise source.error(
                ("populations", name, "from"), f"{population.from_!r} is given as predictions: nothing can start there"
            )
        if not population.stages and population.given is None:
            raise source.error(
                ("populations", name, "stages"), "a population needs a stage, or files (checkpoints, predictions)"
            )
    for name in populations:
        line, here = [name], populations[name].from_
        while here is not None:
            if here in line:
                circle = " from ".join([*line, here])
                raise source.error(("populations", name, "from"), f"the populations start from each other: {circle}")
            line.append(here)
            here = populations[here].from_
    for i, comparison in enumerate(source.recipe.comparisons):
        for role, name in (("reference", comparison.reference), ("pruned", comparison.pruned)):
            if name not in populations:
                hint = did_you_mean(name, populations)
                raise source.error(("comparisons", i, role), f"there is no population {name!r}{hint}")
        if comparison.reference == comparison.pruned:
            raise source.error(("comparisons", i), f"compares {comparison.pruned!r} with itself")
        if comparison.paired is not None and not any(
            populations[name].given for name in (comparison.reference, comparison.pruned)
        ):
            raise source.error(
                ("comparisons", i, "paired"), "which members are pairs is known of what is made here: leave it out"
            )


def _check_stages(source: Source) -> None:
    for name, population in source.recipe.populations.items():
        for title, stage in population.stages.items():
            path = ("populations", name, "stages", title)
            if isinstance(stage, PruneStage) and stage.schedule.needs_training:
                block = "the `prune:` block of a training stage"
                raise source.error(
                    (*path, "schedule"), f"{stage.schedule.name} prunes while a stage trains: put it in {block}"
                )
            if isinstance(stage, TrainStage) and stage.only and stage.only not in stage.objective.trains:
                trains = " and ".join(stage.objective.trains)
                raise source.error((*path, "only"), f"{stage.objective.name} trains {trains}, not the {stage.only}")


def _check_published(source: Source) -> None:
    """A population that ``for`` would make with other values may be missing: a profile may ask for fewer."""
    recipe = source.recipe
    for name, numbers in recipe.published.populations.items() if recipe.published else ():
        path = ("published", "populations", name)
        made = name in recipe.populations or any(each.would_make(name) for each in source.repetitions.values())
        if not made:
            raise source.error(path, f"there is no population {name!r}{did_you_mean(name, recipe.populations)}")
        for measure, said in numbers.items():
            if measure not in source.registry.names("measure"):
                hint = did_you_mean(measure, (each.name for each in recipe.measures))
                raise source.error((*path, measure), f"there is no measure {measure!r}{hint}")
            plugin: Any = source.registry.find("measure", measure)[0].plugin
            for key in said if isinstance(said, dict) else ():
                if key not in plugin.published_keys:
                    hint = did_you_mean(key, plugin.published_keys) or ": expected a number, or [number, deviation]"
                    raise source.error((*path, measure, key), f"{measure} has no figure {key!r}{hint}")
