"""GraSP against the explicit Hessian, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from helpers_criteria import context
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit import Batch, InputError, Pruner
from prunekit.plugins.criteria.grasp import Grasp

TEMPERATURE = 3.0
LABELS = torch.arange(9) % 3


class Attention(nn.Module):
    """Attention over the tokens of [B, 4, 6], its scaled dot products in one operation or written out."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.mixed, self.head = nn.Linear(6, 18, bias=False), nn.Linear(6, 3, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.mixed(tokens).chunk(3, dim=-1)
        if self.fused:
            found = F.scaled_dot_product_attention(queries, keys, values)
        else:
            found = (queries @ keys.transpose(1, 2) / 6**0.5).softmax(dim=-1) @ values
        return self.head(found.mean(dim=1))


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 2, groups=2), nn.BatchNorm2d(4), nn.Softplus(), nn.Dropout(0.5)),
        *(nn.Flatten(), nn.Linear(16, 3)),
    )


def seeded(build: Any, *arguments: Any) -> nn.Module:
    torch.manual_seed(4)
    model: nn.Module = build(*arguments).double()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2.0)
    return model


def images() -> Tensor:
    return torch.randn(9, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def split(inputs: Tensor, *sizes: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(inputs.split(sizes), LABELS[: len(inputs)].split(sizes), strict=True))


def explicit(model: nn.Module, batches: list[tuple[Tensor, Tensor]], names: list[str]) -> dict[str, Tensor]:
    """Return θ ⊙ (H g) from the whole Hessian of the mean loss with respect to the parameters ``names``."""
    parameters = dict(model.named_parameters())
    flat = torch.cat([parameters[name].detach().reshape(-1) for name in names])
    sizes = [parameters[name].numel() for name in names]
    count = sum(len(labels) for _, labels in batches)

    def loss(values: Tensor) -> Tensor:
        chosen = {n: v.view_as(parameters[n]) for n, v in zip(names, values.split(sizes), strict=True)}
        total = torch.zeros((), dtype=torch.float64)
        for inputs, labels in batches:
            logits = torch.func.functional_call(model, chosen, (inputs,)) / TEMPERATURE
            total = total + F.cross_entropy(logits, labels, reduction="sum")
        return total / count

    hessian = torch.autograd.functional.hessian(loss, flat)
    gradient = torch.autograd.functional.jacobian(loss, flat)
    scores = flat * (hessian @ gradient)
    return {n: v.view_as(parameters[n]) for n, v in zip(names, scores.split(sizes), strict=True)}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("sizes", [(9,), (4, 5), (1, 6, 2)])
def test_scores_equal_the_explicit_hessian_however_batches_are_cut(sizes: tuple[int, ...]) -> None:
    model = seeded(network)
    twin, batches = copy.deepcopy(model).eval(), split(images(), *sizes)
    found = Grasp(temperature=TEMPERATURE, statistics="running").scores(context(model, batches))
    assert_equal(found, explicit(twin, batches, ["0.weight", "5.weight"]))


def test_batch_statistics_are_those_of_every_batch_and_leave_no_trace() -> None:
    model = seeded(network)
    batches = split(images(), 5, 4)
    twin = copy.deepcopy(model).eval()
    twin[1].train()  # type: ignore[index]
    before = copy.deepcopy(model.state_dict())
    found = Grasp(temperature=TEMPERATURE).scores(context(model, batches))
    assert_equal(found, explicit(twin, batches, ["0.weight", "5.weight"]))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_biases_are_scored_where_they_are_targets() -> None:
    model = seeded(network)
    batches = split(images(), 9)
    scores = Grasp(temperature=TEMPERATURE, statistics="running").scores(
        context(model, batches, parameters=["weight", "bias"])
    )
    names = ["0.weight", "0.bias", "5.weight", "5.bias"]
    assert_equal(scores, explicit(copy.deepcopy(model).eval(), batches, names))


def test_fused_attention_has_the_scores_of_attention_written_out() -> None:
    tokens = torch.randn(9, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    batches = split(tokens, 9)
    found = Grasp(temperature=TEMPERATURE).scores(context(seeded(Attention, True), batches))
    assert_equal(found, explicit(seeded(Attention, False), batches, ["mixed.weight", "head.weight"]))


@pytest.mark.parametrize("inplace", [False, True])
def test_the_hard_sigmoid_has_the_scores_of_the_clipped_line(inplace: bool) -> None:
    class Line(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return ((values + 3) / 6).clamp(0, 1)

    def build(gate: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(18, 5), nn.Tanh(), gate, nn.Linear(5, 3))

    batches = split(images(), 9)
    found = Grasp(temperature=TEMPERATURE).scores(context(seeded(build, nn.Hardsigmoid(inplace)), batches))
    assert_equal(found, explicit(seeded(build, Line()), batches, ["1.weight", "4.weight"]))


def test_a_score_is_the_gradient_flow_that_goes_with_the_weight() -> None:
    """Shrinking θᵢ by a share ε changes ‖g‖² by −2ε·scoreᵢ: a weight of high score carries flow, and is kept."""
    model = seeded(network).eval()
    batches = split(images(), 9)
    scores = Grasp(temperature=TEMPERATURE, statistics="running").scores(context(model, batches))["5.weight"]
    weight = model[5].weight  # type: ignore[index]

    def flow() -> float:
        loss = F.cross_entropy(model(images()) / TEMPERATURE, LABELS)
        return sum(float((g**2).sum()) for g in torch.autograd.grad(loss, [model[0].weight, weight]))  # type: ignore[index]

    for index in (scores.argmax(), scores.argmin()):
        before, share = weight.flatten()[index].item(), 1e-5
        flows = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.view(-1)[index] = before * (1 - sign * share)
            flows.append(flow())
        with torch.no_grad():
            weight.view(-1)[index] = before
        change = (flows[0] - flows[1]) / (2 * share)
        assert change == pytest.approx(-2 * float(scores.flatten()[index]), rel=1e-5)
    assert scores.min() < 0 < scores.max()


def test_gradient_and_hessian_see_the_same_examples_of_a_loader_that_shuffles() -> None:
    starts = 0

    def shuffled() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal starts
        starts += 1
        order = torch.randperm(9, generator=torch.Generator().manual_seed(starts))
        yield from zip(images()[order].split(4), LABELS[order].split(4), strict=True)

    model = seeded(network)
    found = Grasp(examples=6, temperature=TEMPERATURE, statistics="running").scores(context(model, shuffled))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))[:6]
    batches = [(images()[order], LABELS[order])]
    assert_equal(found, explicit(copy.deepcopy(model).eval(), batches, ["0.weight", "5.weight"]))


def test_batches_of_a_stage_are_read_as_tuples_are() -> None:
    model = seeded(network)
    first = Grasp().scores(context(model, split(images(), 9)))
    second = Grasp().scores(context(model, [Batch(images()[None], LABELS)]))
    assert_equal(first, second)


def test_the_callers_loss_is_not_used() -> None:
    model = seeded(network)
    data = split(images(), 9)
    first = Grasp().scores(context(model, data))
    second = Grasp().scores(context(model, data, lambda model, batch: model(batch[0]).sum()))
    assert_equal(first, second)


# ------------------------------------------------------------------------------------------------ refusals


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * 2


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


@pytest.mark.parametrize(
    ("function", "reason"),
    [(Once.apply, "once_differentiable"), (torch.ops.aten.hardsigmoid, "derivative for aten::hardsigmoid_backward")],
)
def test_an_operation_without_a_second_derivative_is_one_clear_line(function: Any, reason: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Applied(function), nn.Linear(4, 3))
    line = rf"needs second derivatives, and an operation of the model has none: [^\n]*{reason}[^\n]*$"
    with pytest.raises(InputError, match=line):
        Grasp().scores(context(model, [(torch.randn(3, 4), LABELS[:3])]))


def test_other_errors_of_a_model_come_through() -> None:
    def fail(values: Tensor) -> Tensor:
        raise RuntimeError("\"addmm\" not implemented for 'Half'")

    for model in (nn.Linear(5, 3), nn.Sequential(nn.Linear(4, 3), Applied(fail))):
        with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|not implemented for 'Half'"):
            Grasp().scores(context(model, [(torch.randn(3, 4), LABELS[:3])]))


@pytest.mark.parametrize(
    ("batch", "line"),
    [
        (torch.randn(3, 4), "it looks at labels, and the data have none: expected batches"),
        ((torch.randn(3, 4), torch.rand(3)), "it looks at labels, and the data have none"),
        ((torch.randn(3, 4) * torch.inf, LABELS[:3]), "the loss of a batch of training data is nan"),
    ],
)
def test_bad_data_are_refused_in_one_line(batch: Any, line: str) -> None:
    with pytest.raises(InputError, match=f"criterion grasp: {line}"):
        Pruner(
            nn.Linear(4, 3), criterion="grasp", sparsity=0.5, data=[batch], loss=lambda model, batch: model.weight.sum()
        )


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf")])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="criterion grasp: temperature"):
        Pruner(nn.Linear(4, 3), criterion={"name": "grasp", "temperature": temperature}, sparsity=0.5, data=[])


def test_the_reading_names_sign_and_temperature() -> None:
    assert Grasp().reading == (
        "grasp: θ ⊙ Hg is kept where it is largest, of 100 training examples, logits divided by 200, BatchNorm with "
        "the statistics of each batch, no dropout"
    )
