"""Criteria from the first derivative of the loss, on values worked out in numpy."""

from __future__ import annotations

import copy
from collections import namedtuple

import numpy as np
import pytest
import torch
from helpers_criteria import context
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit import Batch, InputError, Pruner, PruningContext
from prunekit.masks import find_targets
from prunekit.plugins.criteria._examples import mean_gradients
from prunekit.plugins.criteria.snip import Snip
from prunekit.plugins.criteria.taylor import Taylor
from prunekit.plugins.criteria.wanda import Wanda

WEIGHT = np.array([0.5, -2.0, 1.5])
INPUTS = np.array([[1.0, 2, -1], [0, 1, 3], [2, 2, 2], [-1, 0, 1], [4, -3, 0]])
WANTED = np.array([1.0, -1, 0, 2, 5])
GRADIENTS = 2 * (INPUTS @ WEIGHT - WANTED)[:, None] * INPUTS
"""∂(w·x − y)²/∂w of every example."""


def regression() -> nn.Linear:
    model = nn.Linear(3, 1, bias=False).double()
    model.weight.data = torch.from_numpy(WEIGHT)[None]
    return model


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    ends = np.cumsum(sizes)
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    return [(torch.from_numpy(INPUTS[part]), torch.from_numpy(WANTED[part])) for part in parts]


def squared_error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0])[:, 0], batch[1])


@pytest.mark.parametrize("sizes", [(5,), (3, 2), (1, 1, 3), (1, 1, 1, 1, 1)])
def test_snip_is_weight_times_gradient_of_the_mean_loss_however_batches_are_cut(sizes: tuple[int, ...]) -> None:
    scores = Snip().scores(context(regression(), batches(*sizes), squared_error))
    np.testing.assert_allclose(scores["weight"][0], np.abs(WEIGHT * GRADIENTS.mean(axis=0)), rtol=1e-12)


def test_only_the_first_examples_are_looked_at() -> None:
    data = batches(2, 3)
    scores = Snip(examples=3).scores(context(regression(), data, squared_error))
    np.testing.assert_allclose(scores["weight"][0], np.abs(WEIGHT * GRADIENTS[:3].mean(axis=0)), rtol=1e-12)
    scores = Taylor(examples=3, batch_size=1).scores(context(regression(), data, squared_error))
    np.testing.assert_allclose(scores["weight"][0], ((WEIGHT * GRADIENTS[:3]) ** 2).mean(axis=0), rtol=1e-12)


def test_taylor_of_single_examples_is_the_mean_square_of_each_ones_product() -> None:
    scores = Taylor(batch_size=1).scores(context(regression(), batches(3, 2), squared_error))
    np.testing.assert_allclose(scores["weight"][0], ((WEIGHT * GRADIENTS) ** 2).mean(axis=0), rtol=1e-12)


def test_taylor_splits_large_batches_and_weights_them_by_size() -> None:
    scores = Taylor(batch_size=2).scores(context(regression(), batches(3, 2), squared_error))
    parts = [GRADIENTS[:2].mean(axis=0), GRADIENTS[2], GRADIENTS[3:].mean(axis=0)]
    expected = (2 * (WEIGHT * parts[0]) ** 2 + (WEIGHT * parts[1]) ** 2 + 2 * (WEIGHT * parts[2]) ** 2) / 5
    np.testing.assert_allclose(scores["weight"][0], expected, rtol=1e-12)


def test_opposite_gradients_cancel_for_snip_and_not_for_taylor() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data = torch.tensor([[2.0]])
    data = [(torch.tensor([[1.0], [-1.0]]),)]

    def mean_output(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        return model(batch[0]).mean()

    assert Snip().scores(context(model, data, mean_output))["weight"].item() == 0
    assert Taylor(batch_size=2).scores(context(model, data, mean_output))["weight"].item() == 0
    assert Taylor(batch_size=1).scores(context(model, data, mean_output))["weight"].item() == 4


def test_taylor_tells_tiny_products_apart() -> None:
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[1e-25, 2e-25]])  # their squares vanish in float32
    data = [(torch.ones(1, 2),)]
    scores = Taylor().scores(context(model, data, lambda model, batch: model(batch[0]).sum()))["weight"]
    np.testing.assert_allclose(scores[0], [1e-50, 4e-50], rtol=1e-6)


def test_biases_are_scored_where_they_are_targets() -> None:
    model = nn.Linear(3, 2)
    data = [(torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))]
    scores = Snip().scores(context(model, data, parameters=["weight", "bias"]))
    probability = model(data[0][0]).softmax(dim=1) - F.one_hot(data[0][1], 2)
    torch.testing.assert_close(scores["bias"], (model.bias * probability.mean(dim=0)).abs())
    assert scores.keys() == {"weight", "bias"}
    assert Taylor().scores(context(model, data, parameters=["bias"])).keys() == {"bias"}


def test_a_weight_that_the_loss_does_not_depend_on_scores_nought() -> None:
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "spare": nn.Linear(3, 2)})
    data = [(torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))]

    def loss(model: nn.ModuleDict, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model["used"](batch[0]), batch[1])

    for criterion in (Snip(), Taylor()):
        scores = criterion.scores(context(model, data, loss))  # type: ignore[arg-type]
        assert not scores["spare.weight"].any()
        assert scores["used.weight"].all()
        constant = criterion.scores(context(model, data, lambda model, batch: torch.zeros(())))
        assert not any(score.any() for score in constant.values())


def test_mean_gradients_of_frozen_parameters_leave_them_frozen() -> None:
    model = regression().requires_grad_(False)
    with torch.no_grad():
        found = mean_gradients(context(model, batches(2, 3), squared_error), batches(2, 3))
    np.testing.assert_allclose(found["weight"][0], GRADIENTS.mean(axis=0), rtol=1e-12)
    assert not model.weight.requires_grad
    assert model.weight.grad is None


# ------------------------------------------------------------------------------------------------ modes


def normalised() -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_batchnorm_normalises_as_chosen_and_dropout_stays_off(statistics: str) -> None:
    data = [(torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 3)]
    model, twin = normalised(), normalised().eval()
    twin[1].train(statistics == "batch")
    F.cross_entropy(twin(data[0][0]), data[0][1]).backward()
    before = copy.deepcopy(model.state_dict())
    scores = Snip(statistics=statistics).scores(context(model, data))  # type: ignore[arg-type]
    for index in (0, 4):
        expected = (twin[index].weight * twin[index].weight.grad).abs()
        torch.testing.assert_close(scores[f"{index}.weight"], expected.detach(), rtol=1e-10, atol=1e-16)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_statistics_of_a_single_example_are_refused_in_one_line() -> None:
    data = [(torch.randn(1, 4, dtype=torch.float64), torch.tensor([0]))]
    model = normalised()
    with pytest.raises(InputError, match=r"BatchNorm cannot take statistics of a batch of one example: .* running"):
        Snip().scores(context(model, data))
    assert all(module.training for module in model.modules())
    assert Snip(statistics="running").scores(context(model, data)).keys() == {"0.weight", "4.weight"}


def test_other_errors_of_a_model_come_through() -> None:
    def loss(model: nn.Module, batch: object) -> Tensor:
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        Snip().scores(context(normalised(), [(torch.randn(2, 4), torch.arange(2))], loss))


def test_readings_say_what_was_looked_at_and_how() -> None:
    assert Snip().reading.endswith("128 training examples, BatchNorm with the statistics of each batch, no dropout")
    assert "all training examples, BatchNorm with running" in Snip(examples=None, statistics="running").reading
    assert "batches of up to 16 training examples" in Taylor(batch_size=16).reading


# ------------------------------------------------------------------------------------------------ data


def test_batches_of_a_stage_are_cut_as_tuples_are() -> None:
    torch.manual_seed(2)
    model, images, labels = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.randn(7, 3, 2, 2), torch.arange(7) % 3
    named = namedtuple("named", ["images", "labels"])
    kinds = [(images, labels), [images, labels], named(images, labels), Batch(images[None], labels)]
    for criterion in (Snip(examples=5), Taylor(examples=5, batch_size=2)):
        first, *others = (criterion.scores(context(model, [kind]))["1.weight"] for kind in kinds)
        assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("name", ["snip", "taylor"])
def test_bad_losses_are_refused_in_one_line(name: str) -> None:
    inputs, labels = torch.ones(4, 3), torch.tensor([0, 1, 0, 1])
    model = nn.Linear(3, 2)
    with pytest.raises(InputError, match=f"criterion {name}: the loss of a batch of training data is nan"):
        Pruner(model, criterion=name, sparsity=0.5, data=[(inputs * torch.inf, labels)])
    with pytest.raises(InputError, match=rf"criterion {name}: the loss is of shape \[4\]: expected a scalar"):
        Pruner(
            model,
            criterion=name,
            sparsity=0.5,
            data=[(inputs, labels)],
            loss=lambda model, batch: model(batch[0])[:, 0],
        )


def test_data_without_labels_are_refused_where_the_loss_is_cross_entropy() -> None:
    for batch in (torch.randn(4, 3), (torch.randn(4, 3), torch.rand(4)), (torch.randn(4, 3),)):
        with pytest.raises(InputError, match="looks at labels, and the data have none"):
            Snip().scores(context(nn.Linear(3, 2), [batch]))


def test_batches_may_be_mappings_where_the_loss_knows_them() -> None:
    model, inputs, labels = nn.Linear(3, 2), torch.randn(6, 3), torch.arange(6) % 2

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(batch["x"]), batch["y"])

    batches = [{"x": inputs, "y": labels}]
    given = PruningContext(model, find_targets(model), torch.Generator(), loss, lambda: iter(batches))
    plain = context(model, [(inputs[:4], labels[:4])])
    torch.testing.assert_close(Snip(examples=4).scores(given), Snip(examples=4).scores(plain))
    with pytest.raises(InputError, match=r"expected batches \(inputs, labels\), not a dict"):
        Wanda().scores(given)


def test_a_loss_that_is_no_tensor_is_refused() -> None:
    given = context(nn.Linear(3, 2), [(torch.randn(4, 3), torch.arange(4) % 2)], lambda model, batch: 0.5)
    with pytest.raises(InputError, match="loss= returned a float: expected a scalar tensor"):
        Snip().scores(given)


def test_a_model_that_returns_no_tensor_is_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(inputs), inputs

    with pytest.raises(InputError, match="needs a model that returns a tensor, not a tuple"):
        Snip().scores(context(Two(), [(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))]))
