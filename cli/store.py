"""``prunekit store``."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from prunekit.housekeeping import Deletion, Inventory, StoredResult
    from prunekit.store import Store

_OUT = click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The store (default: $PRUNEKIT_RUNS or ./runs)."
)
_FORMAT = click.option(
    "--format", "layout", type=click.Choice(["table", "json"]), default="table", help="How to print."
)


@click.group(invoke_without_command=True)
@click.pass_context
def store(context: click.Context) -> None:
    """List what was run and what it takes on the disk, and delete what nobody needs.

    \b
    Examples:
      prunekit store list --stages
      prunekit store delete --unused --dry-run
      prunekit store delete scl-oneshot-90
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@store.command("list")
@click.option("--stages", is_flag=True, help="Also list every result by key, and which studies use it.")
@_FORMAT
@_OUT
def list_(stages: bool = False, layout: str = "table", out: Path | None = None) -> None:
    """List the studies: members that are finished, size, and what deleting each would free."""
    from prunekit.housekeeping import take_stock

    place = _store(out)
    stock = take_stock(place)
    body = _described(place, stock, stages)
    print(json.dumps(body, indent=2, ensure_ascii=False)) if layout == "json" else _print(body)


@store.command()
@click.argument("names", nargs=-1, metavar="[STUDY | KEY]...")
@click.option("--unused", is_flag=True, help="Whatever no study needs: results, checkpoints, files half written.")
@click.option("--older-than", metavar="AGE", help="Only what was not written since: 12h, 30d, 8w.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("--force", is_flag=True, help="Delete what a study needs, or may need: it is made again when run.")
@_FORMAT
@_OUT
def delete(
    names: tuple[str, ...],
    unused: bool,
    older_than: str | None,
    dry_run: bool,
    force: bool,
    layout: str,
    out: Path | None,
) -> None:
    """Delete studies with what nothing else needs, results by key, or all that no study names.

    What another study needs stays; what is running is never deleted.

    \b
    Examples:
      prunekit store delete --unused --older-than 30d --dry-run
      prunekit store delete scl-oneshot-90-1a2b3c4d
      prunekit store delete 5f0c2b7d9e11 --force
    """
    from prunekit import housekeeping
    from prunekit.errors import InputError

    if not names and not unused:
        raise InputError("say what to delete: studies or keys (`prunekit store list --stages` shows them), or --unused")
    age = None if older_than is None else housekeeping.parse_age(older_than)
    act = housekeeping.plan_deletion if dry_run else housekeeping.delete
    deletion = act(_store(out), names, unused=unused, older_than=age, force=force)
    if layout == "json":
        body = {**vars(deletion), "drafts": [str(path) for path in deletion.drafts], "dry_run": dry_run}
        print(json.dumps({**body, "bytes": body.pop("size")}, indent=2, ensure_ascii=False))
    else:
        _print_deletion(deletion, dry_run)


def _store(out: Path | None) -> Store:
    from prunekit.store import Store, default_root

    return Store(out or default_root())


def _described(place: Store, stock: Inventory, stages: bool) -> dict[str, Any]:
    """Return the inventory as JSON."""
    body: dict[str, Any] = {
        "store": str(place.root),
        "studies": [
            {
                "name": study.name,
                "identity": study.identity,
                "last_run": datetime.fromtimestamp(study.changed).astimezone().isoformat(timespec="seconds"),
                "age_seconds": round(time.time() - study.changed),
                "members": study.asked,
                "finished": study.finished,
                "bytes": stock.size(study.keys),
                "freed_bytes": stock.size(stock.freed_with(study)),
                "running": study.identity in stock.busy,
                "damaged": study.plan is None,
            }
            for study in stock.studies.values()
        ],
        "results": len(stock.results),
        "bytes": stock.size(stock.results),
        "unused": {"results": len(stock.unused), "bytes": stock.size(stock.unused)},
    }
    if stages:
        body["stages"] = [
            {
                "key": result.key,
                **_stage(place, result),
                "finished": result.finished,
                "bytes": result.size,
                "age_seconds": round(time.time() - result.changed),
                "used_by": stock.users(result.key),
            }
            for result in stock.results.values()
        ]
    return body


def _stage(place: Store, result: StoredResult) -> dict[str, Any]:
    """Return what is recorded of a stage; that it is damaged, not finished, or predictions in place of a member."""
    from prunekit.outline import SPLIT
    from prunekit.store import DamagedError

    if not result.finished:
        return {"stage": "unfinished", "seed": None}
    try:
        if not place.has_stage(result.key):
            record = place.find_observation(result.key, SPLIT) or {}
            return {"stage": "predictions", "seed": record.get("seed")}
        record = place.find_stage(result.key)
    except DamagedError:
        return {"stage": "damaged", "seed": None}
    kinds = {"objective": "train", "schedule": "prune", "rewind": "rewind", "checkpoints": "given"}
    said, kind = next(each for each in kinds.items() if each[0] in record["stage"])
    of = record["stage"][said]
    name = of["name"] if isinstance(of, dict) else ", ".join(of) if isinstance(of, list) else of
    return {"stage": f"{kind} {name}", "seed": record["seed"]}


def _print(body: dict[str, Any]) -> None:
    console = _console()
    console.print(_studies(body["studies"]))
    if "stages" in body:
        console.print(_results(body["stages"]))
    unused = body["unused"]
    console.print(f"{body['store']}: {_megabytes(body['bytes'])} in {body['results']:,} results.")
    if unused["results"]:
        console.print(
            f"No study needs {unused['results']:,} of them, {_megabytes(unused['bytes'])}:"
            " `prunekit store delete --unused`"
        )


def _studies(studies: list[dict[str, Any]]) -> Any:
    table = _table(("study", "identity", "last run"), ("age", "finished", "size", "deleting it frees"))
    for study in studies:
        finished = "damaged" if study["damaged"] else f"{study['finished']} of {study['members']}"
        state = ", running" if study["running"] else ""
        when = study["last_run"][:16].replace("T", " ")
        sizes = [_megabytes(study["bytes"]), _megabytes(study["freed_bytes"])]
        table.add_row(study["name"], study["identity"], when, _age(study["age_seconds"]), f"{finished}{state}", *sizes)
    return table


def _results(stages: list[dict[str, Any]]) -> Any:
    table = _table(("key", "stage"), ("seed", "size", "age"), ("used by",))
    for stage in stages:
        seed = "–" if stage["seed"] is None else str(stage["seed"])
        numbers = [seed, _megabytes(stage["bytes"]), _age(stage["age_seconds"])]
        table.add_row(stage["key"][:12], stage["stage"], *numbers, ", ".join(stage["used_by"]) or "–")
    return table


def _print_deletion(deletion: Deletion, dry_run: bool) -> None:
    console = _console()
    for identity in deletion.studies:
        console.print(f"study {identity}")
    for kept in deletion.kept:
        console.print(f"kept: {kept}")
    parts = [
        f"{len(found):,} {name if len(found) == 1 else plural}"
        for found, name, plural in (
            (deletion.studies, "study", "studies"),
            (deletion.results, "result", "results"),
            (deletion.drafts, "leftover", "leftovers"),
        )
        if found
    ]
    if not parts:
        console.print("nothing to delete")
        return
    console.print(f"{'would delete' if dry_run else 'deleted'} {', '.join(parts)}: {_megabytes(deletion.size)}")


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:  # names are wanted whole where a program or an editor reads them
        console.width = 1000
    return console


def _table(left: tuple[str, ...], right: tuple[str, ...], last: tuple[str, ...] = ()) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in left:
        table.add_column(column, overflow="fold")
    for column in right:
        table.add_column(column, justify="right")
    for column in last:
        table.add_column(column, overflow="fold")
    return table


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
