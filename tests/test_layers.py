"""Layers: counted by hand, and against torch's own counter of floating-point operations."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from helpers_training import DATA, new_network
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit import ImageShape, InputError, Layer
from prunekit.images import DataSummary
from prunekit.layers import layers_of
from prunekit.network import ObservedNetwork, build_network
from prunekit.plugins.backbones.timm import Timm
from prunekit.plugins.backbones.wide_resnet import WideResNet
from prunekit.protocols import Backbone

SHAPE = ImageShape(3, 32, 32)


def of(*modules: nn.Module, shape: ImageShape = SHAPE) -> list[tuple[str, str, int, int]]:
    """Return kind, name, parameters and multiply–accumulates of the layers of a sequence."""
    layers = layers_of(nn.Sequential(*modules), shape)
    return [(each.kind, each.name, each.parameters, each.multiply_accumulates) for each in layers]


def test_layers_by_hand_in_the_order_of_the_network() -> None:
    # 3×32×32 → 8×16×16 → (pooled) 8 → 10; biases count nowhere
    found = of(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    assert found == [("conv", "0", 8 * 3 * 25, 16 * 16 * 8 * 3 * 25), ("linear", "3", 80, 80)]


@pytest.mark.parametrize(
    ("layer", "parameters", "macs"),
    [
        (nn.Conv2d(3, 6, 3, groups=3), 6 * 9, 30 * 30 * 6 * 9),
        (nn.Conv2d(3, 6, 3, dilation=2, stride=2), 6 * 27, 14 * 14 * 6 * 27),
        (nn.Conv2d(3, 6, (1, 3), padding="same"), 6 * 9, 32 * 32 * 6 * 9),
        (nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 4, stride=4)), 48, 256 * 48),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), 60, 32 * 32 * 60),  # each input pixel meets every weight
        (nn.ConvTranspose2d(3, 6, 2, groups=3, stride=2), 24, 32 * 32 * 24),
        (nn.Linear(32, 7), 224, 3 * 32 * 224),  # on 3 × 32 tokens
    ],
    ids=["grouped", "strided and dilated", "flat kernel", "1-D", "transposed", "transposed, grouped", "tokens"],
)
def test_multiply_accumulates_by_hand(layer: nn.Module, parameters: int, macs: int) -> None:
    assert [each[2:] for each in of(layer)] == [(parameters, macs)]


@pytest.mark.parametrize(
    "backbone",
    [WideResNet(depth=16, width=2), Timm(architecture="resnet18"), Timm(architecture="vit_tiny_patch16_224")],
    ids=["wrn16_2", "resnet18", "vit"],
)
def test_every_layer_has_half_the_operations_that_torch_counts(backbone: Backbone) -> None:
    network = build_network(backbone, DataSummary(SHAPE, tuple("abcdefg"), 1, 0, 1), seed=0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    operations = counter.get_flop_counts()
    layers = layers_of(network, SHAPE)
    assert len(layers) > 15
    assert layers[-1].name == "head"
    for layer in layers:
        counted = sum(operations[f"Network.{layer.name}"].values())
        assert 2 * layer.multiply_accumulates == counted > 0, layer.name
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sum(layer.parameters for layer in layers) == sum(weight.numel() for weight in weights)


def test_zeros_are_counted_from_the_weights_themselves() -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight[0] = 0
        layer.weight[1, 1] = -0.0
        layer.bias.zero_()
    (found,) = layers_of(nn.Sequential(nn.Flatten(), layer), ImageShape(1, 2, 2))
    assert found == Layer("1", "linear", parameters=12, zeros=5, multiply_accumulates=12)


def test_tied_weights_count_once_and_their_arithmetic_every_time() -> None:
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    second.weight = first.weight
    assert of(first, second, first) == [("conv", "0", 9, 3 * 32 * 32 * 9)]


def test_a_layer_that_is_not_called_does_no_arithmetic() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)

        def forward(self, images: Tensor) -> Tensor:
            used: Tensor = self.used(images)
            return used

    assert [each.multiply_accumulates for each in layers_of(Idle(), SHAPE)] == [32 * 32 * 6, 0]


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails: bool) -> None:
    def failing(*_: object) -> None:
        raise KeyError("no")

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    network[2].eval()
    if fails:
        network[2].register_forward_hook(failing)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(KeyError) if fails else nullcontext():
        layers_of(network, SHAPE)
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network[0]._forward_hooks
    assert network[0].weight.grad is None


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(InputError, match="no convolution and no linear layer"):
        layers_of(nn.Flatten(), SHAPE)


def test_an_observed_network_has_the_layers_of_its_images() -> None:
    observed = ObservedNetwork(new_network(), DATA)
    assert [(each.name, each.multiply_accumulates) for each in observed.layers()] == [
        ("encoder.conv", 6 * 6 * 6 * 9),
        ("encoder.deeper", 3 * 3 * 6 * 54),
        ("head", 18),
    ]
