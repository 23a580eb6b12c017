"""Prediction depth: nearest neighbours against scikit-learn's, and what a whole member takes.

Run: python benchmarks/depth.py. Seconds are those that one core computed, so that other work on the machine matters
less; it takes a quarter of an hour of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from loops import CLASSES, new_network
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from prunekit.data import DeviceData
from prunekit.images import ImageData, ImageShape, Split
from prunekit.network import ObservedNetwork
from prunekit.plugins.measures.prediction_depth import PredictionDepth, neighbour_votes
from prunekit.worker import prepare_torch

BANK, QUERIES, K = 50_000, 10_000, 30
POOLED = {16: 1, 32: 5, 64: 5, 128: 5}
"""Dimensions of the probes of a WRN-16-2, averaged over positions, and how many there are of each."""
FLATTENED = {2048: QUERIES, 8192: 2_000}
"""Dimensions of larger ones, and queries."""
REPEATS = 3

Vectors = NDArray[np.float32]


def made_up(dimensions: int, queries: int) -> tuple[Vectors, NDArray[np.int64], Vectors]:
    """Return bank, its labels and queries: classes that overlap, of fewer dimensions than there are, after a ReLU."""
    random = np.random.default_rng(dimensions)
    rank = min(dimensions, 256)
    mixing = random.normal(size=(rank, dimensions)) * np.linspace(2, 0.05, rank)[:, None] / np.sqrt(rank)
    centres = 0.7 * random.normal(size=(len(CLASSES), dimensions))

    def some(count: int) -> tuple[Vectors, NDArray[np.int64]]:
        labels = random.integers(0, len(CLASSES), count)
        vectors = random.standard_normal((count, rank), dtype=np.float32) @ mixing.astype(np.float32)
        vectors += centres.astype(np.float32)[labels]
        return np.maximum(vectors, 0, out=vectors), labels

    return *some(BANK), some(queries)[0]


def products(bank: Vectors, labels: NDArray[np.int64], queries: Vectors) -> None:
    """Multiply every query with the whole bank, and nothing else."""
    every, asked = torch.from_numpy(bank), torch.from_numpy(queries)
    space = torch.empty(160, BANK)
    for some in torch.split(asked, len(space)):
        torch.mm(some, every.T, out=space[: len(some)])


def scikit_learn(bank: Vectors, labels: NDArray[np.int64], queries: Vectors) -> NDArray[np.int64]:
    votes: NDArray[np.int64] = KNeighborsClassifier(K, algorithm="brute").fit(bank, labels).predict(queries)
    return votes


def prunekit(bank: Vectors, labels: NDArray[np.int64], queries: Vectors) -> NDArray[np.int64]:
    return neighbour_votes(bank, labels, queries, K, len(CLASSES))


def timed(dimensions: int, queries: int = QUERIES) -> list[float]:
    """Return median seconds of the products, of scikit-learn and of prunekit, which take turns."""
    given = made_up(dimensions, queries)
    works: list[Callable[..., NDArray[np.int64] | None]] = [products, scikit_learn, prunekit]
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(REPEATS):
        answers = []
        for work, took in zip(works, seconds, strict=True):
            begun = time.process_time()
            answers.append(work(*given))
            took.append(time.process_time() - begun)
        assert np.mean(answers[1] != answers[2]) < 1e-3  # float32 may tell neighbours apart otherwise than float64
    return [statistics.median(took) for took in seconds]


def main() -> None:
    """Print the table."""
    table = Table(title=f"Bank of {BANK:,}, {QUERIES:,} queries, k = {K}: median seconds of a core")
    table.add_column("")
    for name in ("products alone", "scikit-learn", "prunekit", "against scikit-learn", "against products"):
        table.add_column(name, justify="right")

    def add(name: str, seconds: list[float]) -> None:
        bare, theirs, ours = seconds
        table.add_row(
            name, *(f"{each:.1f}" for each in seconds), f"{theirs / ours:.2f}× as fast", f"{ours / bare:.2f}× as long"
        )

    found = {dimensions: timed(dimensions) for dimensions in POOLED}
    for dimensions, seconds in found.items():
        add(f"d = {dimensions}", seconds)
    add("16 probes", [sum(POOLED[d] * found[d][i] for d in POOLED) for i in range(3)])
    for dimensions, queries in FLATTENED.items():
        add(f"d = {dimensions:,}, {queries:,} queries", timed(dimensions, queries))
    Console(width=120).print(table)
    subprocess.run([sys.executable, __file__, "member"], check=True)


# ------------------------------------------------------------------------------------------------------- a whole member


def split(count: int) -> Split:
    """Return noisy images of ten patterns."""
    random = np.random.default_rng(count)
    patterns = np.random.default_rng(0).integers(0, 128, (len(CLASSES), 3, 32, 32), dtype=np.uint8)
    labels = np.arange(count) % len(CLASSES)
    images = patterns[labels] + random.integers(0, 128, (count, 3, 32, 32), dtype=np.uint8)
    return Split(images, labels, tuple(f"{count}-{i}" for i in range(count)))


def member() -> None:
    """Observe the depth of a WRN-16-2 and say what it took."""
    data = DeviceData(ImageData(CLASSES, split(BANK), split(0), split(QUERIES)))
    observed = ObservedNetwork(new_network(ImageShape(3, 32, 32)), data)
    Path("/proc/self/clear_refs").write_text("5")  # the most that was resident counts from now on
    before, begun = resident("VmRSS"), time.process_time()
    PredictionDepth().observe(observed)
    seconds, extra = time.process_time() - begun, resident("VmHWM") - before
    print(f"A whole member, its 60,000 images through the network included: {seconds:.0f} s of a core, +{extra:.0f} MB")


def resident(which: str) -> float:
    """Return a line of the process's status in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(which))) * 1024 / 1e6


if __name__ == "__main__":
    prepare_torch("cpu", 1)
    with threadpool_limits(1):
        member() if sys.argv[1:] == ["member"] else main()
