"""Refuses data that this machine cannot hold, before anything is decoded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from prunekit import InputError

_RESERVE = 64 << 20
"""Bytes of disk that are left to others."""


def check_memory(needed: int) -> None:
    """Raise InputError where ``needed`` bytes of decoded images do not fit into the memory that is free now."""
    available = available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"the decoded images take {_size(needed)} of memory and {_size(available)} are available: data larger than"
            " memory is not streamed yet, so use fewer images, or smaller ones"
        )


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


def available_memory() -> int | None:
    """Return the bytes of memory that this process may still take; None where the system does not tell."""
    known = [each for each in (_of_the_machine(), _of_the_container()) if each is not None]
    return min(known, default=None)


def _of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        names = getattr(os, "sysconf_names", {})
        whole = "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if whole else None
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _of_the_container() -> int | None:
    """The limit of the control group (version 2) that containers put a process under."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return None
    return int(limit) if limit.isdigit() else None


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
