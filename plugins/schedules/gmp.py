"""Gradual magnitude pruning: sparser step by step, quickly at first."""

from pydantic import model_validator

from prunekit import Progress, Schedule, Sparsity, Time, register


@register("gmp", source="Zhu & Gupta 2017, arXiv 1710.01878, eq. 1")
class GMP(Schedule):
    """Prune more and more between two times: s(t) = s_f + (s_i − s_f) · (1 − (t − begin) / (end − begin))³.

    Updates are made at begin, begin + every, … while ≤ end, and at end, where the final sparsity is reached. Corti et
    al. rank weights ``within: layer``.
    """

    needs_training = True

    initial: Sparsity = 0.0
    """Sparsity of the first update, s_i."""
    begin: Time = Time()
    """When the first update is made."""
    end: Time = Time(percent=50.0)
    """When the last update is made; what is left of the stage recovers."""
    every: Time = Time(epochs=1)
    """Time between updates; a share of the stage is at least one iteration."""
    lagging: bool = False
    """Prune as the code of Corti et al. does: at the multiples of ``every`` from begin to end, each with the target of
    the update before it, so that the final sparsity is not quite reached."""

    @property
    def reading(self) -> str:
        """Say when updates are made, and with which targets."""
        if self.lagging:
            return f"{self.name}: updates at multiples of every, each with the target of the one before"
        return f"{self.name}: updates at begin, begin + every, … and at end, each with its own target"

    @model_validator(mode="after")
    def _possible(self) -> "GMP":
        if not (self.every.epochs or self.every.iterations or self.every.percent):
            raise ValueError(f"every {self.every} is no time between updates: expected at least 1it")
        if self.initial > self.sparsity:
            raise ValueError(
                f"initial {self.initial:g} is above sparsity {self.sparsity:g}: pruned weights never return"
            )
        return self

    def check(self, stage: Progress) -> None:
        """Refuse an end before the beginning or after the stage."""
        begin, end = stage.at(self.begin), stage.at(self.end)
        stage.at(self.every)
        if begin > end:
            raise ValueError(f"begin {self.begin} (iteration {begin}) comes after end {self.end} (iteration {end})")
        if stage.total is not None and end > stage.total:
            raise ValueError(f"end {self.end} (iteration {end}) lies after the stage's {stage.total} iterations")

    def target(self, now: Progress) -> float | None:
        """Return s(now) at an update."""
        begin, end, every = now.at(self.begin), now.at(self.end), max(1, now.at(self.every))
        if not begin <= now.iteration <= end:
            return None
        since = now.iteration - begin
        if self.lagging:
            return None if now.iteration % every else self._at(max(0, since - every), end - begin)
        return None if since % every and now.iteration != end else self._at(since, end - begin)

    def _at(self, since: int, length: int) -> float:
        """Return s after ``since`` of ``length`` iterations."""
        left = 1 - since / length if length else 0.0
        return self.sparsity + (self.initial - self.sparsity) * left**3
