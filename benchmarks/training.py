"""Training WRN-16-2 on two cores, images per second: ``prunekit run`` against the plain loop of the released code.

    python benchmarks/training.py [NAME…] [--rounds N]

The released code transforms PIL images one by one in a DataLoader without workers and trains in eager PyTorch, NCHW and
float32: one process of two threads. ``prunekit run`` has two processes of one thread on two cores, each with a member
of its own; their images are added. Both augment alike. Variants take turns and medians are compared, since such
machines are noisy: quote ratios, not times.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from loops import Job, Timing, timed

from prunekit.pool import worker_environment

CORES = 2
SETTINGS = {
    "cross_entropy, batch 128": (Job("released", "cross_entropy", batch_size=128, steps=5), (CORES, 1)),
    "supcon, batch 1024": (Job("released", "supcon", batch_size=1024, steps=1), (CORES,)),
}
"""What is trained, and in how many processes of prunekit at once."""


def main() -> None:
    """Print one line per variant of each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"settings that begin so, of {', '.join(SETTINGS)}")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for name, (job, processes) in SETTINGS.items():
        if not arguments.names or name.startswith(tuple(arguments.names)):
            report(name, job, processes, arguments.rounds)


def report(name: str, setting: Job, processes: Sequence[int], rounds: int) -> None:
    """Time all variants of a setting, ``rounds`` times in turns, and print their medians."""
    timings: dict[str, list[list[Timing]]] = {}
    for _ in range(rounds):
        timings.setdefault(f"released code, {CORES} threads", []).append(timed(replace(setting, threads=CORES)))
        for copies, precision in product(processes, ("fp32", "bf16")):
            ours = replace(setting, loop="prunekit", precision=precision)
            label = f"prunekit {precision}, {copies} process{'es' * (copies > 1)}"
            timings.setdefault(label, []).append(timed(ours, copies, worker_environment(threads=1)))
    print(f"{name}, {setting.size}×{setting.size}, images/s, median of {rounds}")
    reference_speed = 0.0
    for label, turns in timings.items():
        speed = statistics.median(sum(timing.speed for timing in turn) for turn in turns)
        reference_speed = reference_speed or speed
        memory = max(timing.memory for turn in turns for timing in turn) / 1e9
        print(f"  {label:29} {speed:7.1f}  × {speed / reference_speed:.2f}  {memory:.1f} GB a process", flush=True)


if __name__ == "__main__":
    main()
