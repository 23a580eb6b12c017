"""What a learning-rate schedule keeps to."""

from __future__ import annotations

import math

from prunekit.protocols import LrSchedule
from prunekit.testing.contract import Suite
from prunekit.times import Progress

suite = Suite("lr_schedule")
STAGES = ((1, 1), (30, 10), (33, 11))
"""(iterations, iterations per epoch)."""


@suite.states
def factors_lie_between_zero_and_one(schedule: LrSchedule) -> None:
    """Finite, never above the peak, and not all zero; in a stage of one iteration, too."""
    for total, per_epoch in STAGES:
        factors = [schedule.factor(Progress(i, total, per_epoch)) for i in range(total)]
        for i, factor in enumerate(factors):
            assert isinstance(factor, float), f"the factor at {i} of {total} is a {type(factor).__name__}"
            assert math.isfinite(factor), f"the factor at {i} of {total} is {factor}"
            assert 0 <= factor <= 1, f"the factor at {i} of {total} is {factor:g}: expected 0 to 1"
        assert max(factors) > 0, f"all {total} factors are 0"


@suite.states
def the_factor_depends_on_the_time_alone(schedule: LrSchedule) -> None:
    """Asked forwards or backwards."""
    forwards = [schedule.factor(Progress(i, 20, 5)) for i in range(20)]
    backwards = [schedule.factor(Progress(i, 20, 5)) for i in reversed(range(20))]
    assert forwards == backwards[::-1], "asked backwards, it gives other factors"
