"""Finding the pruning in a member's past."""

from __future__ import annotations

import pytest
from helpers_lineage import Stage, Then, pruned, trained

from prunekit.plugins.measures._lineage import gap, last_pruning, losses, validation_error

REWIND = Stage("rewind", Then(2.3, 0.1), {"rewind": "start"})
LOTTERY = {"name": "lottery", "sparsity": 0.9, "rounds": 2}


def member(*past):
    return Then(0.01, 0.97, past)


def test_networks_before_right_after_and_at_the_end():
    dense, cut, tuned = trained(0.1, 0.98), pruned(0.7, 0.6), trained(0.02, 0.97)
    found = last_pruning(member(dense, cut, tuned))
    assert found.original is found.before is dense.left
    assert found.pruned is cut.left
    assert found.sole
    assert (found.tuned.train, found.training) == (0.01, (tuned,))
    assert losses(found) == {
        "before": 0.1, "after": 0.7, "change": pytest.approx(0.6), "delta": pytest.approx(0.6)
    }  # fmt: skip


def test_a_loss_that_pruning_lowers_changes_all_the_same():
    found = losses(last_pruning(member(trained(0.7), pruned(0.5), trained())))
    assert (found["change"], found["delta"]) == (pytest.approx(-0.2), pytest.approx(0.2))


@pytest.mark.parametrize("before", [(), (trained(), REWIND)], ids=["first stage", "after a rewind to the start"])
def test_pruning_at_initialisation_has_no_trained_network_before(before):
    found = last_pruning(member(*before, pruned(), trained()))
    assert (found.original, found.before) == (None, None)
    assert losses(found) == {"before": None, "after": 0.6, "change": None, "delta": None}


def test_what_was_pruned_and_left_alone_is_the_member_itself_and_was_not_tuned():
    alone = member(trained(), pruned())
    found = last_pruning(alone)
    assert found.pruned is alone
    assert (found.tuned, found.training) == (None, ())


def test_of_a_lottery_the_last_pruning_counts_and_the_dense_network_is_the_original():
    first, second = trained(0.2), trained(0.3)
    past = (first, pruned(0.4, schedule=LOTTERY), REWIND, second, pruned(0.8, schedule=LOTTERY), REWIND, trained())
    found = last_pruning(member(*past))
    assert (found.original, found.before) == (first.left, second.left)
    assert found.pruned is past[4].left
    assert (found.stages, found.setting.rounds, len(found.training)) == ((past[4],), 1, 1)
    assert not found.sole


def test_stages_in_a_row_are_one_pruning():
    dense, one, other = trained(0.2), pruned(0.4, changes=(1.0, 2.0)), pruned(0.8, changes=(4.0,))
    found = last_pruning(member(dense, one, other, trained()))
    assert (found.before, found.original, found.pruned) == (dense.left, dense.left, other.left)
    assert (found.stages, found.setting.rounds) == ((one, other), 3)
    assert found.squared_changes == [1.0, 2.0, 4.0]
    assert found.sole


GMP = Stage("train", Then(0.3, 0.8), {"objective": "cross_entropy", "epochs": 1, "prune": {"schedule": "gmp"}})


@pytest.mark.parametrize("past", [(trained(0.2), GMP, pruned()), (trained(0.2), pruned(), GMP)], ids=["gmp", "after"])
def test_what_a_stage_prunes_as_it_trains_is_another_pruning(past):
    found = last_pruning(member(*past))
    assert not found.sole
    assert found.original is past[0].left
    assert last_pruning(member(GMP, pruned())).original is None


@pytest.mark.parametrize("past", [(), (trained(),), (trained(), Stage("rewind"), trained())])
def test_without_a_pruning_stage_there_is_nothing(past):
    assert last_pruning(member(*past)) is None


def test_squared_changes_that_an_older_version_did_not_record_are_none():
    assert last_pruning(member(trained(), pruned(changes=(1.5, None)))).squared_changes == [1.5, None]


def test_losses_that_are_no_numbers_do_not_exist():
    assert losses(last_pruning(member(trained(0.1), pruned(float("nan")), trained())))["after"] is None


@pytest.mark.parametrize(("accuracy", "error"), [(0.75, 0.25), (None, None)])
def test_without_validation_images_there_is_no_error(accuracy, error):
    assert validation_error(Then(validation=accuracy)) == error


@pytest.mark.parametrize("images", [7, 90, 1000, 5000, 8192, 10_000])
def test_gaps_of_as_many_images_are_equal_numbers_whatever_the_errors(images):
    steps = range(0, images, max(1, images // 500))
    assert {gap(1 - wrong / images, 1 - (wrong + 1) / images) for wrong in steps} == {1 / images}
    assert gap(0.25, 0.5) == -0.25
    assert gap(None, 0.5) is gap(0.5, None) is None
