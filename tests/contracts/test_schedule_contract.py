"""What every registered schedule must keep to."""

from itertools import pairwise

import pytest

from prunekit import Progress, Schedule
from prunekit.registry import registry
from prunekit.updates import planned_rounds, planned_updates

TOTAL, PER_EPOCH = 120, 12
NAMES = registry.names("schedule")
IN_ROUNDS = [name for name in NAMES if "rounds" in registry.find("schedule", name)[0].plugin.model_fields]
SPARSITIES = [0.0, 0.5, 0.9, 1 - 1e-6]


def make(name: str, sparsity: float) -> Schedule:
    plugin = registry.find("schedule", name)[0].plugin
    rounds = {"rounds": 1} if "rounds" in plugin.model_fields else {}
    schedule = plugin.model_validate({"sparsity": sparsity, **rounds})
    assert isinstance(schedule, Schedule)
    return schedule


def plan(schedule: Schedule) -> list[tuple[int, float]]:
    if schedule.needs_training:
        schedule.check(Progress(0, TOTAL, PER_EPOCH))
        return planned_updates(schedule, TOTAL, PER_EPOCH)
    schedule.check(Progress(0, schedule.steps - 1, 1))
    return planned_rounds(schedule)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_targets_never_fall_and_end_at_the_sparsity_asked_for(name: str, sparsity: float) -> None:
    updates = plan(make(name, sparsity))
    assert updates
    assert all(0 <= earlier <= later for (_, earlier), (_, later) in pairwise(updates))
    assert updates[-1][1] == sparsity  # to the bit, so that the count is exact


@pytest.mark.parametrize("name", NAMES)
def test_a_target_depends_on_the_time_alone(name: str) -> None:
    schedule = make(name, 0.9)
    times = [Progress(i, TOTAL, PER_EPOCH) for i in range(TOTAL + 1)]
    forwards = [schedule.target(now) for now in times]
    backwards = [schedule.target(now) for now in reversed(times)]
    assert forwards == backwards[::-1]
    assert forwards == [make(name, 0.9).target(now) for now in times]


@pytest.mark.parametrize("name", IN_ROUNDS)
@pytest.mark.parametrize("rounds", [1, 2, 14, 120])
def test_rounds_are_the_updates_of_a_stage_whether_it_trains_or_not(name: str, rounds: int) -> None:
    schedule = registry.find("schedule", name)[0].plugin.model_validate({"sparsity": 0.9, "rounds": rounds})
    assert isinstance(schedule, Schedule)
    schedule.check(Progress(0, TOTAL, PER_EPOCH))
    while_training, alone = planned_updates(schedule, TOTAL, PER_EPOCH), plan(schedule)
    assert [target for _, target in while_training] == [target for _, target in alone]
    assert [number for number, _ in alone] == list(range(rounds))
    assert len(alone) == rounds


@pytest.mark.parametrize("name", NAMES)
def test_options_survive_a_round_trip(name: str) -> None:
    schedule = make(name, 0.9)
    assert type(schedule).model_validate(schedule.model_dump()) == schedule


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), float("inf")])
def test_an_impossible_sparsity_is_refused(name: str, sparsity: float) -> None:
    with pytest.raises(ValueError, match="sparsity"):
        make(name, sparsity)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_its_options_mean(name: str) -> None:
    plugin = registry.find("schedule", name)[0].plugin
    assert plugin.__doc__
    assert [field for field, info in plugin.model_fields.items() if not info.description] == []
