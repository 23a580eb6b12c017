"""Finding the pruning in a member's past."""

from __future__ import annotations

import pytest
from helpers_lineage import Stage, Then, pruned, trained

from prunekit.plugins.measures._lineage import Setting, last_pruning, losses, validation_error

EXPONENTIAL = {"name": "exponential", "sparsity": 0.956, "rounds": 14}


def member(*past):
    return Then(0.01, 0.97, past)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("magnitude", ("magnitude", None)),
        ("qm", ("qm", 0.0)),
        ({"name": "qm"}, ("qm", 0.0)),
        ({"name": "obd", "regularisation": 1}, ("obd", 1.0)),
        ({"name": "somebodys_own", "regularisation": 0.5}, ("somebodys_own", 0.5)),
        ({"name": "snip", "examples": 100}, ("snip", None)),
    ],
)
def test_criterion_and_lambda_are_those_of_the_stage_whatever_populations_are_called(criterion, expected):
    setting = Setting.of(pruned(criterion=criterion, schedule=EXPONENTIAL))
    assert (setting.criterion, setting.regularisation) == expected
    assert (setting.schedule, setting.rounds, setting.sparsity) == ("exponential", 14, 0.956)


def test_sparsities_are_not_rounded():
    assert Setting.of(pruned(schedule={"name": "one_shot", "sparsity": 0.98847})).sparsity == 0.98847


def test_what_a_recipe_leaves_out_is_taken_from_what_was_done():
    setting = Setting.of(pruned(schedule="mine", changes=(1.0, 1.0, 1.0)))
    assert (setting.schedule, setting.rounds, setting.sparsity) == ("mine", 3, 0.9)


def test_networks_before_right_after_and_at_the_end():
    dense, cut, tuned = trained(0.1, 0.98), pruned(0.7, 0.6), trained(0.02, 0.97)
    found = last_pruning(member(dense, cut, tuned))
    assert found.original is dense.left
    assert found.pruned is cut.left
    assert (found.tuned.train, found.training) == (0.01, (tuned,))
    assert losses(found) == {
        "before": 0.1, "after": 0.7, "change": pytest.approx(0.6), "delta": pytest.approx(0.6)
    }  # fmt: skip


def test_a_loss_that_pruning_lowers_changes_all_the_same():
    found = losses(last_pruning(member(trained(0.7), pruned(0.5), trained())))
    assert (found["change"], found["delta"]) == (pytest.approx(-0.2), pytest.approx(0.2))


def test_pruning_at_initialisation_has_nothing_before():
    found = last_pruning(member(pruned(), trained()))
    assert found.original is None
    assert losses(found) == {"before": None, "after": 0.6, "change": None, "delta": None}


def test_what_was_pruned_and_left_alone_is_the_member_itself_and_was_not_tuned():
    alone = member(trained(), pruned())
    found = last_pruning(alone)
    assert found.pruned is alone
    assert (found.tuned, found.training) == (None, ())


def test_of_a_lottery_the_last_pruning_counts():
    rewind = Stage("rewind", Then(2.3, 0.1), {"rewind": "start"})
    lottery = {"name": "lottery", "sparsity": 0.9}
    first, second = trained(0.2), trained(0.3)
    past = (first, pruned(0.4, schedule=lottery), rewind, second, pruned(0.8, schedule=lottery), rewind, trained())
    found = last_pruning(member(*past))
    assert found.original is second.left
    assert found.pruned is past[4].left
    assert (found.setting.rounds, len(found.training)) == (2, 1)


@pytest.mark.parametrize("past", [(), (trained(),), (trained(), Stage("rewind"), trained())])
def test_without_a_pruning_stage_there_is_nothing(past):
    assert last_pruning(member(*past)) is None


def test_squared_changes_that_an_older_version_did_not_record_are_none():
    assert last_pruning(member(trained(), pruned(changes=(1.5, None)))).squared_change == [1.5, None]


def test_losses_that_are_no_numbers_do_not_exist():
    assert losses(last_pruning(member(trained(0.1), pruned(float("nan")), trained())))["after"] is None


@pytest.mark.parametrize(("accuracy", "error"), [(0.75, 0.25), (None, None)])
def test_without_validation_images_there_is_no_error(accuracy, error):
    assert validation_error(Then(validation=accuracy)) == error
