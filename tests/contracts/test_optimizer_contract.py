"""What every registered optimiser must keep to."""

import pytest
import torch
from torch import nn

from prunekit import Optimizer
from prunekit.checkpoint import optimizer_state, restore_optimizer
from prunekit.registry import registry

NAMES = registry.names("optimizer")


def make(name: str, **options: float) -> Optimizer:
    optimizer = registry.find("optimizer", name)[0].plugin.model_validate(options)
    assert isinstance(optimizer, Optimizer)
    return optimizer


def steps(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        (parameter - 3).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_default_rate_and_goes_downhill(name: str) -> None:
    parameter = nn.Parameter(torch.zeros(4))
    optimizer = make(name).build([parameter])
    assert optimizer.param_groups[0]["lr"] == make(name).lr > 0
    steps(optimizer, parameter, 5)
    assert bool((parameter > 0).all())


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_of_the_group_is_the_one_used(name: str) -> None:
    parameter = nn.Parameter(torch.zeros(4))
    optimizer = make(name, lr=0.5).build([parameter])
    optimizer.param_groups[0]["lr"] = 0.0
    steps(optimizer, parameter, 2)
    assert torch.equal(parameter, torch.zeros(4))


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_the_parameters_it_was_given(name: str) -> None:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))]
    held = [p for group in make(name).build(parameters).param_groups for p in group["params"]]
    assert [id(p) for p in held] == [id(p) for p in parameters]


@pytest.mark.parametrize("name", NAMES)
def test_its_state_comes_back(name: str) -> None:
    whole, half = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    steps(make(name).build([whole]), whole, 6)
    first = make(name).build([half])
    steps(first, half, 3)
    second = make(name).build([half])
    tensors, scalars = optimizer_state(first, {"weight": half})
    restore_optimizer(second, {"weight": half}, {**tensors, **scalars})
    steps(second, half, 3)
    assert torch.equal(half, whole)
