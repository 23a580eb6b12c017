"""Pruning in rounds, spread evenly over a stage."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from prunekit import Progress, Schedule, Time


class Rounds(Schedule):
    """``rounds`` updates from begin to end; how far each goes depends on its number alone."""

    rounds: int = Field(default=1, ge=1)
    """Updates, π. A stage that only prunes makes one after the other, with scores computed anew on what is left."""
    begin: Time = Time()
    """When, in a stage that trains, the first update is made; with one round, the only one."""
    end: Time = Time(percent=100.0)
    """When, in a stage that trains, the last of several updates is made: at 100% nothing is left of it to recover."""

    @property
    def steps(self) -> int:
        """One for each round."""
        return self.rounds

    def check(self, stage: Progress) -> None:
        """Refuse an end before the beginning or after the stage, and more rounds than there are iterations for."""
        self._span(stage)

    def target(self, now: Progress) -> float | None:
        """Return the sparsity of the update that is due now."""
        begin, end = self._span(now)
        if not begin <= now.iteration <= end:
            return None
        done = self._round_at(now.iteration - begin, end - begin)
        if done is None:
            return None
        return self.sparsity if done + 1 == self.rounds else self._after((done + 1) / self.rounds)

    @abstractmethod
    def _after(self, share: float) -> float:
        """Return the sparsity after a share of the rounds, in (0, 1)."""

    def _round_at(self, since: int, length: int) -> int | None:
        """Return the number, from 0, of the update made ``since`` iterations after the first; None if there is none.

        Update j is made after j · length / (rounds − 1) iterations, rounded, halves up. These times lie at least one
        iteration apart, so that the nearest j is the only candidate.
        """
        gaps = self.rounds - 1
        if gaps == 0:
            return 0 if since == 0 else None
        number = _rounded(since * gaps, length)
        return number if _rounded(number * length, gaps) == since else None

    def _span(self, stage: Progress) -> tuple[int, int]:
        """Return the iterations of the first and of the last update; raise ValueError where they do not fit."""
        begin = stage.at(self.begin)
        if self.rounds == 1 and stage.total is None:
            return begin, begin
        end = stage.at(self.end)
        if begin > end:
            raise ValueError(f"begin {self.begin} (iteration {begin}) comes after end {self.end} (iteration {end})")
        if stage.total is not None and end > stage.total:
            raise ValueError(f"end {self.end} (iteration {end}) lies after the stage's {stage.total} iterations")
        if end - begin < self.rounds - 1:
            raise ValueError(
                f"{self.rounds} rounds do not fit between begin {self.begin} (iteration {begin}) and end {self.end} "
                f"(iteration {end}): expected at least {self.rounds - 1} iterations between them, or fewer rounds"
            )
        return begin, end


def _rounded(numerator: int, denominator: int) -> int:
    """Return the whole number nearest to a ratio of whole numbers, halves up; exact, however large they are."""
    return (2 * numerator + denominator) // (2 * denominator)
