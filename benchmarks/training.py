"""Training steps of WRN-16-2 on one thread: prunekit's loop against the plain one, images per second.

    python benchmarks/training.py

The plain loop is eager PyTorch as most write it: contiguous images and weights, float32, no augmentation. Ours includes
drawing the batches, pruning masks and bookkeeping. Variants take turns and their medians are compared, since such
machines are noisy: quote ratios, not times. Set the allocator as ``prunekit run`` does for its workers:

    MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=2147483648 MALLOC_TOP_PAD_=67108864
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from prunekit.data import DeviceData
from prunekit.network import Network, build_network
from prunekit.plugins.backbones.wide_resnet import WideResNet
from prunekit.protocols import DataSummary, ImageData, ImageShape, Split
from prunekit.stages import TrainStage
from prunekit.training import StageContext, train

SETTINGS = [(ImageShape(1, 8, 8), 128, 1024), (ImageShape(3, 32, 32), 128, 256), (ImageShape(1, 8, 8), 512, 1024)]
"""Images, batch size, images per epoch."""
ROUNDS, EPOCHS = 3, 3
"""Measurements of each variant, and epochs of each measurement: beginning a stage takes time too."""


def main() -> None:
    """Print one line per setting and variant."""
    torch.set_num_threads(1)
    for shape, batch_size, count in SETTINGS:
        data = random_data(shape, count)
        variants: dict[str, Callable[[], None]] = {"plain loop": plain_loop(data, shape, batch_size)}
        for precision in ("fp32", "bf16"):
            variants[f"prunekit, {precision}"] = ours(data, shape, batch_size, precision)
        speeds = measure(variants, count)
        reference = speeds["plain loop"]
        print(f"{shape.channels}×{shape.height}×{shape.width}, batch {batch_size}")
        for name, speed in speeds.items():
            print(f"  {name:16} {speed:8.0f} images/s  × {speed / reference:.2f}")


def measure(variants: dict[str, Callable[[], None]], images: int) -> dict[str, float]:
    """Return the median images per second of each variant; they take turns, the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS + 1):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return {name: images * EPOCHS / statistics.median(times[1:]) for name, times in seconds.items()}


def random_data(shape: ImageShape, count: int) -> DeviceData:
    """Return random training images and one image to test."""
    random = np.random.default_rng(0)

    def split(size: int) -> Split:
        images = random.integers(0, 256, (size, shape.channels, shape.height, shape.width), dtype=np.uint8)
        return Split(images, np.arange(size) % 10, tuple(f"{size}-{i}" for i in range(size)))

    return DeviceData(ImageData(tuple("0123456789"), split(count), split(0), split(1)))


def new_network(shape: ImageShape) -> Network:
    """Return a WRN-16-2."""
    summary = DataSummary(shape, tuple("0123456789"), train=1, validation=0, test=1)
    return build_network(WideResNet(depth=16, width=2), summary, seed=0)


def plain_loop(data: DeviceData, shape: ImageShape, batch_size: int) -> Callable[[], None]:
    """Return a run of eager PyTorch."""
    network = new_network(shape)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.cat([batch.images[0] for batch in data.batches("train")]).contiguous()
    labels = data.part("train").labels

    def run() -> None:
        for _ in range(EPOCHS):
            for chosen in torch.split(torch.randperm(len(images)), batch_size):
                optimizer.zero_grad()
                F.cross_entropy(network(images[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    return run


def ours(data: DeviceData, shape: ImageShape, batch_size: int, precision: str) -> Callable[[], None]:
    """Return a stage that keeps half of the weights pruned."""
    network = new_network(shape)
    options = {"objective": "cross_entropy", "epochs": EPOCHS, "batch_size": batch_size, "precision": precision}
    sgd = {"name": "sgd", "lr": 0.01}
    half = {"schedule": {"name": "one_shot", "sparsity": 0.5}}
    stage = TrainStage.model_validate({**options, "optimizer": sgd, "prune": half})

    def run() -> None:
        train(network, stage, data, StageContext(0, 1), masks={})

    return run


if __name__ == "__main__":
    main()
