"""Wanda on norms worked out in numpy, one loop per output and input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers_criteria import context
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit import Batch, InputError, Pruner
from prunekit.plugins.criteria.wanda import Wanda

LABELS = torch.zeros(64, dtype=torch.int64)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batches(inputs: Tensor, *sizes: int) -> list[tuple[Tensor, Tensor]]:
    return [(part, LABELS[: len(part)]) for part in inputs.split(sizes)]


def norms(features: Tensor, axis: int) -> NDArray[np.float64]:
    """Return the root of the sum of squares over all axes but one."""
    values = np.moveaxis(features.detach().double().numpy(), axis, 0)
    return np.asarray(np.sqrt((values.reshape(len(values), -1) ** 2).sum(axis=1)))


def magnitudes(module: Any) -> NDArray[np.float64]:
    return np.asarray(np.abs(module.weight.detach().double().numpy()))


@pytest.mark.parametrize("sizes", [(6,), (4, 2), (1, 5)])
def test_a_linear_layer_has_the_norm_of_each_feature_over_all_examples(sizes: tuple[int, ...]) -> None:
    model, inputs = nn.Linear(3, 2), drawn(6, 3)
    scores = Wanda().scores(context(model, batches(inputs, *sizes)))
    np.testing.assert_allclose(scores["weight"], magnitudes(model) * norms(inputs, 1)[None], rtol=1e-6)


def test_tokens_count_as_examples_do() -> None:
    model, inputs = nn.Linear(3, 2), drawn(5, 7, 3)
    scores = Wanda().scores(context(model, batches(inputs, 5)))
    np.testing.assert_allclose(scores["weight"], magnitudes(model) * norms(inputs, 2)[None], rtol=1e-6)


def test_only_the_first_examples_are_looked_at_128_by_default() -> None:
    inputs = drawn(200, 3)
    data = [(part, torch.zeros(len(part), dtype=torch.int64)) for part in inputs.split(50)]
    model = nn.Linear(3, 2)
    for criterion, count in ((Wanda(), 128), (Wanda(examples=3), 3), (Wanda(examples=None), 200)):
        scores = criterion.scores(context(model, data))
        np.testing.assert_allclose(scores["weight"], magnitudes(model) * norms(inputs[:count], 1)[None], rtol=1e-6)


def test_a_later_layer_sees_what_the_network_makes_of_the_inputs_in_eval_mode() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 2))
    model[1].running_mean.normal_()
    inputs = drawn(6, 3)
    scores = Wanda().scores(context(model.train(), batches(inputs, 6)))
    with torch.no_grad():
        hidden = model.eval()[:4](inputs)
    np.testing.assert_allclose(scores["4.weight"], magnitudes(model[4]) * norms(hidden, 1)[None], rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv1d(4, 6, 3, padding=1, groups=2), (9,)),
        (nn.Conv2d(4, 4, 3, stride=2, groups=4), (5, 7)),
        (nn.Conv2d(4, 6, 2, dilation=2, padding=1, padding_mode="circular"), (5, 5)),
        (nn.Conv3d(4, 2, 1), (2, 3, 4)),
    ],
)
def test_a_convolution_has_the_norm_of_each_input_channel_of_its_group(layer: Any, size: tuple[int, ...]) -> None:
    inputs = drawn(3, 4, *size)
    scores = Wanda().scores(context(layer, batches(inputs, 2, 1)))["weight"].numpy()
    channels, weight = norms(inputs, 1), magnitudes(layer)
    per_group, outputs = 4 // layer.groups, layer.out_channels // layer.groups
    for output in range(layer.out_channels):
        for own in range(per_group):
            expected = weight[output, own] * channels[output // outputs * per_group + own]
            np.testing.assert_allclose(scores[output, own], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "size"), [(nn.ConvTranspose1d(4, 6, 3, groups=2), (9,)), (nn.ConvTranspose2d(4, 3, 2, stride=2), (5, 7))]
)
def test_a_transposed_convolution_has_its_inputs_first(layer: Any, size: tuple[int, ...]) -> None:
    inputs = drawn(3, 4, *size)
    scores = Wanda().scores(context(layer, batches(inputs, 3)))["weight"].numpy()
    for channel, norm in enumerate(norms(inputs, 1)):
        np.testing.assert_allclose(scores[channel], magnitudes(layer)[channel] * norm, rtol=1e-6)


def test_a_convolution_of_one_unbatched_map_is_read_by_its_channels() -> None:
    class Each(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(4, 2, 3)

        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([self.layer(image) for image in images])

    model, inputs = Each(), drawn(3, 4, 5, 5)
    scores = Wanda().scores(context(model, batches(inputs, 3)))["layer.weight"].numpy()
    expected = magnitudes(model.layer) * norms(inputs, 1)[None, :, None, None]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


class Shared(nn.Module):
    """One weight, used by two layers, by the second one twice, its input named."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.second(input=self.first(inputs))
        return self.second(hidden)


def test_norms_of_a_weight_that_is_used_several_times_add_up() -> None:
    model, inputs = Shared(), drawn(5, 3)
    with torch.no_grad():
        hidden = model.first(inputs)
        last = model.second(hidden)
    scores = Wanda().scores(context(model, batches(inputs, 2, 3)))
    assert scores.keys() == {"first.weight"}
    expected = magnitudes(model.first) * norms(torch.cat([inputs, hidden, last]), 1)[None]
    np.testing.assert_allclose(scores["first.weight"], expected, rtol=1e-5)


def test_large_inputs_of_half_precision_do_not_overflow() -> None:
    model = nn.Linear(2, 2).half()
    inputs = torch.full((4, 2), 3e4, dtype=torch.float16)  # a square is beyond float16
    scores = Wanda().scores(context(model, [(inputs[:2], LABELS[:2]), (inputs[2:], LABELS[:2])]))["weight"]
    np.testing.assert_allclose(scores, magnitudes(model) * 3e4 * 2, rtol=1e-6)


def test_batches_of_a_stage_and_data_without_labels_are_read_as_tuples_are() -> None:
    model, inputs = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), drawn(5, 3, 2, 2)
    kinds = [(inputs, LABELS[:5]), Batch(inputs[None], LABELS[:5]), inputs, (inputs,)]
    first, *others = (Wanda().scores(context(model, [kind]))["1.weight"] for kind in kinds)
    assert all(torch.equal(first, other) for other in others)


def test_within_a_row_the_least_of_every_output_go() -> None:
    model, inputs = nn.Linear(4, 3), drawn(6, 4)
    model.weight.data = torch.tensor([[1.0, 2, 3, 4], [0.01, 0.02, 0.04, 0.03], [-9, 8, -7, 6]])
    inputs *= torch.tensor([100.0, 1, 1, 1])  # the first feature counts for more than its weights
    pruner = Pruner(model, criterion="wanda", within="row", sparsity=0.5, data=batches(inputs, 6))
    expected = magnitudes(model) * norms(inputs, 1)[None]
    assert pruner.masks["weight"].sum(dim=1).tolist() == [2, 2, 2]
    assert pruner.masks["weight"][:, 0].all()
    assert expected.shape == (3, 4)


@pytest.mark.parametrize("bias", [True, False])
def test_behind_the_heads_of_attention_the_features_are_what_the_heads_return(bias: bool) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True, bias=bias)
            self.head = nn.Linear(4, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0])

    model, tokens = Attending(), drawn(3, 5, 4)
    found = Wanda().scores(context(model, batches(tokens, 2, 1)))
    with torch.no_grad():
        attention = model.attention
        projected = tokens @ attention.in_proj_weight.T + (attention.in_proj_bias if bias else 0)
        query, key, value = (each.view(3, 5, 2, 2).transpose(1, 2) for each in projected.split(4, dim=2))
        heads = (query @ key.transpose(2, 3) / 2**0.5).softmax(3) @ value
        behind = heads.transpose(1, 2).reshape(15, 4)
        out = model.attention.out_proj
        expected = {"attention.out_proj.weight": behind, "head.weight": out(behind)}
    for name, features in expected.items():
        weight = model.get_parameter(name).detach()
        torch.testing.assert_close(found[name], weight.abs() * features.norm(dim=0), rtol=1e-4, atol=1e-6)


def test_a_weight_that_is_applied_without_its_layer_has_its_inputs_norm() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.called = nn.Linear(3, 4), nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = nn.functional.linear(inputs, self.first.weight)
            return self.called(nn.functional.linear(input=hidden, weight=self.second.weight, bias=self.second.bias))

    model, inputs = Functional(), drawn(6, 3)
    found = Wanda().scores(context(model, batches(inputs, 4, 2)))
    with torch.no_grad():
        hidden = inputs @ model.first.weight.T
        for layer, features in ((model.first, inputs), (model.second, hidden), (model.called, model.second(hidden))):
            name = next(name for name, parameter in model.named_parameters() if parameter is layer.weight)
            torch.testing.assert_close(found[name], layer.weight.abs() * features.norm(dim=0), rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------------------------ refusals


def test_the_layers_of_torchs_transformer_are_seen() -> None:
    model = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    pruner = Pruner(model, criterion="wanda", sparsity=0.5, data=batches(drawn(3, 5, 4), 3))
    assert pruner.masks.keys() == {"self_attn.out_proj.weight", "linear1.weight", "linear2.weight"}


def test_a_layer_that_is_never_called_is_named() -> None:
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "spare": nn.Linear(3, 2), "other": nn.Conv1d(1, 1, 1)})
    model.forward = lambda inputs: model["used"](inputs)  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"never saw an input of spare\.weight, other\.weight: "):
        Wanda().scores(context(model, batches(drawn(4, 3), 4)))


def test_a_weight_with_a_layer_that_is_never_called_is_named_though_another_one_is() -> None:
    class Half(Shared):
        def forward(self, inputs: Tensor) -> Tensor:
            return self.first(inputs)

    with pytest.raises(InputError, match=r"never saw an input of first\.weight: "):
        Wanda().scores(context(Half(), batches(drawn(4, 3), 4)))


def test_biases_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"has no score for bias, a bias: take it out of what is pruned"):
        Wanda().scores(context(nn.Linear(3, 2), batches(drawn(4, 3), 4), parameters=["weight", "bias"]))


def test_a_weight_shared_with_a_layer_of_another_kind_is_refused() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = nn.Embedding(7, 3), nn.Linear(3, 7)
            self.head.weight = self.words.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.words(tokens))

    with pytest.raises(
        InputError, match=r"cannot tell inputs of head\.weight, a weight shared with Embedding: exclude it"
    ):
        Wanda().scores(context(Language(), [torch.zeros(2, 3, dtype=torch.int64)]))


def test_inputs_that_are_not_numbers_are_refused_with_the_layers_name() -> None:
    data = [(drawn(4, 3) * torch.nan, LABELS[:4])]
    with pytest.raises(InputError, match=r"criterion wanda: it gave scores that are not numbers \(NaN\) for weight"):
        Pruner(nn.Linear(3, 2), criterion="wanda", sparsity=0.5, data=data)


def test_hooks_are_gone_where_the_model_raises() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match="shapes"):
        Wanda().scores(context(model, batches(drawn(4, 5), 4)))
    assert not model._forward_pre_hooks


def test_the_reading_says_whose_inputs_are_taken() -> None:
    assert "‖x‖ of inputs of the network as it is before the update" in Wanda().reading
