"""One pruning update of ResNet-50, and forty of them, against torch.nn.utils.prune. Run: python benchmarks/pruning.py

The reference is ``global_unstructured`` with ``L1Unstructured``. Times are medians of runs that alternate between the
two; peak memory is the growth of the resident set, each measured in a process of its own.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils import prune

from prunekit import Pruner

SPARSITY = 0.9
REPEATS = 5
Masks = list[Tensor]


def network() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet50()


def layers(model: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(module, "weight") for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def reference(model: nn.Module) -> Masks:
    chosen = layers(model)
    weights = sum(module.weight.numel() for module, _ in chosen)
    prune.global_unstructured(chosen, prune.L1Unstructured, amount=round(weights * SPARSITY))
    return [module.weight_mask.bool() for module, _ in chosen]


def prunekit_update(model: nn.Module) -> Masks:
    return list(Pruner(model, sparsity=SPARSITY).masks.values())


def forty_updates(model: nn.Module) -> list[float]:
    """Return the resident set, in MB, before the first update and after each."""
    pruner = Pruner(model, "gmp", sparsity=SPARSITY, begin="1it", end="40it", every="1it")
    sizes = [resident()]
    for _ in range(40):
        pruner.step()
        sizes.append(resident())
    assert len(pruner.updates) == 40
    return sizes


SIDES: dict[str, Callable[[nn.Module], Masks]] = {"reference": reference, "prunekit": prunekit_update}


def resident() -> float:
    """Return the resident set in MB, free memory given back first. Linux."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return status("VmRSS")


def peak() -> float:
    """Return the largest resident set so far in MB (``ru_maxrss`` would begin with the parent process's)."""
    return status("VmHWM")


def status(key: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1000


def in_a_process(task: str, threads: int) -> dict[str, Any]:
    """Return what this file finds out for ``task`` in a process that does nothing else."""
    command = [sys.executable, __file__, task]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(task: str) -> dict[str, Any]:
    if task == "time":
        return timings()
    if task == "forty":
        return {"sizes": forty_updates(network())}
    model = network()
    Pruner(nn.Linear(1000, 1000), sparsity=0.5)  # what is imported and allocated on first use counts for neither side
    prune.l1_unstructured(nn.Linear(1000, 1000), "weight", amount=0.5)
    before = resident()
    SIDES[task](model)
    return {"peak": peak() - before}


def equal_but_for_ties(model: nn.Module, theirs: Masks, ours: Masks) -> tuple[bool, int]:
    """Whether both kept the same number, and differ at most among weights whose magnitude is the threshold itself."""
    magnitudes = torch.cat([module.weight.detach().abs().flatten() for module, _ in layers(model)])
    a, b = (torch.cat([mask.flatten() for mask in masks]) for masks in (theirs, ours))
    differing = magnitudes[a != b]
    threshold = magnitudes[~b].max()
    return int(a.sum()) == int(b.sum()) and bool((differing == threshold).all()), differing.numel()


def timings() -> dict[str, Any]:
    """Return the median seconds of each side, and whether the masks of the two are the same."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    masks: dict[str, Masks] = {}
    original = network()
    for _ in range(REPEATS):
        for side, update in SIDES.items():
            model = copy.deepcopy(original)
            start = time.perf_counter()
            masks[side] = update(model)
            seconds[side].append(time.perf_counter() - start)
    same, differing = equal_but_for_ties(original, masks["reference"], masks["prunekit"])
    return {**{side: statistics.median(each) for side, each in seconds.items()}, "same": same, "differing": differing}


def main() -> None:
    cores = os.cpu_count() or 1
    table = Table(
        "", "reference", "prunekit", "", title=f"ResNet-50 pruned to {SPARSITY:.0%}, torch {torch.__version__}"
    )
    for threads in sorted({1, cores}):
        found = in_a_process("time", threads)
        theirs, ours = found["reference"], found["prunekit"]
        label = f"one update, {threads} thread{'s' * (threads > 1)}"
        table.add_row(label, f"{theirs:.2f} s", f"{ours:.2f} s", f"{theirs / ours:.1f} times as fast")
        equal = "the same" if found["same"] else "NOT THE SAME"
        table.add_row("its mask", "", equal, f"{found['differing']} weights tied at the threshold differ")
    theirs, ours = (in_a_process(side, cores)["peak"] for side in SIDES)
    table.add_row("its peak memory", f"+{theirs:.0f} MB", f"+{ours:.0f} MB", f"{ours / theirs:.2f} of it")
    sizes = in_a_process("forty", cores)["sizes"]
    table.add_row(
        "memory after update 2 and 40", "", f"{sizes[2]:.0f}, {sizes[40]:.0f} MB", f"{sizes[40] - sizes[2]:+.0f} MB"
    )
    Console(width=120).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
