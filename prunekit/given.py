"""Files of members that were made elsewhere: found by patterns, told apart by what is in them. Imports no torch."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prunekit.errors import InputError, did_you_mean


@dataclass(frozen=True)
class GivenFile:
    """One member."""

    path: Path
    digest: str
    """SHA-256 of the file."""


def find_files(patterns: Sequence[str], folder: Path) -> tuple[GivenFile, ...]:
    """Return the files that match any of ``patterns``, globs relative to ``folder``; ``m-2`` comes before ``m-10``.

    Raises InputError where a pattern matches no file, with the nearest name, or a file cannot be read.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        here = Path(glob.escape(str(folder))) / Path(pattern).expanduser()  # of an absolute pattern that alone
        files = [Path(name) for name in glob.glob(str(here), recursive=True) if Path(name).is_file()]
        if not files:
            raise InputError(f"no file matches {pattern!r}{_nearest(folder, Path(pattern).expanduser())}")
        found |= dict.fromkeys(sorted(files, key=_natural))
    return tuple(GivenFile(path, digest_of(path)) for path in found)


def refuse_copies(files: Sequence[GivenFile]) -> None:
    """Raise InputError where two files hold the same bytes: one member would be counted twice."""
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(file.digest, file.path)
        if other != file.path:
            raise InputError(f"{file.path} holds the same as {other}: a member would be counted twice")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers by value."""
    pieces = re.split(r"(\d+)", str(path))
    return [(int(piece), "") if i % 2 else (-1, piece) for i, piece in enumerate(pieces)]


def _nearest(folder: Path, pattern: Path) -> str:
    """Say what there is where a pattern that matches nothing looks."""
    plain = [i for i, part in enumerate(pattern.parts) if glob.has_magic(part)]
    where = folder / (Path(*pattern.parts[: plain[0]]) if plain else pattern.parent)
    if not where.is_dir():
        return f": there is no folder {where}"
    return f" in {where}{did_you_mean(pattern.name, [file.name for file in where.iterdir() if file.is_file()])}"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file. Raises InputError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
