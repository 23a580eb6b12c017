"""What an objective keeps to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunekit.images import Batch
from prunekit.network import Network
from prunekit.protocols import Objective
from prunekit.testing.contract import Suite

suite = Suite("objective")
LABELS = [0, 1, 2, 0, 1, 0]


def network_for(objective: Objective) -> Network:
    """Return a small network of three classes, with a projector where the objective wants one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh()), nn.Linear(5, 3))
        if objective.projector is not None:
            network.add_projector(objective.projector)
    return network


def batch_for(objective: Objective, labels: list[int]) -> Batch:
    """Return as many views of made-up images, 3×2×2, as the objective wants."""
    images = torch.randn(objective.views, len(labels), 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.tensor(labels))


def _loss(objective: Objective, network: Network, batch: Batch) -> Tensor:
    """Return the loss with torch's random numbers as a stage seeds them: the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return objective.loss(network, batch)


@suite.states
def the_loss_is_a_finite_scalar_and_so_are_gradients(objective: Objective) -> None:
    """Of several classes, of one class alone, and of one example."""
    for case, labels in (("three classes", LABELS), ("one class", [1, 1, 1]), ("one example", [2])):
        network = network_for(objective)
        loss = _loss(objective, network, batch_for(objective, labels))
        assert isinstance(loss, Tensor), f"{case}: the loss is a {type(loss).__name__}, not a tensor"
        assert loss.shape == (), f"{case}: the loss has the shape {list(loss.shape)}: expected a scalar"
        assert loss.isfinite(), f"{case}: the loss is {loss.item()}"
        assert loss.requires_grad, f"{case}: no gradient flows from the loss (is something detached?)"
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in network.named_parameters():
            finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
            assert finite, f"{case}: the gradient of {name} is not finite"


@suite.states
def it_trains_the_parts_that_it_names_and_no_others(objective: Objective) -> None:
    """``trains`` names what the gradient reaches, of encoder, head and projector."""
    network = network_for(objective)
    _loss(objective, network, batch_for(objective, LABELS)).backward()  # type: ignore[no-untyped-call]
    reached = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    named = set(objective.trains)
    assert reached == named, f"the gradient reaches {sorted(reached)}, `trains` names {sorted(named)}"
    assert ("projector" in named) is (objective.projector is not None), "`trains` and `projector` do not go together"


@suite.states
def a_step_along_the_gradient_lowers_the_loss(objective: Objective) -> None:
    """The gradient is that of the loss."""
    network, batch = network_for(objective), batch_for(objective, LABELS)
    before = _loss(objective, network, batch)
    before.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-3 * parameter.grad)
    after = _loss(objective, network, batch)
    assert after < before, f"the loss goes from {before.item():g} to {after.item():g}"


@suite.states
def the_same_batch_gives_the_same_loss(objective: Objective) -> None:
    """To the bit, with torch's random numbers seeded alike: nothing is remembered from batch to batch."""
    network, batch = network_for(objective), batch_for(objective, LABELS)
    first, again = (_loss(objective, network, batch) for _ in range(2))
    assert torch.equal(first, again), f"the loss is {first.item()!r}, then {again.item()!r}"


@suite.states
def the_batch_is_not_changed(objective: Objective) -> None:
    """It has as many views as ``views`` says, and they stay as they are."""
    assert objective.views >= 1, f"views is {objective.views}: expected at least 1"
    batch, expected = batch_for(objective, LABELS), batch_for(objective, LABELS)
    _loss(objective, network_for(objective), batch)
    assert torch.equal(batch.images, expected.images), "the images are changed in place"
    assert torch.equal(batch.labels, expected.labels), "the labels are changed in place"
