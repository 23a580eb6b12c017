"""What an optimiser keeps to."""

from __future__ import annotations

import torch
from torch import nn

from prunekit.checkpoint import optimizer_state, restore_optimizer
from prunekit.protocols import Optimizer
from prunekit.testing.contract import Suite

suite = Suite("optimizer")


def _steps(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        (parameter - 3).square().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@suite.states
def it_begins_with_its_rate_and_goes_downhill(plugin: Optimizer) -> None:
    """From 0 towards 3."""
    parameter = nn.Parameter(torch.zeros(4))
    optimizer = plugin.build([parameter])
    rate = optimizer.param_groups[0]["lr"]
    assert rate == plugin.lr, f"the rate is {rate} where lr is {plugin.lr}"
    _steps(optimizer, parameter, 5)
    assert plugin.lr == 0 or bool((parameter > 0).all()), f"after 5 steps towards 3 it is at {parameter.tolist()}"


@suite.states
def the_rate_of_the_group_is_the_one_used(plugin: Optimizer) -> None:
    """The stage's lr_schedule sets it anew before every step."""
    parameter = nn.Parameter(torch.zeros(4))
    optimizer = plugin.build([parameter])
    optimizer.param_groups[0]["lr"] = 0.0
    _steps(optimizer, parameter, 2)
    assert torch.equal(parameter, torch.zeros(4)), "with its group's rate at 0 it still moves"


@suite.states
def it_holds_the_parameters_it_was_given(plugin: Optimizer) -> None:
    """In their order."""
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))]
    held = [p for group in plugin.build(parameters).param_groups for p in group["params"]]
    assert [id(p) for p in held] == [id(p) for p in parameters], f"it holds {len(held)} parameters of 2 given"


@suite.states
def its_state_comes_back(plugin: Optimizer) -> None:
    """Six steps, or three, stored and restored, and three more: the same bits."""
    whole, half = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    _steps(plugin.build([whole]), whole, 6)
    first, second = plugin.build([half]), plugin.build([half])
    _steps(first, half, 3)
    tensors, scalars = optimizer_state(first, {"weight": half})
    restore_optimizer(second, {"weight": half}, {**tensors, **scalars})
    _steps(second, half, 3)
    assert torch.equal(half, whole), f"six steps lead to {whole.tolist()}, three and three to {half.tolist()}"
