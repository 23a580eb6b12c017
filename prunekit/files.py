"""Files that are there whole or not at all, and that may go at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from prunekit.errors import PrunekitError


def write_whole(path: Path, content: bytes) -> None:
    """Write a draft beside ``path`` and rename it. Raises PrunekitError where that cannot be done."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")  # containers that share a folder number processes alike
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise PrunekitError(f"{path}: cannot be written: {error.strerror}") from error


def stats(paths: Iterable[Path]) -> dict[Path, os.stat_result]:
    """Return sizes and times of ``paths``, without those that other processes have taken away by now."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.stat()
    return found


def stats_within(folder: Path) -> dict[Path, os.stat_result]:
    """Return sizes and times of all files in a folder and the folders in it; {} where there is none."""
    return stats(Path(place, name) for place, _, names in os.walk(folder) for name in names)
