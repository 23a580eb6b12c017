"""Every registered objective keeps to its contract."""

import pytest
import torch
from helpers_contract import contract, hold

from prunekit import Batch, Objective
from prunekit.registry import registry
from prunekit.testing import Check
from prunekit.testing.objective import LABELS, batch_for, network_for

NAMES = registry.names("objective")


def make(name: str) -> Objective:
    objective = registry.find("objective", name)[0].plugin()
    assert isinstance(objective, Objective)
    return objective


@contract("objective", NAMES)
def test_contract(name: str, check: Check) -> None:
    hold(check, make(name))


@pytest.mark.parametrize("name", NAMES)
def test_to_the_built_in_ones_the_order_of_the_examples_is_nothing(name: str) -> None:
    objective = make(name)
    network, data = network_for(objective), batch_for(objective, LABELS)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    usual = objective.loss(network, data).item()
    assert objective.loss(network, Batch(data.images[:, order], data.labels[order])).item() == pytest.approx(
        usual, rel=1e-5
    )
