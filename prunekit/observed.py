"""What a measure sees: a trained member as it observes it, and stored populations as it summarises them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "validation", "test"]
"""The parts of a data set. Nothing is chosen by what the test part says."""


StageKind = Literal["train", "prune", "rewind", "given"]
"""What a stage does: ``given`` stands for weights that were made elsewhere."""


@dataclass(frozen=True)
class Representation:
    """What a probe holds of the examples."""

    probe: str
    """Its name, such as ``stem`` or ``groups.0.0.conv2``."""
    bank: NDArray[np.float32]
    """[B, D]: of the training images, un-augmented."""
    queries: NDArray[np.float32]
    """[N, D]: of the observed split."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights, and what pruning left of it."""

    name: str
    """Name of its module in the network, such as ``encoder.stem``."""
    kind: Literal["conv", "linear"]
    parameters: int
    """Weights, without biases."""
    zeros: int
    """Weights that are zero."""
    multiply_accumulates: int
    """Of one image, as if no weight were zero."""


class PastStage(Protocol):
    """A finished stage of a member's lineage."""

    @property
    def options(self) -> Mapping[str, Any]:
        """As a recipe says them, without what is left at its default.

        Of a stage that prunes ``schedule`` and perhaps ``criterion``, each a name or a mapping with a name; of one that
        trains ``objective``, ``epochs`` and so on.
        """

    @property
    def kind(self) -> StageKind:
        """What the stage does; one that prunes as it trains is one that trains."""

    @property
    def epochs(self) -> Sequence[Mapping[str, Any]]:
        """One row per epoch: epoch, iteration, loss, accuracy (validation, or None), sparsity, lr."""

    @property
    def updates(self) -> Sequence[Mapping[str, Any]]:
        """Pruning updates in their order: iteration (where nothing trains, the round from 0), epoch, sparsity, and
        squared_change: Σθ² of the weights that it set to zero (None where an older version of prunekit recorded it).
        """

    @property
    def selected(self) -> int | None:
        """The epoch whose weights a stage that trains ended with; None where it is the last one."""

    def after(self, round: int | None = None) -> ObservedMember:
        """Return the member as it was when the stage ended; of a stage that only prunes, after a round, from 0.

        What it says is computed once; after a round in between it is another member with every call. Raises InputError
        where the stage has no such round, or an older version of prunekit did not record what each one pruned.
        """


class ObservedMember(Protocol):
    """A trained member in eval mode, as a measure sees it. Logits and features are computed once for all measures."""

    def past(self) -> Sequence[PastStage]:
        """Return the stages that it went through, first to last, those of the populations it starts from included."""

    def loss(self, part: Part) -> float | None:
        """Return the mean cross-entropy of a part of the data, in nats, un-augmented; None where it is empty."""

    def accuracy(self, part: Part) -> float | None:
        """Return the share of a part of the data that is classified as labelled; None where it is empty."""

    def logits(self) -> NDArray[np.float32]:
        """[N, classes] of the observed split."""

    def features(self) -> NDArray[np.float32]:
        """[N, D] of the observed split: the input of the head."""

    def labels(self) -> NDArray[np.int64]:
        """[N]: true classes of the observed split."""

    def bank_labels(self) -> NDArray[np.int64]:
        """[B]: true classes of the training images."""

    def representations(self, probes: str | Sequence[str], *, pool: bool) -> Iterator[Representation]:
        """Yield what the probes hold, in the order of execution; see :mod:`prunekit.probes` for their names.

        With ``pool`` maps are averaged over their positions and tokens over each other, else flattened. Only a few are
        in memory at a time, if the caller lets go of each before it takes the next. Where the training images are the
        observed split, bank and queries are the same array. Raises InputError where nothing matches ``probes``.
        """

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers with weights, in the order of the network."""


@dataclass(frozen=True)
class Place:
    """Where a population stands among those that a recipe repeats."""

    axis: str
    value: str | float | int
    group: str
    """What those along the axis are called together."""


class PopulationColumns(Protocol):
    """What is stored of a population: arrays over its members."""

    name: str
    place: Place | None
    """None where it is not repeated."""
    seeds: tuple[int, ...]
    """[M]: the seed of each member, ascending."""
    sparsity: float
    """Share of zeros among the target weights, counted, mean over members; NaN where nobody said."""

    def __getitem__(self, column: str) -> NDArray[Any]:
        """[M, N]: a column of every member: ``prediction`` (int64), ``confidence``, ``loss``, what measures observed.

        A measure that observes fewer members than there are finds those: the first ones by seed.
        """

    def __contains__(self, column: object) -> bool:
        """Whether there is such a column: members that were made elsewhere may lack confidence and loss."""

    def notes(self, measure: str) -> Sequence[Mapping[str, Any]]:
        """[M]: what the measure noted of every member that it observed."""


class StudyColumns(Protocol):
    """A study as arrays; examples are in the order of ``ids`` everywhere."""

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    labelled: bool
    """Whether the true classes are known. Else all labels are the last of ``classes``, which stands for that."""
    populations: Mapping[str, PopulationColumns]
