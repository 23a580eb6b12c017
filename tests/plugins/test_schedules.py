"""When the built-in schedules prune, and how much."""

from decimal import Decimal, getcontext
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prunekit import InputError, Progress, Pruner, Schedule
from prunekit.plugins.schedules.delayed_gmp import DelayedGMP
from prunekit.plugins.schedules.exponential import Exponential
from prunekit.plugins.schedules.gmp import GMP
from prunekit.plugins.schedules.linear import Linear
from prunekit.plugins.schedules.lottery import Lottery
from prunekit.plugins.schedules.one_shot import OneShot
from prunekit.times import Time
from prunekit.updates import planned_rounds, planned_updates


def gmp(sparsity: float = 0.9, **options: object) -> GMP:
    return GMP.model_validate({"sparsity": sparsity, **options})


def sweep(schedule: Schedule, total: int, per_epoch: int = 10) -> list[tuple[int, float]]:
    schedule.check(Progress(0, total, per_epoch))
    return planned_updates(schedule, total, per_epoch)


# ------------------------------------------------------------------------------------------------ one_shot


def test_one_shot_prunes_once_at_its_beginning() -> None:
    assert sweep(OneShot(sparsity=0.9), 50) == [(0, 0.9)]
    assert sweep(OneShot(sparsity=0.9, begin=Time.parse("2ep1it")), 50) == [(21, 0.9)]
    assert sweep(OneShot(sparsity=0.9, begin=Time.parse("100%")), 50) == [(50, 0.9)]
    assert planned_rounds(OneShot(sparsity=0.0)) == [(0, 0.0)]


# ------------------------------------------------------------------------------------------------ gmp


def test_gmp_makes_the_39_updates_of_the_supervised_recipe() -> None:
    updates = sweep(gmp(begin="1000it", end="20000it", every="500it"), 205 * 391, 391)
    assert len(updates) == 39
    assert updates[0] == (1000, 0.0)
    assert updates[-1] == (20000, 0.9)
    assert [iteration for iteration, _ in updates] == list(range(1000, 20001, 500))


def test_gmp_reaches_its_end_where_every_does_not_divide_it() -> None:
    updates = sweep(gmp(begin="125it", end="2476it", every="62it"), 500 * 49, 49)
    assert [iteration for iteration, _ in updates] == [*range(125, 2476, 62), 2476]
    assert updates[-2][0] == 2419
    assert updates[-1] == (2476, 0.9)


def test_gmp_follows_the_cubic_of_the_paper() -> None:
    updates = sweep(gmp(0.8, initial=0.2, begin="10it", end="20it", every="5it"), 30)
    # s = .8 + (.2 − .8)(1 − x)³ at x = 0, ½, 1
    np.testing.assert_allclose([s for _, s in updates], [0.2, 0.8 - 0.6 / 8, 0.8], rtol=1e-15)


def test_gmp_by_default_prunes_every_epoch_of_the_first_half() -> None:
    updates = sweep(gmp(), 80)
    assert [iteration for iteration, _ in updates] == [0, 10, 20, 30, 40]
    assert [s for _, s in updates] == pytest.approx([0.9 * (1 - (1 - x / 4) ** 3) for x in range(5)])


def test_a_share_of_a_short_stage_between_updates_is_at_least_one_iteration() -> None:
    assert [i for i, _ in sweep(gmp(begin="0%", end="100%", every="1%"), 4)] == [0, 1, 2, 3, 4]


def test_gmp_that_begins_where_it_ends_prunes_once() -> None:
    assert sweep(gmp(begin="5it", end="5it", every="1it"), 20) == [(5, 0.9)]


def test_gmp_may_end_with_the_stage_and_begin_before_it() -> None:
    assert [i for i, _ in sweep(gmp(begin="0it", end="2ep", every="1ep"), 20)] == [0, 10, 20]


def test_gmp_of_nought_is_a_control_that_updates_and_prunes_nothing() -> None:
    assert sweep(gmp(0.0, end="20it"), 20) == [(0, 0.0), (10, 0.0), (20, 0.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": "3ep", "end": "1ep"}, r"begin 3ep \(iteration 30\) comes after end 1ep \(iteration 10\)"),
        ({"begin": "60%"}, r"begin 60% \(iteration 12\) comes after end 50% \(iteration 10\)"),
        ({"end": "3ep"}, r"end 3ep \(iteration 30\) lies after the stage's 20 iterations"),
        ({"end": "21it"}, "end 21it"),
    ],
)
def test_gmp_refuses_times_that_do_not_fit_the_stage(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gmp(**options).check(Progress(0, 20, 10))


@pytest.mark.parametrize("every", ["0it", "0ep", "0%", "0ep0it"])
def test_gmp_refuses_no_time_between_updates(every: str) -> None:
    with pytest.raises(ValidationError, match="is no time between updates"):
        gmp(every=every)


def test_gmp_refuses_to_begin_above_its_end() -> None:
    with pytest.raises(ValidationError, match=r"initial 0\.95 is above sparsity 0\.9"):
        gmp(0.9, initial=0.95)


def test_gmp_in_a_loop_of_unknown_length_takes_times_in_iterations_alone() -> None:
    unknown = Progress(4, None, None)
    assert gmp(begin="0it", end="4it", every="2it").target(unknown) == 0.9
    gmp(begin="0it", end="4it", every="2it").check(unknown)
    with pytest.raises(ValueError, match="unknown length"):
        gmp(begin="0it", end="4it", every="1ep").check(unknown)


# ------------------------------------------------------------------------------------------------ delayed_gmp


def test_delayed_gmp_makes_the_updates_of_the_contrastive_recipe() -> None:
    schedule = DelayedGMP.model_validate({"sparsity": 0.9, "begin": "2440it", "end": "4760it", "every": "62it"})
    updates = sweep(schedule, 500 * 49, 49)
    assert [i for i, _ in updates] == [*range(2440, 4760, 62), 4760]
    assert updates[0][1] == 0.0
    assert updates[-1][1] == 0.9


def test_delayed_gmp_by_default_prunes_between_a_tenth_and_a_fifth() -> None:
    updates = sweep(DelayedGMP(sparsity=0.5), 200)
    assert [i for i, _ in updates] == [20, 30, 40]
    assert [s for _, s in updates] == pytest.approx([0.0, 0.5 * (1 - 1 / 8), 0.5])


def test_lagging_targets_are_those_of_the_released_code() -> None:
    # The contrastive encoder in the code of Corti et al.: 37 updates, 186 … 2418, the last to .89988.
    updates = sweep(gmp(begin="125it", end="2476it", every="62it", lagging=True), total=24_500, per_epoch=49)
    assert [iteration for iteration, _ in updates] == list(range(186, 2419, 62))
    assert len(updates) == 37
    assert updates[0][1] == 0.0
    assert updates[-1][1] == pytest.approx(0.89988, abs=5e-6)
    # each target is the formula one `every` before
    s = [0.9 - 0.9 * (1 - (t - 62 - 125) / 2351) ** 3 for t in range(248, 2419, 62)]
    assert [target for _, target in updates[1:]] == pytest.approx(s)


def test_the_updates_of_the_paper_reach_the_final_sparsity() -> None:
    published = gmp(begin="1000it", end="20000it", every="500it")
    updates = sweep(published, total=205 * 391, per_epoch=391)
    assert len(updates) == 39
    assert updates[0] == (1000, 0.0)
    assert updates[-1] == (20_000, 0.9)
    assert "own target" in published.reading
    assert "the one before" in gmp(lagging=True).reading


# ------------------------------------------------------------------------------------------------ linear, exponential

IN_ROUNDS: list[type[Linear] | type[Exponential]] = [Linear, Exponential]


def in_rounds(kind: type[Linear] | type[Exponential], **options: object) -> Linear | Exponential:
    return kind.model_validate({"sparsity": 0.9, **options})


def rounds_of(schedule: Schedule) -> list[float]:
    """The targets of a stage that only prunes."""
    schedule.check(Progress(0, schedule.steps - 1, 1))
    updates = planned_rounds(schedule)
    assert [number for number, _ in updates] == list(range(schedule.steps))
    return [target for _, target in updates]


def test_linear_rounds_prune_equal_numbers() -> None:
    assert rounds_of(Linear(sparsity=0.9, rounds=2)) == [0.45, 0.9]
    targets = rounds_of(Linear(sparsity=0.7, rounds=14))
    assert targets == pytest.approx([0.05 * j for j in range(1, 15)], rel=1e-14)
    many = rounds_of(Linear(sparsity=0.956, rounds=140))
    assert np.diff([0.0, *many]) == pytest.approx([0.956 / 140] * 140, rel=1e-10)
    assert (many[0], many[-1]) == (pytest.approx(0.956 / 140), 0.956)


def test_exponential_rounds_prune_the_same_share_of_what_is_left() -> None:
    assert rounds_of(Exponential(sparsity=0.75, rounds=2)) == pytest.approx([0.5, 0.75], rel=1e-15)
    assert rounds_of(Exponential(sparsity=0.875, rounds=3)) == pytest.approx([0.5, 0.75, 0.875], rel=1e-15)
    left = 1 - np.array([0.0, *rounds_of(Exponential(sparsity=0.956, rounds=14))])
    assert left[1:] / left[:-1] == pytest.approx([0.044 ** (1 / 14)] * 14, rel=1e-12)


@pytest.mark.parametrize("rounds", [1, 2, 14, 140])
@pytest.mark.parametrize("sparsity", [1e-18, 1e-9, 0.5, 0.956, 0.98847, 1 - 1e-12])
def test_exponential_targets_are_exact_to_the_last_digits(rounds: int, sparsity: float) -> None:
    getcontext().prec = 60
    left, targets = 1 - Decimal(sparsity), rounds_of(Exponential(sparsity=sparsity, rounds=rounds))
    exact = [float(1 - left ** (Decimal(j) / rounds)) for j in range(1, rounds + 1)]
    assert targets == pytest.approx(exact, rel=1e-12, abs=0)
    assert targets[-1] == sparsity


@pytest.mark.parametrize("kind", IN_ROUNDS)
def test_one_round_is_one_shot(kind: type[Linear]) -> None:
    assert rounds_of(in_rounds(kind)) == [0.9]
    assert sweep(in_rounds(kind), 50) == [(0, 0.9)]
    assert sweep(in_rounds(kind, begin="2ep", end="3ep"), 50) == [(20, 0.9)]


@pytest.mark.parametrize("kind", IN_ROUNDS)
@pytest.mark.parametrize("rounds", [1, 2, 14, 140])
def test_rounds_of_nought_are_a_control_that_updates_and_prunes_nothing(kind: type[Linear], rounds: int) -> None:
    assert rounds_of(in_rounds(kind, sparsity=0.0, rounds=rounds)) == [0.0] * rounds


@pytest.mark.parametrize("kind", IN_ROUNDS)
@given(
    sparsity=st.floats(0, 1, exclude_max=True),
    rounds=st.integers(1, 60),
    begin=st.integers(0, 20),
    slack=st.integers(0, 100),
)
def test_all_rounds_are_made_evenly_and_never_fall(
    kind: type[Linear], sparsity: float, rounds: int, begin: int, slack: int
) -> None:
    length = rounds - 1 + slack
    end = begin + length
    schedule = in_rounds(kind, sparsity=sparsity, rounds=rounds, begin=f"{begin}it", end=f"{end}it")
    updates = sweep(schedule, end + 3)
    even = [begin + j * length / (rounds - 1) for j in range(rounds)] if rounds > 1 else [begin]
    assert np.abs(np.subtract([iteration for iteration, _ in updates], even)).max() <= 0.5
    assert all(earlier <= later for (_, earlier), (_, later) in pairwise(updates))
    assert updates[-1][1] == sparsity


def test_while_training_updates_are_spread_from_begin_to_end() -> None:
    schedule = in_rounds(Linear, sparsity=0.8, rounds=4, begin="1ep", end="2ep")
    # 10, 13⅓, 16⅔, 20
    assert [i for i, _ in sweep(schedule, 30)] == [10, 13, 17, 20]
    assert [s for _, s in sweep(schedule, 30)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    # halves go up: 0, 2½, 5
    assert [i for i, _ in sweep(in_rounds(Linear, rounds=3, end="5it"), 30)] == [0, 3, 5]
    assert [i for i, _ in sweep(in_rounds(Exponential, rounds=3), 30)] == [0, 15, 30]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": "3ep", "end": "1ep"}, r"begin 3ep \(iteration 30\) comes after end 1ep \(iteration 10\)"),
        ({"begin": "21it"}, r"begin 21it \(iteration 21\) comes after end 100% \(iteration 20\)"),
        ({"end": "3ep"}, r"end 3ep \(iteration 30\) lies after the stage's 20 iterations"),
        (
            {"rounds": 12, "begin": "50%"},
            r"12 rounds do not fit between begin 50% \(iteration 10\) and end 100% \(iteration 20\): .* at least 11",
        ),
    ],
)
def test_rounds_that_do_not_fit_the_stage_are_refused(options: dict[str, object], message: str) -> None:
    for kind in IN_ROUNDS:
        with pytest.raises(ValueError, match=message) as error:
            in_rounds(kind, **options).check(Progress(0, 20, 10))
        assert "\n" not in str(error.value)


def test_as_many_rounds_as_there_are_iterations_fit() -> None:
    assert [i for i, _ in sweep(in_rounds(Linear, rounds=21), 20)] == list(range(21))


@pytest.mark.parametrize("rounds", [0, -1, 1.5])
def test_fewer_rounds_than_one_are_refused(rounds: float) -> None:
    for kind in IN_ROUNDS:
        with pytest.raises(ValidationError, match="rounds"):
            in_rounds(kind, rounds=rounds)


def test_one_round_needs_no_length_and_several_do() -> None:
    from torch import nn

    assert Pruner(nn.Linear(10, 10), "linear", sparsity=0.9).sparsity == 0.9
    with pytest.raises(InputError, match="schedule linear: 100% is a share of a stage of unknown length"):
        Pruner(nn.Linear(10, 10), "linear", sparsity=0.9, rounds=2)


# ------------------------------------------------------------------------------------------------ lottery


def test_each_repetition_of_a_lottery_prunes_a_fifth_of_what_is_left() -> None:
    # Frankle & Carbin: 20 % a round leave 80, 64, 51.2, 40.96, 32.768 %
    targets = rounds_of(Lottery(sparsity=1 - 0.8**5, rounds=5))
    assert 1 - np.array(targets) == pytest.approx([0.8, 0.64, 0.512, 0.4096, 0.32768], rel=1e-12)
