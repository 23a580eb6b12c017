"""SynFlow on values worked out in numpy, and what it is for: no layer dies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from helpers_criteria import context
from torch import Tensor, nn

from prunekit import Criterion, ImageShape, InputError, Pruner
from prunekit.masks import find_targets, grow
from prunekit.plugins.backbones.wide_resnet import WideResNet
from prunekit.plugins.criteria import synflow
from prunekit.plugins.criteria.magnitude import Magnitude
from prunekit.plugins.criteria.synflow import Synflow


def mlp(bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5, bias), nn.ReLU(), nn.Linear(5, 3, bias), nn.ReLU(), nn.Linear(3, 2, bias))


def arrays(model: nn.Module, kind: str) -> list[Any]:
    return [np.abs(p.detach().double().numpy()) for n, p in model.named_parameters() if n.endswith(kind)]


def test_scores_are_the_paths_through_a_weight() -> None:
    model = mlp(bias=False)
    first, second, third = arrays(model, "weight")
    scores = Synflow(input_shape=[4]).scores(context(model))
    ones = np.ones
    np.testing.assert_allclose(scores["0.weight"], first * np.outer(ones(2) @ third @ second, ones(4)), rtol=1e-14)
    np.testing.assert_allclose(scores["2.weight"], second * np.outer(ones(2) @ third, first @ ones(4)), rtol=1e-14)
    np.testing.assert_allclose(scores["4.weight"], third * np.outer(ones(2), second @ first @ ones(4)), rtol=1e-14)
    assert scores["0.weight"].dtype == torch.float64


def test_the_absolute_value_is_taken_of_biases_too() -> None:
    model = mlp(bias=True)
    first, second, third = arrays(model, "weight")
    shift, middle, _ = arrays(model, "bias")
    scores = Synflow(input_shape=[4]).scores(context(model, parameters=["weight", "bias"]))
    hidden = first @ np.ones(4) + shift
    np.testing.assert_allclose(scores["2.weight"], second * np.outer(np.ones(2) @ third, hidden), rtol=1e-14)
    np.testing.assert_allclose(scores["2.bias"], middle * (np.ones(2) @ third), rtol=1e-14)
    inner = second @ hidden + middle
    np.testing.assert_allclose(scores["4.weight"], third * np.outer(np.ones(2), inner), rtol=1e-14)


def test_the_scores_of_every_layer_add_up_to_the_flow() -> None:
    """The flow is conserved: without biases every layer passes all of R on."""
    torch.manual_seed(1)
    model = nn.Sequential(
        *(nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2, bias=False), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.ConvTranspose2d(6, 4, 2, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3, bias=False)),
    )
    twin = copy.deepcopy(model).double().eval()
    for parameter in twin.parameters():
        parameter.data.abs_()
    flow = float(twin(torch.ones(1, 2, 8, 8, dtype=torch.float64)).sum().detach())
    scores = Synflow(input_shape=[2, 8, 8]).scores(context(model))
    assert [float(score.sum()) for score in scores.values()] == pytest.approx([flow] * 3)


def test_batchnorm_scales_by_its_absolute_weight_and_its_running_variance() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, eps=0.0))
    model[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    model[1].weight.data = torch.tensor([-2.0, 1.0])
    model[1].bias.data = torch.tensor([-5.0, 5.0])
    model[1].running_var = torch.tensor([4.0, 0.25])
    scores = Synflow(input_shape=[2]).scores(context(model.train()))
    np.testing.assert_allclose(scores["0.weight"], [[1, 2], [6, 8]], rtol=1e-14)


def test_buffers_of_the_state_dict_are_made_positive_and_others_are_not() -> None:
    class Shifted(nn.Module):
        def __init__(self, persistent: bool) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1, bias=False)
            self.layer.weight.data = torch.ones(1, 2)
            self.register_buffer("shift", torch.tensor(-10.0), persistent=persistent)

        def forward(self, inputs: Tensor) -> Tensor:
            return (self.layer(inputs) + self.shift).relu()

    for persistent, expected in ((True, 1.0), (False, 0.0)):
        scores = Synflow(input_shape=[2]).scores(context(Shifted(persistent)))
        assert scores["layer.weight"].tolist() == [[expected, expected]]


def test_scores_are_positive_where_more_weight_lowers_the_outputs() -> None:
    class Negative(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return -super().forward(inputs)

    model = Negative(3, 2, bias=False)
    scores = Synflow(input_shape=[3]).scores(context(model))
    np.testing.assert_allclose(scores["weight"], np.abs(model.weight.detach().numpy()), rtol=1e-7)


def test_a_weight_that_is_used_twice_has_the_paths_of_both() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    weight = np.abs(model[0].weight.detach().double().numpy())
    expected = weight * (np.outer(np.ones(3) @ weight, np.ones(3)) + np.outer(np.ones(3), weight @ np.ones(3)))
    scores = Synflow(input_shape=[3]).scores(context(model))
    assert scores.keys() == {"0.weight"}
    np.testing.assert_allclose(scores["0.weight"], expected, rtol=1e-14)


def test_pruned_weights_score_nought_and_carry_no_flow() -> None:
    model = mlp(bias=False)
    model[2].weight.data[1] = 0.0
    scores = Synflow(input_shape=[4]).scores(context(model))
    assert not scores["2.weight"][1].any()
    assert not scores["0.weight"][:, :].isnan().any()
    assert not scores["4.weight"][:, 1].any()


def test_the_shape_of_an_input_comes_from_the_data() -> None:
    model = mlp(bias=True)
    data = [(torch.randn(7, 4), torch.zeros(7, dtype=torch.int64))]
    first, second = (Synflow(input_shape=[4]).scores(context(model)), Synflow().scores(context(model, data)))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    bare = Pruner(mlp(bias=True), criterion={"name": "synflow", "input_shape": [4]}, sparsity=0.5)
    assert bare.sparsity == pytest.approx(0.5, abs=0.02)


# ------------------------------------------------------------------------------------------------ precision


def deep(scale: float, layers: int) -> nn.Sequential:
    model = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(layers)))
    for parameter in model.parameters():
        parameter.data.fill_(scale)
    return model


def test_float64_holds_flows_that_float32_does_not() -> None:
    scores = Synflow(input_shape=[3]).scores(context(deep(1e10, 20)))
    # 3¹⁹ paths of 20 weights of 1e10 through each end: 3²¹ · 1e200 in all, a ninth of it through each of nine weights
    np.testing.assert_allclose(scores["7.weight"], np.full((3, 3), 3.0**19 * 1e200), rtol=1e-6)


@pytest.mark.parametrize("layers", [40, 400])
def test_overflow_is_one_clear_line(layers: int) -> None:
    model = deep(1e10, layers)
    with pytest.raises(InputError, match="criterion synflow: the sum of the outputs is inf, even in float64: the weig"):
        Pruner(model, criterion={"name": "synflow", "input_shape": [3]}, sparsity=0.5)
    assert all((parameter == 1e10).all() for parameter in model.parameters())


def test_a_score_that_overflows_names_its_layer() -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1, bias=False)

        def forward(self, inputs: Tensor) -> Tensor:
            outputs = self.layer(inputs)
            return (outputs - outputs.detach()).sqrt()  # 0, of infinite slope

    with pytest.raises(InputError, match=r"scores of layer\.weight are not finite, even in float64"):
        Synflow(input_shape=[1]).scores(context(Steep()))


def test_on_a_device_without_float64_the_order_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = deep(1e10, 20)
    torch.manual_seed(2)
    for parameter in model.parameters():
        parameter.data.mul_(torch.rand(3, 3) + 0.5)
    wide = Synflow(input_shape=[3]).scores(context(model))
    monkeypatch.setattr(synflow, "has_float64", lambda device: False)
    narrow = Synflow(input_shape=[3]).scores(context(model))
    largest = max(float(score.max()) for score in wide.values())
    for key, score in wide.items():
        assert narrow[key].dtype == torch.float32
        torch.testing.assert_close(narrow[key], (score / largest).float(), rtol=1e-6, atol=0)


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("criterion", "data", "line"),
    [
        (Synflow(), None, r"needs the shape of an input: pass data=, or set input_shape, such as \[3, 32, 32\]"),
        (Synflow(), [], "there are no examples in them"),
        (Synflow(), [torch.zeros(2, 4, dtype=torch.int64)], r"ones, and the inputs are torch\.int64"),
        (Synflow(input_shape=[5]), None, r"cannot be called with ones \[1, 5\] in float64: .*mat1 and mat2 shapes"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(criterion: Synflow, data: Any, line: str) -> None:
    with pytest.raises(InputError, match=line):
        criterion.scores(context(mlp(bias=True), data))


@pytest.mark.parametrize("shape", [[0], [3, -1], "three"])
def test_an_impossible_shape_is_refused(shape: Any) -> None:
    with pytest.raises(InputError, match=r"criterion synflow: input_shape"):
        Pruner(mlp(bias=True), criterion={"name": "synflow", "input_shape": shape}, sparsity=0.5)


def test_a_model_that_works_in_float32_alone_is_refused_in_one_line() -> None:
    class Narrow(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs.float())

    with pytest.raises(InputError, match=r"cannot be called with ones \[1, 4\] in float64: "):
        Synflow(input_shape=[4]).scores(context(Narrow(4, 2)))


def test_a_model_that_returns_no_tensor_is_refused() -> None:
    class Named(nn.Linear):
        def forward(self, inputs: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            return {"logits": super().forward(inputs)}

    with pytest.raises(InputError, match="needs a model that returns a tensor, not a dict"):
        Synflow(input_shape=[4]).scores(context(Named(4, 2)))


# ------------------------------------------------------------------------------------------------ what it is for


def vgg() -> nn.Module:
    """Convolutions of growing width, as in VGG: most weights are in the widest ones, and small."""
    torch.manual_seed(3)
    layers: list[nn.Module] = []
    for before, after in ((1, 8), (8, 16), (16, 64), (64, 64), (64, 64)):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))


def resnet() -> nn.Module:
    torch.manual_seed(3)
    encoder = WideResNet(depth=10, width=1).build(ImageShape(1, 8, 8))
    return nn.Sequential(encoder, nn.Linear(64, 4))


def dead(model: nn.Module, criterion: Criterion, sparsities: Sequence[float]) -> list[str]:
    """Prune ``model``, scores anew for every sparsity; return the layers of which nothing is left."""
    generator = torch.Generator().manual_seed(0)
    data = [(torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 4)]
    targets = find_targets(model)
    for sparsity in sparsities:
        pruning = context(model, data)
        pruning.targets = targets
        grow(targets, criterion.scores(pruning), sparsity, "network")
    total = sum(target.mask.numel() for target in targets)
    assert sum(int((~target.mask).sum()) for target in targets) == round(total * sparsities[-1])
    return [target.name for target in targets if not target.mask.any()]


EXPONENTIAL = [1 - 0.01 ** (round_ / 100) for round_ in range(1, 101)]


@pytest.mark.parametrize("build", [vgg, resnet])
def test_at_99_percent_in_a_hundred_rounds_every_layer_is_alive(build: Callable[[], nn.Module]) -> None:
    model = build()
    assert dead(model, Synflow(), EXPONENTIAL) == []
    model.eval()
    flow = model(torch.randn(4, 1, 8, 8))
    assert flow.std(dim=0).max() > 0  # signals reach the outputs


def test_magnitude_in_one_shot_loses_a_layer_there() -> None:
    assert dead(vgg(), Magnitude(), [0.99])
