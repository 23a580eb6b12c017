"""What a study asks: its data, its networks, its populations and how each is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prunekit.comparison import Comparison
from prunekit.observed import PopulationColumns
from prunekit.report.arrays import LoadedStudy
from prunekit.report.build import percent
from prunekit.report.cells import ABSENT
from prunekit.stages import Prune
from prunekit.tables import Column, Table, Value

CRITERION = Prune.model_fields["criterion"].get_default()
"""What a recipe that names no criterion prunes by."""


def facts(study: LoadedStudy, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return what the study is about, at a glance."""
    populations = study.columns.populations
    names = {name for each in comparisons for name in (each.reference, each.pruned)} or populations.keys()
    pruned = [populations[name].sparsity for name in names if populations[name].sparsity != 0]
    found = {
        "Data": study.data["name"],
        f"{study.data['split'].capitalize()} {study.unit}": f"{study.data['examples']:,}",
        "Classes": f"{len(study.columns.classes):,}",
        "Network": study.about.model,
        "Members per population": ends([len(populations[name].seeds) for name in names]),
        "Weights pruned": shares(pruned) if pruned else "none",
    }
    return {fact: value for fact, value in found.items() if value}


def premise(study: LoadedStudy) -> str:
    """Return what the reader of a comparison takes for granted."""
    members = (
        "Each population is a number of networks, its members, that were made in the same way and differ in their seed "
        "alone."
    )
    if study.made_elsewhere:
        members = (
            f"The members of {' and '.join(study.made_elsewhere)} were made elsewhere, a file for each; that those of "
            "a population differ in their seed alone is for whoever made them to know."
        )
    never = "" if study.made_elsewhere else ", which training never sees"
    return (
        f"{members} A comparison holds a pruned population against a reference: what do both say about the same "
        f"{study.unit}{never}?"
    )


def ends(numbers: Sequence[int]) -> str:
    """Return ``8``, or ``2 to 8`` where they differ."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def shares(numbers: Sequence[float]) -> str:
    """Return ``90 %``, or ``30 % to 99 %`` where they differ; what is unknown, as NaN, is left out unless all is."""
    numbers = [each for each in numbers if each == each] or list(numbers)
    low, high = percent(min(numbers)), percent(max(numbers))
    return low if low == high else f"{low} to {high}"


def described(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield what is compared, and its control."""
    for each in comparisons:
        control = f", beside {each.control}, which had the same stages without pruning" if each.control else ""
        yield f"{each.name}{control}"


def population_table(study: LoadedStudy) -> Table:
    """Return how every population was made; those that a recipe repeats, in the same way, in one row."""
    blocks: Mapping[str, Any] = study.about.recipe.get("populations", {})
    alike: dict[tuple[str, str, str], list[PopulationColumns]] = {}
    for name, population in study.columns.populations.items():
        block = blocks.get(name, {})
        stages = "; ".join(_stage(stage, options) for stage, options in block.get("stages", {}).items())
        stages = stages or ", ".join(block.get("checkpoints") or block.get("predictions") or ())
        together = f"{population.place.group}: " if population.place else name
        alike.setdefault((together, block.get("from") or ABSENT, stages or ABSENT), []).append(population)
    rows: list[tuple[Value, ...]] = [
        (
            together + _names(populations) if populations[0].place else together,
            parent,
            stages,
            ends([len(each.seeds) for each in populations]),
            shares([each.sparsity for each in populations]),
        )
        for (together, parent, stages), populations in alike.items()
    ]
    names = ("Population", "Starts from", "Stages", "Members", "Weights pruned")
    return Table("Populations", tuple(map(Column, names)), rows)


def _names(populations: Sequence[PopulationColumns]) -> str:
    first, last = populations[0].name, populations[-1].name
    return first if first == last else f"{first} to {last}"


def _stage(name: str, options: Mapping[str, Any]) -> str:
    """Say in a few words what a stage does: trains by an objective, prunes on a schedule, both, or goes back."""
    return f"{name}: {', '.join(_does(options))}"


def _does(options: Mapping[str, Any]) -> Iterator[str]:
    if "objective" in options:
        yield _named(options["objective"])
    if "epochs" in options:
        yield f"{options['epochs']} epochs"
    if "only" in options:
        yield f"{options['only']} only"
    for prune in (options, options.get("prune") or {}):
        if "schedule" in prune:
            yield f"pruned by {_named(prune.get('criterion', CRITERION))}, {_named(prune['schedule'])}"
    if "rewind" in options:
        yield f"back to {options['rewind']}"


def _named(plugin: Any) -> str:
    return str(plugin["name"] if isinstance(plugin, Mapping) else plugin)
