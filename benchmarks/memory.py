"""Memory of a worker process: what ``prunekit run --dry-run`` says against the most that was resident. Linux only.

    python benchmarks/memory.py

Every setting is a study of one member that trains for two steps on random images, is pruned and observed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PRUNEKIT = str(Path(sys.executable).with_name("prunekit"))
PLUGIN = '''
import numpy as np
from pydantic import Field
from prunekit import Dataset, DataSummary, ImageData, ImageShape, Split, register

@register("random_images")
class RandomImages(Dataset):
    """Random images with labels."""
    channels: int = Field(ge=1)
    size: int = Field(ge=1)
    train: int = Field(ge=1)
    def describe(self):
        shape = ImageShape(self.channels, self.size, self.size)
        return DataSummary(shape, tuple("0123456789"), self.train, 0, 1000)
    def fingerprint(self):
        return f"{self.channels} {self.size} {self.train}"
    def split(self, count):
        random = np.random.default_rng(count)
        images = random.integers(0, 256, (count, self.channels, self.size, self.size), dtype=np.uint8)
        return Split(images, np.arange(count) % 10, tuple(f"{count}-{i}" for i in range(count)))
    def load(self):
        return ImageData(tuple("0123456789"), self.split(self.train), self.split(0), self.split(1000))
'''
RECIPE = """
name: memory
data: {{name: random_images, channels: {channels}, size: {size}, train: {train}}}
model: wrn16_2
seeds: 1
plugins: [random_images.py]
populations:
  members:
    stages:
      train:
        objective: {objective}
        augment: {augment}
        batch_size: {batch_size}
        epochs: 1
        precision: {precision}
      prune: {{schedule: {{name: one_shot, sparsity: 0.9}}}}
"""
SETTINGS = [
    (1, 8, "supcon", 256, "fp32"),
    (3, 32, "cross_entropy", 128, "fp32"),
    (3, 32, "cross_entropy", 128, "bf16"),
    (3, 32, "supcon", 1024, "fp32"),
    (3, 32, "supcon", 1024, "bf16"),
]
"""Channels, height and width, objective, batch size, precision."""


def main() -> None:
    """Print one line per setting."""
    for channels, size, objective, batch_size, precision in SETTINGS:
        augment = "simclr" if objective == "supcon" else "crop_flip"
        text = RECIPE.format(**locals(), train=2 * batch_size)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "random_images.py").write_text(PLUGIN)
            recipe = Path(folder) / "memory.yaml"
            recipe.write_text(text)
            said, held = estimate(recipe), measure(recipe)
        setting = f"{channels}×{size}×{size}, {objective}, batch {batch_size}, {precision}"
        print(f"{setting:40} said {said / 1e9:.2f} GB, held {held / 1e9:.2f} GB  × {said / held:.2f}", flush=True)


def estimate(recipe: Path) -> int:
    """Return the bytes per process that a dry run prints."""
    command = [PRUNEKIT, "run", str(recipe), "--dry-run", "--format", "json"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(json.loads(result.stdout)["memory"]["worker_bytes"])


def measure(recipe: Path) -> int:
    """Run the study and return the most bytes that its one worker ever had resident."""
    command = [PRUNEKIT, "run", str(recipe), "--out", str(recipe.with_name("runs")), "--jobs", "1", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        most = 0
        while process.poll() is None:
            most = max(most, *map(resident, children(process.pid)), 0)
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit("the run failed")
    return most


def children(pid: int) -> list[str]:
    """Return the processes that a process started."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def resident(pid: str) -> int:
    """Return the most bytes that a process ever had resident; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    main()
