"""What every registered learning-rate schedule must keep to."""

import math

import pytest

from prunekit import LrSchedule, Progress
from prunekit.registry import registry

NEEDED = {"multi_step": {"milestones": ["30%", "2ep"]}}
"""Options that have no default."""
NAMES = registry.names("lr_schedule")


def make(name: str) -> LrSchedule:
    schedule = registry.find("lr_schedule", name)[0].plugin.model_validate(NEEDED.get(name, {}))
    assert isinstance(schedule, LrSchedule)
    return schedule


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("total", "per_epoch"), [(1, 1), (30, 10), (33, 11)])
def test_factors_are_finite_never_negative_and_never_above_the_peak(name: str, total: int, per_epoch: int) -> None:
    factors = [make(name).factor(Progress(i, total, per_epoch)) for i in range(total)]
    assert all(isinstance(factor, float) and math.isfinite(factor) for factor in factors)
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_factor_depends_on_the_time_alone(name: str) -> None:
    schedule = make(name)
    forwards = [schedule.factor(Progress(i, 20, 5)) for i in range(20)]
    backwards = [schedule.factor(Progress(i, 20, 5)) for i in reversed(range(20))]
    assert forwards == backwards[::-1]
