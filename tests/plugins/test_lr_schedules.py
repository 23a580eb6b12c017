"""Learning rates, step by step."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from prunekit import LrSchedule, Progress
from prunekit.plugins.lr_schedules.constant import Constant
from prunekit.plugins.lr_schedules.cosine import Cosine
from prunekit.plugins.lr_schedules.multi_step import MultiStep


def factors(schedule: LrSchedule, total: int, per_epoch: int = 10) -> list[float]:
    return [schedule.factor(Progress(i, total, per_epoch)) for i in range(total)]


def test_constant_is_one() -> None:
    assert factors(Constant(), 4) == [1, 1, 1, 1]


@pytest.mark.parametrize("schedule", [Constant, Cosine])
def test_warmup_rises_linearly_to_the_peak(schedule: type[LrSchedule]) -> None:
    found = factors(schedule.model_validate({"warmup": "4it"}), 10)
    assert found[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors(schedule.model_validate({"warmup": "40%"}), 10) == found


def test_multi_step_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3, 3, 4], gamma=0.2)
    expected = []
    for _ in range(6):
        expected += [optimizer.param_groups[0]["lr"]] * 10
        optimizer.step()
        theirs.step()
    ours = MultiStep.model_validate({"milestones": ["1ep", "30it", "50%", "4ep"], "gamma": 0.2})
    assert factors(ours, 60) == pytest.approx(expected)


def test_multi_step_keeps_falling_behind_the_warmup() -> None:
    schedule = MultiStep.model_validate({"milestones": ["2it", "6it"], "warmup": "4it"})
    assert factors(schedule, 8) == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_from_one_towards_its_end() -> None:
    assert factors(Cosine(), 4) == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])
    assert factors(Cosine(final=0.2), 2) == pytest.approx([1, 0.6])


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.001)
    expected = []
    for _ in range(30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert factors(Cosine(final=0.001), 30) == pytest.approx(expected)


def test_a_stage_that_is_all_warmup_never_leaves_it() -> None:
    assert factors(Cosine.model_validate({"warmup": "100%"}), 4) == [0.25, 0.5, 0.75, 1.0]


def test_cosine_needs_to_know_the_end() -> None:
    with pytest.raises(ValueError, match="length of the stage"):
        Cosine().factor(Progress(0, None, 10))


@pytest.mark.parametrize("options", [{"final": -0.1}, {"final": 1.1}, {"warmup": 4}, {"warmup": "4"}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Cosine.model_validate(options)
