"""What a schedule keeps to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from prunekit.protocols import Schedule
from prunekit.testing.contract import DoesNotApply, Suite
from prunekit.times import Progress
from prunekit.updates import planned_rounds, planned_updates

suite = Suite("schedule")
PER_EPOCH = 12
LENGTHS = (10, 60, 500)
"""Epochs of the stages that are tried, shortest first, until the schedule's options fit into one."""
Updates = Sequence[tuple[int, float]]
"""(iteration or round, cumulative sparsity)."""


def with_options(schedule: Schedule, **options: Any) -> Schedule:
    """Return the schedule with other options; where its own do not go with them, with its defaults for the rest."""
    own = schedule.model_dump(mode="json", by_alias=True)
    needed = {name: own[name] for name, field in type(schedule).model_fields.items() if field.is_required()}
    try:
        return type(schedule).model_validate({**own, **options})
    except ValidationError:
        return type(schedule).model_validate({**needed, **options})


def stage_for(schedule: Schedule) -> Progress:
    """Return the beginning of a stage that the schedule fits into."""
    if not schedule.needs_training:
        schedule.check(stage := Progress(0, schedule.steps - 1, 1))
        return stage
    for epochs in LENGTHS:
        stage = Progress(0, epochs * PER_EPOCH, PER_EPOCH)
        try:
            schedule.check(stage)
        except ValueError as error:
            reason = error
        else:
            return stage
    raise DoesNotApply(f"it fits into no stage of {LENGTHS[-1]} epochs or fewer: {reason}")


def updates_of(schedule: Schedule) -> Updates:
    """Return the updates of a stage of its own length."""
    stage = stage_for(schedule)
    try:
        if not schedule.needs_training:
            return planned_rounds(schedule)
        assert stage.total is not None
        return planned_updates(schedule, stage.total, PER_EPOCH)
    except ValueError as error:
        raise AssertionError(f"at sparsity {schedule.sparsity:g} it {error}") from error


def _check_way(schedule: Schedule) -> None:
    """Hold the updates to a way from 0 up to the sparsity asked for."""
    asked, updates = schedule.sparsity, updates_of(schedule)
    assert updates, f"at sparsity {asked:g} it never prunes: `target` is always None"
    for (_, earlier), (now, later) in pairwise(updates):
        assert earlier <= later, f"the target falls from {earlier:g} to {later:g} at {now}: pruned weights never return"
    last = updates[-1][1]
    assert last == asked, f"the last target is {last!r} where sparsity {asked!r} was asked for (to the bit)"


@suite.states
def targets_never_fall_and_end_at_the_sparsity_asked_for(schedule: Schedule) -> None:
    """All of them in [0, 1), at several sparsities; the last to the bit, so that the count is exact."""
    for sparsity in (schedule.sparsity, 0.5, 0.9, 1 - 1e-6):
        _check_way(with_options(schedule, sparsity=sparsity))


@suite.states
def sparsity_zero_is_a_legal_control(schedule: Schedule) -> None:
    """It prunes nothing, and is no error."""
    try:
        control = with_options(schedule, sparsity=0.0)
    except ValidationError as error:
        raise AssertionError(f"sparsity 0 is refused: {error.errors()[0]['msg']}") from error
    _check_way(control)


@suite.states
def an_impossible_sparsity_is_refused(schedule: Schedule) -> None:
    """1, which leaves nothing, what is negative, and what is no number."""
    for sparsity in (1.0, -0.1, float("nan"), float("inf")):
        try:
            with_options(schedule, sparsity=sparsity)
        except ValidationError:
            continue
        raise AssertionError(f"it takes sparsity {sparsity}: expected at least 0 and less than 1")


@suite.states
def a_target_depends_on_the_time_alone(schedule: Schedule) -> None:
    """Asked forwards, backwards, or of another instance: the plan is made before anything runs."""
    stage = stage_for(schedule)
    assert stage.total is not None
    times = [Progress(i, stage.total, stage.iterations_per_epoch) for i in range(stage.total + 1)]
    forwards = [schedule.target(now) for now in times]
    backwards = [schedule.target(now) for now in reversed(times)]
    assert forwards == backwards[::-1], "asked backwards, it gives other targets"
    again = [with_options(schedule).target(now) for now in times]
    assert forwards == again, "another instance with the same options gives other targets"


@suite.states
def rounds_are_the_updates_of_a_stage_whether_it_trains_or_not(schedule: Schedule) -> None:
    """Of schedules with an option ``rounds``: so many updates, with the same targets."""
    if "rounds" not in type(schedule).model_fields:
        raise DoesNotApply("it has no option rounds")
    for rounds in (1, 2, 14, 10 * PER_EPOCH):
        each = with_options(schedule, rounds=rounds)
        alone, total = planned_rounds(each), 10 * PER_EPOCH
        assert [number for number, _ in alone] == list(range(rounds)), f"{rounds} rounds make {len(alone)} updates"
        each.check(Progress(0, total, PER_EPOCH))
        training = planned_updates(each, total, PER_EPOCH)
        assert [target for _, target in training] == [target for _, target in alone], (
            f"{rounds} rounds have other targets in a stage that trains"
        )
