"""Optimisers against their update rules, written out."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from prunekit.plugins.optimizers.adamw import AdamW
from prunekit.plugins.optimizers.sgd import Sgd

GRADIENTS = [0.5, -1.0, 0.25]


def trajectory(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[float]:
    values = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        values.append(parameter.item())
    return values


def one() -> nn.Parameter:
    return nn.Parameter(torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(nesterov: bool) -> None:
    parameter = one()
    found = trajectory(Sgd(lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01).build([parameter]), parameter)
    value, velocity, expected = 1.0, 0.0, []
    for gradient in GRADIENTS:
        decayed = gradient + 0.01 * value
        velocity = 0.9 * velocity + decayed
        value -= 0.1 * (decayed + 0.9 * velocity if nesterov else velocity)
        expected.append(value)
    assert found == pytest.approx(expected)


def test_adamw() -> None:
    parameter = one()
    options = AdamW(lr=0.1, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.2)
    found = trajectory(options.build([parameter]), parameter)
    value, mean, square, expected = 1.0, 0.0, 0.0, []
    for step, gradient in enumerate(GRADIENTS, start=1):
        value -= 0.1 * 0.2 * value
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        value -= 0.1 * (mean / (1 - 0.8**step)) / (math.sqrt(square / (1 - 0.95**step)) + 1e-6)
        expected.append(value)
    assert found == pytest.approx(expected)


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValidationError, match="nesterov needs a momentum above 0"):
        Sgd(nesterov=True, momentum=0.0)


@pytest.mark.parametrize("options", [{"lr": -0.1}, {"lr": math.inf}, {"momentum": 1.0}, {"weight_decay": -1.0}])
def test_sgd_refuses_impossible_options(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Sgd.model_validate(options)
