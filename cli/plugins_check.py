"""``prunekit plugins check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from prunekit.protocols import Plugin
    from prunekit.registry import Entry
    from prunekit.testing import Held

SPARSITY = 0.9
"""What a schedule is checked with unless ``--set sparsity=`` says otherwise."""
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "yellow")}


@click.command("check", no_args_is_help=True)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Only the plugin of that name.")
@click.option("--set", "assignments", multiple=True, metavar="OPTION=VALUE", help="Set one of its options; repeatable.")
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table", help="How to print.")
def check(file: Path, name: str | None, assignments: tuple[str, ...], layout: str) -> None:
    """Run the contract of its kind on every plugin that FILE registers; exit with 1 where something does not hold.

    ✓ holds, ✗ does not, – does not apply here.

    \b
    Examples:
      prunekit plugins check my_idea.py
      prunekit plugins check my_ideas.py --name second --set strength=0.5
    """
    from prunekit.errors import InputError, PrunekitError, did_you_mean
    from prunekit.registry import registry
    from prunekit.testing.contract import each_check

    known = registry.with_files([file])
    entries = [entry for entry in known.entries() if entry.origin == str(file.resolve())]
    chosen = [entry for entry in entries if name in (None, entry.name)]
    if not chosen:
        raise InputError(f"{file}: registers no {name!r}" + did_you_mean(str(name), [entry.name for entry in entries]))
    if assignments and len(chosen) > 1:
        names = ", ".join(entry.name for entry in chosen)
        raise InputError(f"{file}: registers {names}: --name says whose option --set is")
    plugins = [(entry, _plugin(entry, assignments)) for entry in chosen]
    report: list[dict[str, Any]] = []
    failed = 0
    for entry, plugin in plugins:
        if layout == "table":
            click.echo(f"{click.style(entry.name, bold=True)} ({plugin.kind}), {file}")
        found: list[Held] = []
        for held in each_check(plugin):
            found.append(held)
            if layout == "table":
                click.echo(_line(held))
        failed += sum(held.held is False for held in found)
        report.append({"kind": plugin.kind, "name": entry.name, "checks": [vars(held) for held in found]})
    if layout == "json":
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    if failed:
        checks = sum(len(each["checks"]) for each in report)
        raise PrunekitError(f"{file}: {failed} of {checks} checks do not hold")


def _line(held: Held) -> str:
    mark, colour = _MARKS[held.held]
    detail = f": {held.detail}" if held.detail else ""
    return f"  {click.style(mark, fg=colour)} {held.name.replace('_', ' ')}{detail}"


def _plugin(entry: Entry, assignments: tuple[str, ...]) -> Plugin:
    """Return the plugin with the options that ``--set`` gives; a schedule gets a sparsity by itself."""
    from pydantic import ValidationError

    from prunekit.documents import assignment
    from prunekit.errors import InputError, describe_problem

    options: dict[str, Any] = {"sparsity": SPARSITY} if entry.plugin.kind == "schedule" else {}
    for each in assignments:
        options |= assignment(each).plain()
    try:
        return entry.plugin.model_validate(options)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = ".".join(str(piece) for piece in problem["loc"])
        where = f"the {entry.plugin.kind} {entry.name}: {option}"
        if problem["type"] == "missing":
            raise InputError(f"{where} has no default: --set {option}=VALUE") from None
        raise InputError(f"{where}: {describe_problem(problem)}") from None
