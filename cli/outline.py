"""What ``prunekit run --dry-run`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from prunekit.capacity import gigabytes
from prunekit.report.terminal import PIPE_WIDTH

from .live import duration

MOST_UPDATES = 12
"""Updates of a stage that are shown one by one; of more, the first and the last few."""
MOST_LISTS = 4
"""Stages whose updates are listed."""


def print_outline(plan: dict[str, Any]) -> None:
    """Print the plan of a study as tables."""
    console = Console(highlight=False)
    stages = _stages(plan["populations"])
    if not console.is_terminal:  # names are wanted whole where a program or an editor reads them
        console.width = 1000
        console.width = max(PIPE_WIDTH, console.measure(stages).maximum)
    data = plan["data"]
    sizes = f"{data['train']:,} training, {data['validation']:,} validation, {data['test']:,} test images"
    if plan["memory"] is None:  # predictions alone: nobody said what the examples are
        sizes = f"{data['test']:,} examples"
    console.print(
        f"[bold]{plan['study']}[/]: {plan['members']:,} members in {len(plan['populations'])} populations,"
        f" on {data['name']} ({sizes}, {data['classes']} classes)"
    )
    console.print(stages)
    if any(population["observed"] == "unknown" for population in plan["populations"].values()):
        console.print("Stored: unknown until the images have been read once.")
    for control, names in _controls(plan["populations"]).items():
        console.print(f"{control} is the control of {', '.join(names)}: the same without pruning")
    _print_updates(console, plan["populations"])
    if plan["memory"] is not None:  # there are networks
        console.print(_memory(plan["memory"]))
        console.print(_time(plan["time"]))
    console.print(f"Disk: about {plan['disk_bytes'] / 1e6:,.0f} MB under {plan['store']}. Nothing was done.")


def _print_updates(console: Console, populations: dict[str, Any]) -> None:
    pruning = [
        (f"{name}, {stage['name']}: {len(stage['updates'])} updates of {stage['prunes']:,} weights", stage["updates"])
        for name, population in populations.items()
        for stage in population["stages"]
        if len(stage["updates"]) > 1
    ]
    for title, updates in pruning[:MOST_LISTS]:
        console.print(title, style="bold")
        console.print(_updates(updates))
    if len(pruning) > MOST_LISTS:
        console.print(f"… and those of {len(pruning) - MOST_LISTS} more stages: --format json lists all of them")


def _stages(populations: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("population", "from", "stage"):
        table.add_column(column, overflow="fold")
    for column in ("members", "epochs", "batch", "iterations", "prunes", "to", "updates", "memory", "stored"):
        table.add_column(column, justify="right")
    for name, population in populations.items():
        heads, members = [name, population["from"] or "–"], f"{population['members']:,}"
        for stage in population["stages"]:
            counts = [_count(stage[key]) for key in ("epochs", "batch_size", "iterations", "prunes")]
            sparsity = f"{stage['updates'][-1]['sparsity']:.4g}" if stage["updates"] else "–"
            ends = [sparsity, _count(len(stage["updates"])), _size(stage["memory_bytes"])]
            table.add_row(*heads, stage["name"], members, *counts, *ends, _stored(stage["stored"], population))
            heads = ["", ""]
        what, size = ("observe", _size(population["observing_bytes"])) if population["stages"] else ("predictions", "–")
        table.add_row(*heads[:2], what, members, *["–"] * 6, size, _stored(population["observed"], population))
    return table


def _memory(memory: dict[str, Any]) -> str:
    """``Memory: about 1.2 GB per process, 2.4 GB for 2 of them (23.1 GB are free).``"""
    jobs, where = memory["jobs"], "" if memory["device"] == "cpu" else f" on {memory['device']}"
    if memory["bytes"] is None:
        return f"Memory: cannot be told; {jobs} process{'es' * (jobs > 1)}."
    free = "" if memory["available_bytes"] is None else f" ({_size(memory['available_bytes'])} are free)"
    several = f", {_size(memory['bytes'])} for {jobs} at once" if jobs > 1 else ""
    return f"Memory{where}: about {_size(memory['worker_bytes'])} per process{several}{free}."


def _time(time: dict[str, Any]) -> str:
    """Return how long the run takes, and what that rests on."""
    unknown = ", ".join(time["unknown"][:MOST_LISTS]) + (", …" if len(time["unknown"]) > MOST_LISTS else "")
    if time["seconds"] is None:
        return f"Time: unknown: nothing like {unknown} was run on this machine."
    if not time["tasks"]:
        return "Time: nothing is left to do."
    jobs = f"{time['jobs']} job{'s' * (time['jobs'] != 1)}"
    about = f"about {duration(time['seconds'])} with {jobs} (starting up aside)"
    found = f"from {time['measurements']:,} stages and observations measured on this machine"
    return f"Time: {about}, {found}" + (f"; and what {unknown} take, which is unknown." if unknown else ".")


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
