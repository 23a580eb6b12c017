"""``prunekit report``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from prunekit.comparison import Comparison
    from prunekit.report.arrays import LoadedStudy
    from prunekit.report.build import Report

PATIENCE = 5
"""Seconds of drawing without a word."""
FORMATS = ("table", "json", "csv", "markdown", "latex")


@click.command()
@click.argument("study", required=False)
@click.option(
    "--compare",
    "pairs",
    multiple=True,
    metavar="REF,A[,B…]",
    help="Compare A, B… with REF (default: the recipe's comparisons); repeatable.",
)
@click.option("--format", "layout", type=click.Choice(FORMATS), default="table", help="How to print.")
@click.option(
    "--measure",
    "added",
    multiple=True,
    metavar="NAME",
    help="Also measure this, from stored weights: a name, '{name: …, option: …}', or all; repeatable.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Plugin file (Python) that registers a measure for --measure; repeatable.",
)
@click.option("--published", is_flag=True, help="Set the recipe's published numbers beside the study's.")
@click.option(
    "--examples",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write one row per example, population and member: .csv or .parquet.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a page that holds everything itself, to be sent to others.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write every figure as PNG and SVG into this folder; it is made if need be.",
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 3 where a figure of the JSON meets this, such as 'pie.fraction > 0.02'; repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Results (default: $PRUNEKIT_RUNS or ./runs)."
)
def report(
    study: str | None,
    pairs: tuple[str, ...],
    layout: str,
    added: tuple[str, ...],
    files: tuple[Path, ...],
    published: bool,
    examples: Path | None,
    figures: Path | None,
    html: Path | None,
    conditions: tuple[str, ...],
    out: Path | None,
) -> None:
    """Show what pruning lost in STUDY (default: the one run last), with the chance level beside every finding.

    \b
    Examples:
      prunekit report --compare dense,sparse
      prunekit report scl-oneshot-90 --format json > report.json
      prunekit report table1 --published
      prunekit report --measure umap --measure '{name: prediction_depth, reference: prediction}'
      prunekit report --examples examples.parquet
      prunekit report table1 --figures figures
      prunekit report --html report.html
      prunekit report --fail-if 'pie.fraction > 0.02' --fail-if 'accuracy.difference < -1 %'
    """
    # A report multiplies small matrices: threads that wait for each other take longer. Read as numpy is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from prunekit.errors import GateError
    from prunekit.report.build import build_report
    from prunekit.report.examples import check_path, write_examples
    from prunekit.report.figure_files import check_folder
    from prunekit.report.files import check_file
    from prunekit.report.gates import Gate
    from prunekit.store import default_root

    gates = [Gate.parse(condition) for condition in conditions]
    if examples is not None:
        check_path(examples)
    if figures is not None:
        check_folder(figures)
    if html is not None:
        check_file("--html", html)
    loaded = _measured(out or default_root(), study, added, files)
    compared = comparisons_of(loaded, pairs)
    built = build_report(loaded, compared, published=published)
    met = [figure for gate in gates for figure in gate.met(built.document)]
    if layout == "table":
        from prunekit.report.terminal import print_report

        print_report(built)
    else:
        from prunekit.report import text

        sys.stdout.write(getattr(text, f"to_{layout}")(built))
        for note in built.notes:
            click.echo(f"note: {note}", err=True)
    if examples is not None:
        write_examples(loaded, examples)
        click.echo(f"wrote {examples}", err=True)
    if figures is not None:
        _draw(built, loaded, figures)
    if html is not None:
        from prunekit.report.images import without_images
        from prunekit.report.page import write_page

        write_page(loaded, built, compared, html)
        click.echo(f"wrote {html} ({html.stat().st_size / 1e6:.1f} MB)", err=True)
        if any(built.exemplars) and (reason := without_images(loaded)):
            click.echo(f"note: the page has no images: {reason}", err=True)
    if met:
        raise GateError(f"--fail-if: {'; '.join(met)}")


def _measured(root: Path, study: str | None, added: Sequence[str], files: Sequence[Path]) -> LoadedStudy:
    """Load the study; where measures are added, observe what they need first, and show how far that has come."""
    from prunekit.report.load import load_study

    if not added:
        return load_study(root, study)
    from prunekit.documents import parse

    from .live import Display

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the processes that observe, too
    measures = [parse(text, f"--measure {text}").plain() for text in added]
    with Display() as display:
        return load_study(root, study, measures=measures, files=files, listener=display)


def _draw(built: Report, loaded: LoadedStudy, folder: Path) -> None:
    """Write the figures and say so; where it takes long, how far that has come."""
    from prunekit.progress import listening
    from prunekit.report.figure_files import write_figures

    said = time.monotonic()

    def tell(what: str, done: int, total: int | None) -> None:
        nonlocal said
        if time.monotonic() - said > PATIENCE:
            said = time.monotonic()
            click.echo(f"{what}: {done} of {total}", err=True)

    with listening(tell):
        write_figures(built, loaded, folder)
    number = len(built.figures)
    found = f"wrote {number} figures to {folder}" if number else "no figures: no measure of the study draws any"
    click.echo(found, err=True)


def comparisons_of(study: LoadedStudy, pairs: Sequence[str]) -> list[Comparison]:
    """Read ``REF,A,B`` as REF with A and REF with B; nothing is the recipe's own comparisons."""
    from prunekit.errors import InputError

    if not pairs:
        return list(study.comparisons)
    wanted: dict[tuple[str, str], Comparison] = {}
    for pair in pairs:
        reference, *others = [name.strip() for name in pair.split(",")]
        if not others:
            raise InputError(f"--compare {pair}: expected the reference and what is compared with it: REF,A[,B…]")
        for other in others:
            wanted[reference, other] = study.compare(reference, other)
    return list(wanted.values())
