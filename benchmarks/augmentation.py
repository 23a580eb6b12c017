"""Augmented images per second, one thread: prunekit's batches against PIL transforms in a DataLoader without workers.

    python benchmarks/augmentation.py

Both begin with 32×32 images of 8 bits and end with normalised float batches of 256, in the environment of a worker
process. Variants take turns; medians.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from loops import CLASSES, Pictures, random_split, released_transform
from torch.utils.data import DataLoader

from prunekit.data import DeviceData
from prunekit.images import Batch, ImageData
from prunekit.plugins.augmentations.crop_flip import CropFlip
from prunekit.plugins.augmentations.simclr import SimClrAugmentation
from prunekit.pool import worker_environment
from prunekit.protocols import Augmentation

SETTINGS: dict[str, tuple[str, Augmentation, int]] = {
    "crop_flip, one view": ("cross_entropy", CropFlip(), 1),
    "simclr, two views": ("supcon", SimClrAugmentation(), 2),
}
"""What the released code transforms for, our augmentation, and views of each image."""
IMAGES, BATCH, ROUNDS = 2048, 256, 5


def main() -> None:
    """Print one line per augmentation."""
    if not worker_environment(threads=1).items() <= os.environ.items():  # the allocator reads it as a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **worker_environment(threads=1)})
    torch.set_num_threads(1)
    split = random_split(IMAGES, 3, 32)
    data = DeviceData(ImageData(CLASSES, split, random_split(0, 3, 32), random_split(1, 3, 32)))
    for name, (objective, augment, views) in SETTINGS.items():
        loader = DataLoader(Pictures(split, released_transform(objective, 32)), batch_size=BATCH, shuffle=True)
        theirs, ours = measure(partial(passed, loader), partial(passed, Epoch(data, augment, views)))
        print(f"{name}: PIL {theirs:6,.0f} images/s, prunekit {ours:6,.0f}  × {ours / theirs:.1f}")


class Epoch:
    """Batches of one epoch, each time that it is gone through."""

    def __init__(self, data: DeviceData, augment: Augmentation, views: int) -> None:
        self.data, self.augment, self.views = data, augment, views
        self.random = torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[Batch]:
        return self.data.epoch(BATCH, self.augment, self.views, self.random, self.random)


def passed(batches: Iterable[object]) -> None:
    """Go through ``batches``, keeping none."""
    for _ in batches:
        pass


def measure(*runs: Callable[[], object]) -> list[float]:
    """Return the median images per second of each run; they take turns, the first round warms up."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS + 1):
        for run, times in zip(runs, seconds, strict=True):
            begun = time.perf_counter()
            run()
            times.append(time.perf_counter() - begun)
    return [IMAGES / statistics.median(times[1:]) for times in seconds]


if __name__ == "__main__":
    main()
