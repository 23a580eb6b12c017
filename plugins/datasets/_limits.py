"""Refuses what the disk cannot hold, before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from prunekit import InputError

_RESERVE = 64 << 20
"""Bytes of disk that are left to others."""


def check_disk(needed: int, folder: Path, variable: str, what: str = "the decoded images take") -> None:
    """Raise InputError where ``needed`` bytes do not fit on the disk of ``folder``, which need not exist yet.

    ``variable`` is the environment variable, or the option, that chooses another folder.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free - _RESERVE
    if needed > free:
        raise InputError(
            f"{what} {_size(needed)} of disk and {_size(max(0, free))} are free in {folder}:"
            f" make room, or set {variable} to a folder on a larger disk"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
