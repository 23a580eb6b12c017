"""What the machine has: devices, cores, free memory; and how many processes that is enough for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from prunekit.errors import InputError

if TYPE_CHECKING:
    from prunekit.images import DataSummary

MOST_PER_GPU = 4
"""Processes that share a GPU by default. They take turns on it, so that each hides the others' waits for the CPU."""


def choose_device(device: str | None) -> str:
    """Return the device asked for, or CUDA where there is one, or the CPU. Raises InputError."""
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise InputError(f"--device {device}: expected cpu, cuda or cuda:N") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {device}: torch sees no CUDA device here")
    if kind not in ("cpu", "cuda"):
        raise InputError(f"--device {device}: expected cpu, cuda or cuda:N")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {device}: torch sees {torch.cuda.device_count()} CUDA devices here")
    return device


def default_jobs(device: str, threads: int, needed: int | None = None, free: int | None = None) -> int:
    """Return how many processes share ``device``.

    One per core (of ``threads`` threads each); on a GPU no more than ``MOST_PER_GPU``; and only as many as fit into
    the ``free`` bytes of memory where each takes ``needed`` bytes, but one at least. None: not known.
    """
    jobs = max(1, available_cores() // threads)
    if device != "cpu":
        jobs = min(jobs, MOST_PER_GPU)
    if needed is not None and free is not None:
        jobs = max(1, min(jobs, free // needed))
    return jobs


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: str, system: Path = Path("/")) -> int | None:
    """Return the bytes that are free on ``device``; None where the system does not tell.

    Of main memory that is what the machine has and the container allows; memory that only caches files counts as free.
    ``system`` is the root of the file system.
    """
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    known = [_of_the_machine(system / "proc/meminfo"), _of_the_container(system / "sys/fs/cgroup")]
    return min((each for each in known if each is not None), default=None)


def _of_the_machine(meminfo: Path) -> int | None:
    if not meminfo.exists():
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _of_the_container(group: Path) -> int | None:
    """Return what the control group (version 2) leaves; None where there is none, or no limit."""
    limit, used, details = (group / name for name in ("memory.max", "memory.current", "memory.stat"))
    if not (limit.exists() and used.exists() and details.exists()) or limit.read_text().strip() == "max":
        return None
    cached = re.search(r"^inactive_file (\d+)", details.read_text(), re.MULTILINE)
    held = int(used.read_text()) - (int(cached[1]) if cached else 0)
    return max(0, int(limit.read_text()) - held)


def check_data(data: DataSummary, free: int | None = None) -> None:
    """Raise InputError where the images of a data set do not fit into ``free`` bytes: by default, what is free now."""
    shape = data.shape
    needed = (data.train + data.validation + data.test) * shape.channels * shape.height * shape.width
    free = free_memory("cpu") if free is None else free
    if free is not None and needed > free:
        raise InputError(
            f"the images take {gigabytes(needed)} of memory and {gigabytes(free)} are free: data larger than memory is"
            " not streamed yet, so use fewer images, or smaller ones"
        )


def memory_warning(device: str, jobs: int, usual: int, needed: int | None, free: int | None) -> str | None:
    """Return what there is to say where ``jobs`` processes may not fit into memory, or are fewer than ``usual``."""
    if needed is None or free is None:
        return None
    where = "of memory" if device == "cpu" else f"of memory on {device}"
    each = f"a process takes about {gigabytes(needed)} {where} and {gigabytes(free)} are free"
    if jobs * needed > free:
        remedy = "a smaller batch_size takes less" if jobs == 1 else f"--jobs {max(1, free // needed)} would fit"
        return f"{each}: {jobs} may not fit ({remedy})"
    return f"{each}: {jobs} at once instead of {usual}" if jobs < usual else None


def gigabytes(count: int) -> str:
    """``1.4 GB``."""
    return f"{count / 1e9:.1f} GB"
