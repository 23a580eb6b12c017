"""What every registered objective must keep to."""

import pytest
import torch
from torch import Tensor, nn

from prunekit import Batch, Objective
from prunekit.network import Network
from prunekit.registry import registry

NAMES = registry.names("objective")


def make(name: str) -> Objective:
    objective = registry.find("objective", name)[0].plugin.model_validate({})
    assert isinstance(objective, Objective)
    return objective


def network_for(objective: Objective) -> Network:
    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh()), nn.Linear(5, 3))
    if objective.projector is not None:
        network.add_projector(objective.projector)
    return network


def batch(objective: Objective, labels: list[int]) -> Batch:
    images = torch.randn(objective.views, len(labels), 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.tensor(labels))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 0], [1, 1, 1], [2]])
def test_the_loss_is_a_finite_scalar_and_so_are_gradients(name: str, labels: list[int]) -> None:
    objective = make(name)
    network = network_for(objective)
    loss = objective.loss(network, batch(objective, labels))
    assert loss.shape == ()
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_the_parts_that_it_names_and_no_others(name: str) -> None:
    objective = make(name)
    network = network_for(objective)
    objective.loss(network, batch(objective, [0, 1, 2, 0, 1, 0])).backward()  # type: ignore[no-untyped-call]
    with_gradient = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert with_gradient == set(objective.trains)
    assert ("projector" in objective.trains) is (objective.projector is not None)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_along_the_gradient_lowers_the_loss(name: str) -> None:
    objective = make(name)
    network, data = network_for(objective), batch(objective, [0, 1, 2, 0, 1, 0])
    before = objective.loss(network, data)
    before.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert objective.loss(network, data) < before


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_examples_plays_no_part(name: str) -> None:
    objective = make(name)
    network, data = network_for(objective), batch(objective, [0, 1, 2, 0, 1, 0])
    order = torch.tensor([3, 1, 5, 0, 4, 2])

    def loss(images: Tensor, labels: Tensor) -> float:
        return objective.loss(network, Batch(images, labels)).item()

    assert loss(data.images, data.labels) == pytest.approx(loss(data.images[:, order], data.labels[order]), rel=1e-5)
