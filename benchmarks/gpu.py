"""Training WRN-16-2 on a GPU, images per second: one member, and several at once, each in a process of its own.

    python benchmarks/gpu.py [--device cuda:N]

Members share the GPU as those of ``prunekit run --jobs N`` do; their images are added. Exits with 2 without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

import torch
from loops import Job, timed

from prunekit.pool import worker_environment

SETTINGS = {
    "cross_entropy, batch 128": Job("prunekit", "cross_entropy", batch_size=128, steps=200),
    "supcon, batch 1024": Job("prunekit", "supcon", batch_size=1024, steps=30),
}
MEMBERS = (1, 2, 4, 8)
"""Members at once, as far as there are cores."""


def main() -> int:
    """Print one line per setting, precision and number of members."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    if not torch.cuda.is_available():
        print("torch sees no CUDA device here: nothing to measure", file=sys.stderr)
        return 2
    cores = len(os.sched_getaffinity(0))
    print(f"{torch.cuda.get_device_name(device)}, {cores} cores, torch {torch.__version__}")
    for name, setting in SETTINGS.items():
        for precision in ("fp32", "bf16"):
            alone = 0.0
            for members in (count for count in MEMBERS if count <= cores):
                job = replace(setting, precision=precision, device=device)
                timings = timed(job, members, worker_environment(threads=1))
                speed = sum(timing.speed for timing in timings)
                alone = alone or speed
                memory = max(timing.memory for timing in timings) / 1e9
                print(
                    f"  {name}, {precision}, {members} at once: {speed:8,.0f} images/s"
                    f"  × {speed / alone:.2f}  {memory:.1f} GB each",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
