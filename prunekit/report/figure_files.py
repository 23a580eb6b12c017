"""The figures of a report as files: PNG on white, and SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prunekit.errors import InputError
from prunekit.figures import Exemplars, Figure
from prunekit.progress import tell_progress
from prunekit.report.arrays import LoadedStudy, NoImagesError
from prunekit.report.files import replacing

if TYPE_CHECKING:
    from prunekit.report.build import Report
    from prunekit.report.drawing import Images

LONGEST = 120
"""Characters of the name of a file."""


def check_folder(folder: Path) -> None:
    """Raise InputError unless ``folder`` exists, or its parent does."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--figures {folder}: is a file, expected a folder")
    if not folder.parent.is_dir():
        raise InputError(f"--figures {folder}: there is no folder {folder.parent}")


def write_figures(report: Report, study: LoadedStudy, folder: Path) -> list[Path]:
    """Write every figure of ``report`` as PNG (300 dots per inch) and SVG, and return the paths; none without figures.

    A folder that is not there is made. The same report gives the same bytes; a file appears whole or not at all.
    Raises InputError where ``folder`` cannot be written.
    """
    check_folder(folder)
    written = []
    for done, (stem, figure) in enumerate(zip(_stems(report.figures), report.figures, strict=True)):
        tell_progress("drawing figures", done, len(report.figures))
        for suffix, content in _files(figure, study):
            path = folder / f"{stem}{suffix}"
            _write(path, content)
            written.append(path)
    return written


def _files(figure: Figure, study: LoadedStudy) -> Iterator[tuple[str, bytes]]:
    from prunekit.report.drawing import draw, to_png, to_svg

    canvas = draw(figure, _images(figure, study))
    yield ".png", to_png(canvas, figure.title, figure.caption)
    yield ".svg", to_svg(canvas, figure.title, figure.caption)


def _images(figure: Figure, study: LoadedStudy) -> Images:
    """Return the images that a figure shows, or why there are none."""
    if not isinstance(figure, Exemplars):
        return "the figure shows none"
    try:
        return study.images([exemplar.index for exemplar in figure.exemplars])
    except NoImagesError as error:
        return str(error)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _stems(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield a name for the files of each figure that every file system takes, no two alike."""
    taken: set[str] = set()
    for figure in figures:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", figure.name).lstrip(".")[:LONGEST] or "figure"
        stem = next(
            each for each in (name, *(f"{name}-{n}" for n in range(2, 2 + len(figures)))) if each.lower() not in taken
        )
        taken.add(stem.lower())
        yield stem
