"""What a pruner takes, what it refuses, and what it warns of."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_pruner import Rounds, small
from torch import nn

import prunekit
from prunekit import Criterion, InputError, Pruner, PruningContext
from prunekit.protocols import TargetSelection


def test_targets_parts_and_within_narrow_what_is_pruned() -> None:
    pruner = Pruner(small(), sparsity=0.5, targets={"modules": ["linear"]})
    assert list(pruner.masks) == ["4.weight"]
    pruner = Pruner(small(), sparsity=0.5, targets=TargetSelection(parameters=["bias"]), parts={"0"})
    assert list(pruner.masks) == ["0.bias"]
    pruner = Pruner(small(), sparsity=0.5, within="layer")
    assert [int((~mask).sum()) for mask in pruner.masks.values()] == [36, 192]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "gpm", "sparsity": 0.5}, r"no schedule is called 'gpm' \(did you mean 'gmp'\?\)"),
        ({"criterion": "magnitud", "sparsity": 0.5}, r"no criterion is called 'magnitud' \(did you mean 'magnitude'"),
        ({"sparsity": 0.5, "begn": "1it"}, r"schedule one_shot: begn: unknown key \(did you mean 'begin'\?\)"),
        ({}, "schedule one_shot: sparsity: the key is missing"),
        ({"sparsity": 1.0}, "schedule one_shot: sparsity: expected less than 1, not 1.0"),
        ({"sparsity": float("nan")}, "sparsity: expected a finite number|sparsity: expected less than 1"),
        ({"sparsity": "half"}, "sparsity: expected a valid number, not 'half'"),
        ({"sparsity": 0.5, "begin": 3}, "begin: 3 has no unit: expected a time such as"),
        ({"sparsity": 0.5, "within": "column"}, r"within 'column'"),
        ({"sparsity": 0.5, "targets": {"modules": ["cnv"]}}, "targets: modules.0: expected 'conv' or 'linear'"),
        ({"sparsity": 0.5, "targets": {"module": []}}, r"targets: module: unknown key \(did you mean 'modules'"),
        ({"sparsity": 0.5, "seed": -1}, "seed is -1: expected at least 0"),
        ({"sparsity": 0.5, "iterations_per_epoch": 0}, "iterations_per_epoch is 0: expected at least 1"),
        ({"sparsity": 0.5, "begin": "1ep"}, "1ep counts epochs of unknown length"),
        ({"sparsity": 0.5, "begin": "5%"}, "5% is a share of a stage of unknown length"),
        ({"schedule": "gmp", "sparsity": 0.5, "begin": "9it", "end": "2it", "every": "1it"}, "begin 9it .* after end"),
        ({"schedule": Rounds(sparsity=0.5), "sparsity": 0.5}, "unexpected option 'sparsity'"),
        ({"schedule": {"sparsity": 0.5}}, "expected a name, a mapping with a name, or a Schedule"),
        ({"schedule": {"name": "one_shot", "sparsity": 2}}, "sparsity: expected less than 1"),
        ({"schedule": 3}, "the schedule is 3"),
        ({"sparsity": 0.5, "optimizer": "sgd"}, "the optimizer is 'sgd': expected a torch.optim.Optimizer"),
        ({"sparsity": 0.5, "optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters())}, "is it another model's"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    model = small()
    with pytest.raises(InputError, match=message) as raised:
        Pruner(model, **arguments)
    assert "\n" not in str(raised.value)
    assert all((p != 0).any() for p in (model[0].weight, model[4].weight))


def test_a_model_without_prunable_layers_is_refused() -> None:
    with pytest.raises(InputError, match="no convolution and no linear layer"):
        Pruner(nn.ReLU(), sparsity=0.5)


def test_a_layer_of_which_nothing_is_left_is_warned_of_once() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with torch.no_grad():
        model[1].weight.mul_(1e-6)  # 16 of 48 weights, the first to go
    with pytest.warns(UserWarning, match=r"nothing is left of 1\.weight$"):
        pruner = Pruner(model, "gmp", sparsity=0.8, initial=0.5, begin="0it", end="2it", every="1it")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruner.step()


def test_a_loop_that_ends_before_the_first_update_is_warned_of() -> None:
    model = nn.Linear(4, 4)
    pruner = Pruner(model, "gmp", sparsity=0.5, begin="5it", end="9it", every="1it")
    pruner.step()
    with pytest.warns(
        UserWarning, match=r"0 of the weights are pruned where 0\.5 were asked for: the loop ended after 1 steps"
    ):
        masks = pruner.finalize()
    assert masks["weight"].all()


@pytest.mark.parametrize("follows", ["steps.step()", "pruner.step()", "pruner.finalize()", "prunekit.prune("])
def test_warnings_are_of_the_line_that_called(follows: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with torch.no_grad():
        model[1].weight.mul_(1e-6)
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(steps, 1)  # wraps steps.step
    hooked = {"optimizer": steps} if follows == "steps.step()" else {}
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        pruner = Pruner(model, "gmp", sparsity=0.8, begin="0it", end="1it", every="1it", **hooked)
        if follows == "steps.step()":
            steps.step()
        elif follows == "pruner.step()":
            pruner.step()
        elif follows == "pruner.finalize()":
            pruner.finalize()
        else:
            prunekit.prune(model, sparsity=0.8)
    assert {warning.filename for warning in record} == {__file__}
    assert follows in Path(__file__).read_text().splitlines()[record[-1].lineno - 1]


def test_a_glob_that_matches_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"include '0.wight' matches none .* \(did you mean '0\.weight'\?\)"):
        Pruner(small(), sparsity=0.5, targets={"include": ["0.wight"]})


@pytest.mark.parametrize(("scores", "message"), [(None, "gave NoneType"), ({"weight": 3}, "gave a int for weight")])
def test_scores_that_are_no_tensors_are_refused(scores: Any, message: str) -> None:
    class Wrong(Criterion):
        name = "wrong"

        def scores(self, context: PruningContext) -> Any:
            return scores

    with pytest.raises(InputError, match=message):
        Pruner(nn.Linear(2, 2), criterion=Wrong(), sparsity=0.5)
