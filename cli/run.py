"""``prunekit run``."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from prunekit.runner import RunResult


@click.command(no_args_is_help=True)
@click.argument("recipe")
@click.option("--profile", metavar="NAME", help="Apply one of the recipe's profiles.")
@click.option(
    "--set", "assignments", multiple=True, metavar="A.B=VALUE", help="Change a key of the recipe; repeatable."
)
@click.option(
    "--seeds",
    metavar="N | A:B",
    help="Members per population (seeds 0 … N-1), or the seeds A … B-1 alone, so that machines share a study.",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes (default: as cores and memory allow).")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Results (default: $PRUNEKIT_RUNS or ./runs)."
)
@click.option("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda where there is one).")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table", help="How to print.")
def run(
    recipe: str,
    profile: str | None,
    assignments: tuple[str, ...],
    seeds: str | None,
    jobs: int | None,
    out: Path | None,
    device: str | None,
    dry_run: bool,
    layout: str,
) -> None:
    """Train, prune and observe the populations of RECIPE: a file, or the name of a recipe that ships.

    What is stored already is never done again; a run that was stopped goes on where it was.

    \b
    Examples:
      prunekit run recipes/scl_onshot_90.yaml
      prunekit run scl_onshot_90 --seeds 4 --set populations.sparse.stages.prune.schedule.sparsity=0.95
      prunekit run table1 --seeds 10:20 --out /shared/runs
      prunekit run my_recipe.yaml --dry-run
    """
    from prunekit.portion import parse_seeds
    from prunekit.recipe import load
    from prunekit.store import Store, default_root
    from prunekit.study import resolve

    part = None if seeds is None else parse_seeds(seeds)
    study = resolve(load(recipe, profile=profile, assignments=assignments, seeds=part))
    root = out or default_root()
    if dry_run:
        from prunekit.capacity import choose_device
        from prunekit.outline import outline

        from .outline import print_outline

        plan = outline(study, Store(root), jobs=jobs, device=choose_device(device))
        print(json.dumps(plan, indent=2, ensure_ascii=False)) if layout == "json" else print_outline(plan)
        return

    from prunekit.runner import execute

    from .live import Display

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Display() as display:
        result = execute(study, Store.create(root), jobs=jobs, device=device, listener=display)
    _finish(result, layout, "" if out is None else f" --out {out}")


def _finish(result: RunResult, layout: str, where: str) -> None:
    from prunekit.errors import PrunekitError

    if layout == "json":
        body: dict[str, Any] = {**vars(result), "store": str(result.store), "log": str(result.log)}
        print(json.dumps(body, indent=2, ensure_ascii=False))
    for label, error in result.failures.items():
        click.echo(f"failed: {label}: {error}", err=True)
    if result.failures:
        failed = {label.rpartition(":")[0] for label in result.failures}
        waiting = {label.rpartition(":")[0]: None for label in result.skipped if label.rpartition(":")[0] not in failed}
        if waiting:
            click.echo(f"not done, for they start from a failed member: {', '.join(waiting)}", err=True)
        finished = result.members - len(failed) - len(waiting)
        raise PrunekitError(
            f"{len(failed)} of {result.members} members failed, {finished} are finished and stored:"
            f" the same command goes on with the rest (log: {result.log})"
        )
    if layout == "table":
        done = "nothing to do: everything is in the store" if not result.done else "all done"
        members = f"{result.members} member{'s' * (result.members != 1)}"
        click.echo(f"{result.study}: {members}, {done} ({result.store}). Next: prunekit report{where}")
