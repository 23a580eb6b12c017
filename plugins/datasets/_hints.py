"""Words that error messages about data share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from prunekit import InputError, did_you_mean


def few(names: Sequence[str], most: int = 5) -> str:
    """Return ``a, b, c and 7 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def there(folder: Path) -> str:
    """Return what a folder holds, in a few words."""
    names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    return f"there: {few(names)}" if names else "it is empty"


def existing(name: str, kind: Literal["folder", "file"]) -> Path:
    """Return the path called ``name``, ``~`` expanded. Raises InputError where it is not there, or no ``kind``."""
    path = Path(os.path.expanduser(name))  # unlike Path.expanduser, leaves an unknown ~user alone
    if path.is_dir() if kind == "folder" else path.is_file():
        return path
    if path.exists():
        raise InputError(f"{path}: is no {kind}")
    missing = path.absolute()
    while not missing.parent.is_dir():
        missing, kind = missing.parent, "folder"
    hint = did_you_mean(missing.name, (each.name for each in missing.parent.iterdir()))
    raise InputError(f"{path}: there is no {kind} {missing.name!r} in {missing.parent}{hint}")
