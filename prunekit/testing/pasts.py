"""Members with a past, in place of those that an engine trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Then:
    """A member as it was: its training loss, and its validation accuracy."""

    train: float | None = 0.5
    validation: float | None = 0.8
    before: tuple[Any, ...] = ()

    def past(self) -> Sequence[Any]:
        """Return the stages before."""
        return self.before

    def loss(self, part: str) -> float | None:
        """Return the training loss."""
        assert part == "train"
        return self.train

    def accuracy(self, part: str) -> float | None:
        """Return the validation accuracy."""
        assert part == "validation"
        return self.validation


@dataclass(frozen=True)
class Stage:
    """A finished stage, and what it left."""

    kind: str
    left: Then = field(default_factory=Then)
    options: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[dict[str, Any], ...] = ()
    updates: tuple[dict[str, Any], ...] = ()
    selected: int | None = None
    rounds: tuple[Then, ...] = ()

    def after(self, round: int | None = None) -> Then:
        """Return the member as the stage, or one of its rounds, left it."""
        return self.left if round is None else self.rounds[round]


def trained(
    loss: float = 0.1, accuracy: float = 0.9, epochs: Sequence[tuple[float, float]] = ((0.3, 0.8), (0.1, 0.9))
) -> Stage:
    """Return a training stage with a loss and an accuracy by epoch."""
    rows = tuple({"epoch": i + 1, "loss": row[0], "accuracy": row[1]} for i, row in enumerate(epochs))
    return Stage("train", Then(loss, accuracy), {"objective": "cross_entropy", "epochs": len(rows)}, rows)


def pruned(
    loss: float = 0.6,
    accuracy: float = 0.7,
    criterion: str | Mapping[str, Any] = "magnitude",
    schedule: Mapping[str, Any] | None = None,
    changes: Sequence[float] = (2.0,),
    losses: Sequence[float] = (),
) -> Stage:
    """Return a pruning stage that pruned in as many rounds as there are ``changes``, ‖Δθ‖² each."""
    schedule = schedule or {"name": "one_shot", "sparsity": 0.9}
    options: dict[str, Any] = {"schedule": schedule} | ({} if criterion == "magnitude" else {"criterion": criterion})
    last = len(changes)
    updates = tuple(
        {"iteration": i, "epoch": 0, "sparsity": 0.9 * (i + 1) / last, "squared_change": change}
        for i, change in enumerate(changes)
    )
    return Stage("prune", Then(loss, accuracy), options, updates=updates, rounds=tuple(map(Then, losses)))


def past_of(seed: int, *, sparse: bool) -> tuple[Stage, ...]:
    """Return a past of training, of pruning perhaps, and of fine-tuning."""
    cut = pruned(0.6 + 0.01 * seed, 0.7, changes=(2.0 + seed,))
    return (trained(), *((cut,) if sparse else ()), trained(0.2, 0.85))
