"""What ``prunekit run --dry-run`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_outline(plan: dict[str, Any]) -> None:
    """Print the plan of a study as tables."""
    console = Console(highlight=False)
    data = plan["data"]
    sizes = f"{data['train']} training, {data['validation']} validation, {data['test']} test images"
    console.print(
        f"[bold]{plan['study']}[/]: {plan['members']} members in {len(plan['populations'])} populations,"
        f" on {data['name']} ({sizes}, {data['classes']} classes)"
    )
    for name, population in plan["populations"].items():
        console.print(_stages(name, population))
        for stage in population["stages"]:
            if stage["updates"]:
                console.print(_updates(name, stage))
    console.print(f"Disk: about {plan['disk_bytes'] / 1e6:,.1f} MB under {plan['store']}. Nothing was done.")


def _stages(name: str, population: dict[str, Any]) -> Table:
    start = f", from {population['from']}" if population["from"] else ""
    control = f", control: {population['control']}" if population["control"] else ""
    table = Table(title=f"{name}: {population['members']} members{start}{control}", title_justify="left")
    table.add_column("stage")
    table.add_column("kind")
    for column in ("epochs", "iterations", "updates", "in the store"):
        table.add_column(column, justify="right")
    for stage in population["stages"]:
        counts = [stage["epochs"] or "–", stage["iterations"] or "–", len(stage["updates"]) or "–"]
        table.add_row(stage["name"], stage["kind"], *map(str, counts), _stored(stage["stored"], population))
    table.add_row("observe", "test split", "–", "–", "–", _stored(population["observed"], population))
    return table


def _stored(count: int | str, population: dict[str, Any]) -> str:
    return str(count) if isinstance(count, str) else f"{count} of {population['members']}"


def _updates(name: str, stage: dict[str, Any]) -> Table:
    table = Table(title=f"{name}, {stage['name']}: pruning updates", title_justify="left")
    for column in ("iteration", "epoch", "sparsity"):
        table.add_column(column, justify="right")
    for update in stage["updates"]:
        table.add_row(str(update["iteration"]), f"{update['epoch']:.2f}", f"{update['sparsity']:.4f}")
    return table
