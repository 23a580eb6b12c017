"""PIE, Q-Score, the permutation test and a whole report, on 30 + 30 members. Run: python benchmarks/measures.py

The reference is what one would write first: a loop over members and examples. It takes about half a minute a time; the
medians are of runs that alternate between the two.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from prunekit.plugins.measures._chance import count_interval, permutation_test
from prunekit.plugins.measures.pie import pruning_identified_exemplars
from prunekit.plugins.measures.q_score import QScore, q_score
from prunekit.registry import registry
from prunekit.store import Store
from prunekit.study import columns_of

MEMBERS, EXAMPLES, DIMENSIONS, CLASSES = 30, 10_000, 128, 10
REPEATS = 3
Features = list[NDArray[np.float32]]


def made_up(seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return labels [N] and predictions [60, N]: a quarter of the examples are hard, with a lure each."""
    rng = np.random.default_rng(seed)
    labels, lure = rng.integers(0, CLASSES, EXAMPLES), rng.integers(0, CLASSES, EXAMPLES)
    doubt = np.where(rng.random(EXAMPLES) < 0.25, rng.random(EXAMPLES), 0.003)
    wrong = rng.random((2 * MEMBERS, EXAMPLES)) < doubt
    return labels, np.where(wrong, lure, labels)


def loop_over_examples(predictions: NDArray[np.int64], features: Features) -> tuple[list[bool], list[list[Any]]]:
    """PIE and Q-Score, one example at a time."""
    pies = []
    for i in range(EXAMPLES):
        modal = []
        for members in (range(MEMBERS), range(MEMBERS, 2 * MEMBERS)):
            counts = Counter(int(predictions[m, i]) for m in members)
            most = max(counts.values())
            modal.append(min(label for label, count in counts.items() if count == most))
        pies.append(modal[0] != modal[1])
    scores = []
    for member in features:
        for h in member:
            h = h / np.linalg.norm(h)
            z, l1 = (h.max() - h.mean()) / h.std(), np.abs(h).sum()
            scores.append([z / l1, z, l1])
    return pies, scores


def vectorised(predictions: NDArray[np.int64], features: Features) -> tuple[list[bool], NDArray[np.float64]]:
    pies = pruning_identified_exemplars(predictions[:MEMBERS], predictions[MEMBERS:])
    return pies.tolist(), np.concatenate([np.stack(q_score(member), axis=1) for member in features])


def timed(work: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work(*given)
    return time.perf_counter() - start, result


def median_seconds(work: Callable[..., Any], *given: Any) -> str:
    return f"{statistics.median(timed(work, *given)[0] for _ in range(REPEATS)):.3f}"


def against_the_loop(table: Table, predictions: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(1)
    features = [rng.random((EXAMPLES, DIMENSIONS), dtype=np.float32) for _ in range(2 * MEMBERS)]
    theirs, ours = [], []
    for _ in range(REPEATS):
        seconds, (pies, scores) = timed(loop_over_examples, predictions, features)
        theirs.append(seconds)
        seconds, (same_pies, same_scores) = timed(vectorised, predictions, features)
        ours.append(seconds)
        assert pies == same_pies
        np.testing.assert_allclose(same_scores, scores, rtol=1e-3)
    reference, prunekit = statistics.median(theirs), statistics.median(ours)
    ratio = f"{reference / prunekit:.0f}× faster"
    table.add_row(f"PIE and Q-Score, {DIMENSIONS} features", f"{reference:.2f}", f"{prunekit:.3f}", ratio)


def chance(table: Table, predictions: NDArray[np.int64]) -> None:
    scattered = np.random.default_rng(2).integers(0, CLASSES, predictions.shape)
    for text, votes in (("", predictions), (", members guessing", scattered)):
        for name, work in (("1,000 permutations", permutation_test), ("interval of the count", count_interval)):
            paired = partial(work, paired=True)
            table.add_row(name + text, "", median_seconds(paired, votes[:MEMBERS], votes[MEMBERS:]), "")


def report(table: Table, labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> None:
    """Time ``prunekit report`` on measures that a store holds, start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Store.create(Path(folder)), labels, predictions)
        start = [sys.executable, "-c", "from prunekit.cli.main import main; main()"]
        for layout in ("table", "json"):
            command = [*start, "report", "--out", folder, "--format", layout]
            seconds = median_seconds(partial(subprocess.run, command, check=True, capture_output=True))
            table.add_row(f"prunekit report --format {layout}", "", seconds, "")


def fill(store: Store, labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> None:
    """Store a study of made-up observations, as a run would."""
    rng = np.random.default_rng(3)
    observed = columns_of(QScore(), registry)
    names = {"example_id": [f"test/{i:05}" for i in range(EXAMPLES)], "label": labels}
    populations: dict[str, Any] = {}
    for name, votes in (("dense", predictions[:MEMBERS]), ("sparse", predictions[MEMBERS:])):
        keys = {str(seed): ["dense", f"{name}{seed}"] for seed in range(MEMBERS)}
        populations[name] = {"from": None, "control": None, "initial": "made-up", "stages": {}, "members": keys}
        for seed in range(MEMBERS):
            record = {
                "seed": seed,
                "examples": EXAMPLES,
                "ids": "made-up",
                "classes": [f"class {c}" for c in range(CLASSES)],
                "zeros": {"zeros": 9 if name == "sparse" else 0, "total": 10},
                "made_on": [{"device": "cpu", "name": "made-up", "torch": "none"}],
                "emptied": [],
            }
            base = {"prediction": votes[seed], **dict(zip(("confidence", "loss"), noise(rng, 2), strict=True))}
            store.save_observation(f"{name}{seed}", "test", {**names, **base}, record)
            scores = dict(zip(("q", "z", "l1"), noise(rng, 3), strict=True))
            store.save_observation(f"{name}{seed}", "test", scores, record, observed)
    plan = {
        "study": "made-up",
        "identity": "made-up-0",
        "data": {"name": "made-up", "split": "test", "examples": EXAMPLES},
        "plugins": [],
        "measures": ["accuracy", "pie", "q_score"],
        "comparisons": [{"reference": "dense", "pruned": "sparse"}],
        "populations": populations,
    }
    store.save_study("made-up-0", {}, plan)


def noise(rng: np.random.Generator, columns: int) -> NDArray[np.float32]:
    return rng.random((columns, EXAMPLES), dtype=np.float32)


def main() -> None:
    labels, predictions = made_up()
    table = Table(
        title=f"{MEMBERS} + {MEMBERS} members × {EXAMPLES:,} examples, median seconds, numpy {np.__version__}"
    )
    table.add_column("")
    for column in ("loop over examples", "prunekit", "ratio"):
        table.add_column(column, justify="right")
    report(table, labels, predictions)
    chance(table, predictions)
    against_the_loop(table, predictions)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
