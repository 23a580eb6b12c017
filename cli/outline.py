"""What ``prunekit run --dry-run`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from prunekit.capacity import gigabytes

PIPE_WIDTH = 120
MOST_UPDATES = 12
"""Updates of a stage that are shown one by one; of more, the first and the last few."""
MOST_LISTS = 4
"""Stages whose updates are shown one by one."""


def print_outline(plan: dict[str, Any]) -> None:
    """Print the plan of a study as tables."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    data = plan["data"]
    sizes = f"{data['train']:,} training, {data['validation']:,} validation, {data['test']:,} test images"
    console.print(
        f"[bold]{plan['study']}[/]: {plan['members']:,} members in {len(plan['populations'])} populations,"
        f" on {data['name']} ({sizes}, {data['classes']} classes)"
    )
    console.print(_stages(plan["populations"]))
    for control, names in _controls(plan["populations"]).items():
        console.print(f"{control} is the control of {', '.join(names)}: the same without pruning")
    pruning = [
        (f"{name}, {stage['name']}", stage["updates"])
        for name, population in plan["populations"].items()
        for stage in population["stages"]
        if len(stage["updates"]) > 1
    ]
    for title, updates in pruning[:MOST_LISTS]:
        console.print(f"{title}: {len(updates)} pruning updates", style="bold")
        console.print(_updates(updates))
    if len(pruning) > MOST_LISTS:
        console.print(f"… and those of {len(pruning) - MOST_LISTS} more stages: --format json lists all of them")
    console.print(_memory(plan["memory"]))
    console.print(f"Disk: about {plan['disk_bytes'] / 1e6:,.1f} MB under {plan['store']}. Nothing was done.")


def _stages(populations: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("population", "from", "stage", "kind"):
        table.add_column(column)
    for column in ("members", "epochs", "iterations", "updates", "to sparsity", "memory", "in the store"):
        table.add_column(column, justify="right")
    for name, population in populations.items():
        heads, members = [name, population["from"] or "–"], f"{population['members']:,}"
        for stage in population["stages"]:
            counts = [_count(n) for n in (stage["epochs"], stage["iterations"], len(stage["updates"]))]
            sparsity = f"{stage['updates'][-1]['sparsity']:.4g}" if stage["updates"] else "–"
            ends = [sparsity, _size(stage["memory_bytes"]), _stored(stage["stored"], population)]
            table.add_row(*heads, stage["name"], stage["kind"], members, *counts, *ends)
            heads = ["", ""]
        stored = _stored(population["observed"], population)
        table.add_row("", "", "observe", "test split", members, *["–"] * 5, stored)
    return table


def _memory(memory: dict[str, Any]) -> str:
    """``Memory: about 1.2 GB per process, 2.4 GB for 2 of them (23.1 GB are free).``"""
    jobs, where = memory["jobs"], "" if memory["device"] == "cpu" else f" on {memory['device']}"
    if memory["bytes"] is None:
        return f"Memory: cannot be told; {jobs} process{'es' * (jobs > 1)}."
    free = "" if memory["available_bytes"] is None else f" ({_size(memory['available_bytes'])} are free)"
    several = f", {_size(memory['bytes'])} for {jobs} at once" if jobs > 1 else ""
    return f"Memory{where}: about {_size(memory['worker_bytes'])} per process{several}{free}."


def _size(count: int | None) -> str:
    return "unknown" if count is None else gigabytes(count)


def _controls(populations: dict[str, Any]) -> dict[str, list[str]]:
    controls: dict[str, list[str]] = {}
    for name, population in populations.items():
        if population["control"] is not None:
            controls.setdefault(population["control"], []).append(name)
    return controls


def _count(number: int) -> str:
    return f"{number:,}" if number else "–"


def _stored(count: int | str, population: dict[str, Any]) -> str:
    return str(count) if isinstance(count, str) else f"{count} of {population['members']}"


def _updates(updates: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("iteration", "epoch", "sparsity"):
        table.add_column(column, justify="right")
    shown = updates if len(updates) <= MOST_UPDATES else updates[: MOST_UPDATES // 2] + updates[-MOST_UPDATES // 2 :]
    for i, update in enumerate(shown):
        if len(shown) < len(updates) and i == MOST_UPDATES // 2:
            table.add_row("…", "…", "…")
        table.add_row(f"{update['iteration']:,}", f"{update['epoch']:.2f}", f"{update['sparsity']:.4f}")
    return table
