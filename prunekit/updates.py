"""The updates that a schedule makes, and those that were made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prunekit.protocols import Schedule
from prunekit.times import Progress


@dataclass(frozen=True)
class Update:
    """A pruning update that was made."""

    iteration: int
    """Optimiser steps done before it; in a stage that only prunes, the round, from 0."""
    epoch: float | None
    """The same in epochs; None where nobody said how many iterations an epoch has."""
    sparsity: float
    """Share of zeros among the target weights after it, counted."""
    squared_change: float | None = None
    """Σθ² of the weights that it set to zero, ‖Δθ‖²; None where an older version of prunekit recorded it."""


def planned_updates(schedule: Schedule, total: int, iterations_per_epoch: int) -> list[tuple[int, float]]:
    """Return (iteration, target sparsity) of every update in a stage that trains for ``total`` iterations.

    Raises ValueError where ``schedule`` wants a sparsity outside [0, 1).
    """
    return _asked(schedule, (Progress(i, total, iterations_per_epoch) for i in range(total + 1)))


def planned_rounds(schedule: Schedule) -> list[tuple[int, float]]:
    """Return (round, target sparsity) of every update in a stage that only prunes; raises as ``planned_updates``."""
    return _asked(schedule, (Progress(i, schedule.steps - 1, 1) for i in range(schedule.steps)))


def _asked(schedule: Schedule, times: Iterable[Progress]) -> list[tuple[int, float]]:
    wanted = [(now.iteration, target) for now in times if (target := schedule.target(now)) is not None]
    for iteration, target in wanted:
        if not 0.0 <= target < 1.0:
            raise ValueError(f"wants a sparsity of {target} at iteration {iteration}: expected 0 or more, less than 1")
    return wanted
