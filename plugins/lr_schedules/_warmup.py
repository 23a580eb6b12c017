"""What the built-in learning-rate schedules share: a linear warm-up."""

from __future__ import annotations

from abc import abstractmethod

from prunekit import LrSchedule, Progress, Time


class WithWarmup(LrSchedule):
    """A schedule whose factor rises linearly at first and follows ``after_warmup`` from then on."""

    warmup: Time = Time()
    """How long the rate rises linearly: step k of n warm-up steps, counted from 1, has k/n of the peak."""

    def factor(self, now: Progress) -> float:
        """Return the factor of the step that comes next."""
        warmup = now.at(self.warmup)
        if now.iteration < warmup:
            return (now.iteration + 1) / warmup
        return self.after_warmup(now, warmup)

    @abstractmethod
    def after_warmup(self, now: Progress, warmup: int) -> float:
        """Return the factor at ``now``, at least ``warmup`` iterations in."""
