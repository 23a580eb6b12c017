"""How a stage pruned, as a recipe says it and as it was done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers_lineage import pruned

from prunekit.plugins.measures._setting import Setting, setting_name

EXPONENTIAL = {"name": "exponential", "sparsity": 0.956, "rounds": 14}


def of(*stages):
    return Setting.of(stages)


def single_round(number, rounds=6, **options):
    """Return a stage that makes one of the rounds of its schedule."""
    stage = pruned(schedule={"name": "linear", "sparsity": 0.8, "rounds": rounds}, **options)
    reached = {**stage.updates[0], "sparsity": 0.8 * number / rounds}
    return replace(stage, options={**stage.options, "round": number}, updates=(reached,))


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
    setting = of(pruned(criterion=criterion, schedule=EXPONENTIAL, changes=(1.0,) * 14))
    assert (setting.criterion, setting.regularisation) == expected
    assert (setting.schedule, setting.rounds, setting.sparsity) == ("exponential", 14, 0.956)


def test_sparsities_that_were_asked_for_are_not_rounded():
    assert of(pruned(schedule={"name": "one_shot", "sparsity": 0.98847})).sparsity == 0.98847


def test_what_a_recipe_leaves_out_is_taken_from_what_was_done():
    setting = of(pruned(schedule="mine", changes=(1.0, 1.0, 1.0)))
    assert (setting.schedule, setting.rounds, setting.sparsity) == ("mine", 3, 0.9)


def test_rounds_and_sparsity_are_those_that_were_reached():
    setting = of(*(single_round(number) for number in (1, 2, 3)))
    assert (setting.rounds, setting.sparsity) == (3, pytest.approx(0.4))


def test_single_rounds_are_the_same_setting_as_all_rounds_of_one_stage():
    whole = pruned(schedule={"name": "linear", "sparsity": 0.8, "rounds": 6}, changes=(1.0,) * 6)
    assert of(*(single_round(number) for number in range(1, 7))) == of(whole)


def test_what_else_a_recipe_says_is_part_of_the_setting():
    targets = {"parameters": ["weight", "bias"]}
    stage = pruned(criterion={"name": "qm", "regularisation": 0.1, "examples": 10})
    layer = replace(stage, options={**stage.options, "within": "layer", "targets": targets})
    assert of(stage).variant == "examples: 10"
    assert of(layer).variant == "within: layer, targets: {parameters: [weight, bias]}, examples: 10"
    assert of(pruned(criterion="qm")).variant == ""
    assert of(pruned(schedule={"name": "mine", "sparsity": 0.9, "power": 2})).variant == "power: 2"


def test_stages_in_a_row_that_differ_are_a_setting_of_their_own():
    first = pruned(criterion="random", schedule={"name": "one_shot", "sparsity": 0.5})
    second = pruned(criterion={"name": "qm", "regularisation": 0.1})
    setting = of(first, second)
    assert (setting.criterion, setting.regularisation, setting.schedule) == ("random then qm", None, "one_shot")
    assert (setting.rounds, setting.sparsity) == (2, 0.9)
    other = of(pruned(criterion="random", schedule={"name": "one_shot", "sparsity": 0.7}), second)
    assert setting != other


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (Setting("magnitude", None, "one_shot", 1, 0.9), "magnitude"),
        (Setting("qm", 1e-3, "linear", 14, 0.9), "qm, λ = 1e-3, 14 rounds"),
        (Setting("qm", 0.0, "linear", 1, 0.9), "qm, λ = 0"),
    ],
)
def test_names(setting, name):
    assert setting_name(setting, setting.criterion) == name
