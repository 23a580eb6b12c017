"""A staircase."""

from __future__ import annotations

from pydantic import Field

from prunekit import Progress, Time, register

from ._warmup import WithWarmup


@register("multi_step", source="torch.optim.lr_scheduler.MultiStepLR")
class MultiStep(WithWarmup):
    """Multiply the learning rate by ``gamma`` at every milestone."""

    milestones: list[Time]
    """When: the first step at or after a milestone has the new rate."""
    gamma: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """What the rate is multiplied by at each milestone."""

    def after_warmup(self, now: Progress, warmup: int) -> float:
        """Return gamma to the power of the milestones passed."""
        return float(self.gamma ** sum(now.at(milestone) <= now.iteration for milestone in self.milestones))
