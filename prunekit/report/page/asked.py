"""What a study asks: its data, its networks, its populations and how each is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prunekit.protocols import Comparison
from prunekit.report.arrays import LoadedStudy
from prunekit.report.build import percent
from prunekit.report.cells import ABSENT
from prunekit.tables import Column, Table, Value


def facts(study: LoadedStudy, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return what the study is about, at a glance."""
    populations = study.columns.populations
    names = {name for each in comparisons for name in (each.reference, each.pruned)} or populations.keys()
    pruned = [populations[name].sparsity for name in names if populations[name].sparsity > 0]
    found = {
        "Data": study.data["name"],
        f"{study.data['split'].capitalize()} images": f"{study.data['examples']:,}",
        "Classes": f"{len(study.columns.classes):,}",
        "Network": study.about.model,
        "Networks per population": ends([len(populations[name].seeds) for name in names]),
        "Weights pruned": f"{percent(min(pruned))} to {percent(max(pruned))}" if pruned else "none",
    }
    if pruned and percent(min(pruned)) == percent(max(pruned)):
        found["Weights pruned"] = percent(pruned[0])
    return {fact: value for fact, value in found.items() if value}


def ends(numbers: Sequence[int]) -> str:
    """Return ``8``, or ``2 to 8`` where they differ."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def described(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield what is compared, and its control."""
    for each in comparisons:
        control = f", beside {each.control}, which had the same stages without pruning" if each.control else ""
        yield f"{each.reference} → {each.pruned}{control}"


def population_table(study: LoadedStudy) -> Table:
    """Return how every population was made."""
    blocks: Mapping[str, Any] = study.about.recipe.get("populations", {})
    rows: list[tuple[Value, ...]] = []
    for name, population in study.columns.populations.items():
        block = blocks.get(name, {})
        stages = "; ".join(_stage(stage, options) for stage, options in block.get("stages", {}).items())
        parent = block.get("from") or ABSENT
        rows.append((name, parent, stages or ABSENT, len(population.seeds), population.sparsity))
    return Table(
        title="Populations",
        columns=(
            Column("Population"),
            Column("Starts from"),
            Column("Stages"),
            Column("Networks", "d"),
            Column("Weights pruned", ".1%"),
        ),
        rows=rows,
    )


def _stage(name: str, options: Mapping[str, Any]) -> str:
    """Say in a few words what a stage does: trains by an objective, or prunes on a schedule, or both."""
    return f"{name}: {', '.join(_does(options))}"


def _does(options: Mapping[str, Any]) -> Iterator[str]:
    if "objective" in options:
        yield _named(options["objective"])
    if "epochs" in options:
        yield f"{options['epochs']} epochs"
    if "only" in options:
        yield f"{options['only']} only"
    if "schedule" in options:
        yield _pruned(options["schedule"])
    if options.get("prune"):
        yield f"pruned by {_pruned(options['prune']['schedule'])}"


def _pruned(schedule: Any) -> str:
    if isinstance(schedule, Mapping) and isinstance(schedule.get("sparsity"), int | float):
        return f"{_named(schedule)} to {percent(schedule['sparsity'])}"
    return _named(schedule)


def _named(plugin: Any) -> str:
    return str(plugin["name"] if isinstance(plugin, Mapping) else plugin)
