"""What every registered backbone must keep to."""

import pytest
import torch

from prunekit import Backbone
from prunekit.network import build_network
from prunekit.protocols import DataSummary, ImageShape
from prunekit.registry import registry

EXAMPLES = {
    "mlp_{first}_{second}": "mlp_20_10",
    "timm/{architecture}": "timm/resnet10t",
    "wrn{depth}_{width}": "wrn10_1",
}
"""A small instance of each pattern of names."""
NAMES = [EXAMPLES.get(name, name) for name in registry.names("backbone")]
SHAPES = [ImageShape(1, 8, 8), ImageShape(3, 32, 24)]


def make(name: str) -> Backbone:
    entry, options = registry.find("backbone", name)
    backbone = entry.plugin.model_validate(options)
    assert isinstance(backbone, Backbone)
    return backbone


def summary(shape: ImageShape) -> DataSummary:
    return DataSummary(shape, ("a", "b", "c"), train=1, validation=0, test=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_images_become_features_and_logits(name: str, shape: ImageShape) -> None:
    network = build_network(make(name), summary(shape), seed=0)
    images = torch.randn(4, shape.channels, shape.height, shape.width)
    for mode in (True, False):
        network.train(mode)
        assert network.features(images).shape == (4, network.head.in_features)
        assert network(images).shape == (4, 3)
    assert bool(network(images).isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_in_eval_mode_an_image_is_judged_on_its_own(name: str) -> None:
    network = build_network(make(name), summary(SHAPES[1]), seed=0).eval()
    images = torch.randn(3, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_weights(name: str) -> None:
    first, again, other = (build_network(make(name), summary(SHAPES[0]), seed=seed) for seed in (1, 1, 2))
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)
    assert len(pairs) > 0
    assert all(a.shape == c.shape for a, _, c in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = build_network(make(name), summary(SHAPES[1]), seed=0)
    network(torch.randn(4, 3, 32, 24)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
