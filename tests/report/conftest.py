"""Made-up studies that the report's tests share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers_page import pixels

from prunekit.comparison import Comparison
from prunekit.plugins.measures.accuracy import Accuracy
from prunekit.plugins.measures.pie import Pie
from prunekit.plugins.measures.q_score import QScore
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, LoadedStudy

Make = Callable[..., LoadedStudy]


def make_study(
    members: int = 8, examples: int = 200, classes: int = 10, seed: int = 1, noise: float = 0.03, harm: float = 0.02
) -> LoadedStudy:
    """Return a study of dense, sparse and control whose predictions are the label, with errors on hard examples."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    hard = rng.random(examples) < 0.1
    wrong = (labels + 1) % classes
    populations = {}
    for name, sparsity, extra in (("dense", 0.0, 0.0), ("sparse", 0.9, harm), ("control", 0.0, 0.0)):
        errs = rng.random((members, examples)) < np.where(hard, 0.45, noise) + extra
        features = rng.random((3, members, examples)) + 1
        populations[name] = ArrayPopulation(
            name,
            tuple(range(members)),
            sparsity,
            {
                "prediction": np.where(errs, wrong, labels),
                "confidence": rng.random((members, examples)),
                "loss": rng.random((members, examples)),
                "q": features[0],
                "z": features[1],
                "l1": features[2],
            },
        )
    columns = ArrayStudy(
        tuple(f"class {c}" for c in range(classes)), tuple(f"test/{i}" for i in range(examples)), labels, populations
    )
    return LoadedStudy(
        name="made-up",
        data={"name": "made-up", "split": "test", "examples": examples},
        columns=columns,
        comparisons=[Comparison("dense", "sparse", "control", True), Comparison("control", "sparse", None, True)],
        measures=[Accuracy(), Pie(), QScore()],
    )


@pytest.fixture(scope="session")
def make() -> Make:
    return make_study


@pytest.fixture
def pictured() -> LoadedStudy:
    """Return a made-up study whose examples have images."""
    study = make_study()
    study.images = pixels()
    return study
