"""What a backbone keeps to."""

from __future__ import annotations

import torch

from prunekit.images import DataSummary, ImageShape
from prunekit.network import Network, build_network
from prunekit.protocols import Backbone
from prunekit.testing.contract import Suite

suite = Suite("backbone")
SHAPES = (ImageShape(1, 8, 8), ImageShape(3, 32, 24))
CLASSES = ("a", "b", "c")


def _network(backbone: Backbone, shape: ImageShape, seed: int = 0) -> Network:
    summary = DataSummary(shape, CLASSES, train=1, validation=0, test=1)
    return build_network(backbone, summary, seed, weights=False)


def _images(shape: ImageShape, count: int) -> torch.Tensor:
    size = (count, shape.channels, shape.height, shape.width)
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


@suite.states
def images_become_features_and_logits(backbone: Backbone) -> None:
    """Small grey ones and larger ones in colour, in train and in eval mode."""
    for shape in SHAPES:
        network, images = _network(backbone, shape), _images(shape, 4)
        for mode in (True, False):
            network.train(mode)
            with torch.no_grad():
                features, logits = network.features(images), network(images)
            assert features.shape == (4, network.head.in_features), f"{shape}: features {list(features.shape)}"
            assert logits.shape == (4, len(CLASSES)), f"{shape}: logits {list(logits.shape)}"
            assert logits.isfinite().all(), f"{shape}: some logits are not finite"


@suite.states
def in_eval_mode_an_image_is_judged_on_its_own(backbone: Backbone) -> None:
    """Whatever else is in the batch."""
    network, images = _network(backbone, SHAPES[1]).eval(), _images(SHAPES[1], 3)
    with torch.no_grad():
        together, alone = network(images)[:1], network(images[:1])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-5), "an image's logits depend on the rest of the batch"


@suite.states
def the_seed_decides_the_weights(backbone: Backbone) -> None:
    """The same seed the same weights, another seed others."""
    first, again, other = (list(_network(backbone, SHAPES[0], seed).parameters()) for seed in (1, 1, 2))
    assert first, "it has no parameters"
    assert all(map(torch.equal, first, again)), "the same seed gives other weights (use torch's global generator)"
    assert not all(map(torch.equal, first, other)), "another seed gives the same weights"


@suite.states
def every_parameter_gets_a_gradient(backbone: Backbone) -> None:
    """Those that are not used would never be trained."""
    network = _network(backbone, SHAPES[1])
    network(_images(SHAPES[1], 4)).square().sum().backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not unused, f"no gradient reaches {', '.join(unused[:3])}"
