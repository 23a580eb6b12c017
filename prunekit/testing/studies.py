"""Made-up members and studies that measures are checked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.comparison import Comparison
from prunekit.observations import checked_columns, checked_note
from prunekit.observed import Layer, Representation
from prunekit.protocols import Measure
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.testing.pasts import past_of

BANK = np.random.default_rng(98).random((40, 6), dtype=np.float32)
"""[40, 6]: features of training images."""
POPULATIONS = ("dense", "sparse", "control")
COMPARISONS = (Comparison("dense", "sparse", "control", True), Comparison("control", "sparse", None, False))


class Member:
    """A member with features and logits of its own; of ten seeds in a row all were pruned or none, and fine-tuned."""

    def __init__(self, seed: int, examples: int, classes: int, *, tied: bool = False) -> None:
        self._seed = seed
        rng = np.random.default_rng(seed)
        self._logits = (0 if tied else 1) * rng.normal(size=(examples, classes)).astype(np.float32)
        self._features = rng.random((examples, 6)).astype(np.float32)

    def logits(self) -> NDArray[np.float32]:
        """[N, classes]."""
        return self._logits

    def features(self) -> NDArray[np.float32]:
        """[N, 6]."""
        return self._features

    def labels(self) -> NDArray[np.int64]:
        """[N]."""
        labels: NDArray[np.int64] = np.arange(len(self._logits)) % self._logits.shape[1]
        return labels

    def bank_labels(self) -> NDArray[np.int64]:
        """[40]."""
        labels: NDArray[np.int64] = np.arange(len(BANK)) % self._logits.shape[1]
        return labels

    def representations(self, probes: str | Sequence[str], *, pool: bool) -> Iterator[Representation]:
        """Yield the features at two points."""
        for probe in ("stem", "groups.0"):
            yield Representation(probe, BANK, self._features)

    def past(self) -> Sequence[Any]:
        """Return stages of training, pruning and fine-tuning."""
        return past_of(self._seed, sparse=self._seed // 10 % 2 == 1)

    def loss(self, part: str) -> float | None:
        """Return a loss by seed."""
        return 0.1 + 0.01 * self._seed

    def accuracy(self, part: str) -> float | None:
        """Return an accuracy by seed."""
        return None if part == "test" else 0.9 - 0.001 * self._seed

    def layers(self) -> tuple[Layer, ...]:
        """Return a convolution that is pruned and a linear layer that is not."""
        zeros = int(256 * self._features[0, 0])
        return Layer("encoder", "conv", 256, zeros, 9_000), Layer("head", "linear", 60, 0, 60)


def study_of(
    measure: Measure,
    members: int = 4,
    examples: int = 30,
    classes: int = 3,
    *,
    tied: bool = False,
    unchanged: bool = False,
) -> ArrayStudy:
    """Let ``measure`` observe made-up members, and put their columns into a study of three populations.

    ``tied``: every logit of every member is 0. ``unchanged``: the members of a seed are the same in all populations.
    Raises PrunekitError where what it observes is not what it declares.
    """
    populations = {}
    for ordinal, name in enumerate(POPULATIONS):
        first = 0 if unchanged else 10 * ordinal
        observed = [Member(first + k, examples, classes, tied=tied) for k in range(members)]
        wide = np.stack([each.logits() for each in observed])
        columns: dict[str, NDArray[Any]] = {
            "prediction": wide.argmax(axis=2).astype(np.int64),
            "confidence": 1 / np.exp(wide - wide.max(axis=2, keepdims=True)).sum(axis=2),
            "loss": -wide.max(axis=2),
        }
        asked = observed[: measure.most_members]
        seen = [checked_columns(measure, measure.observe(each), examples) for each in asked]
        columns |= {column: np.stack([each[column] for each in seen]) for column in measure.columns}
        notes = [checked_note(measure, measure.note(each))["note"] for each in asked] if measure.notes else []
        sparsity = 0.9 if name == "sparse" else 0.0
        noted = {measure.name: notes} if measure.notes else {}
        populations[name] = ArrayPopulation(name, tuple(range(members)), sparsity, columns, noted=noted)
    labels = np.random.default_rng(99).integers(0, classes, examples)
    return ArrayStudy(
        tuple(f"class {c}" for c in range(classes)), tuple(map(str, range(examples))), labels, populations
    )
