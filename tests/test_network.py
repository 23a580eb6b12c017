"""Networks: built from a seed, taken apart, observed."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunekit import Backbone, InputError, PrunekitError
from prunekit.data import DeviceData
from prunekit.images import DataSummary, ImageData, ImageShape, Split
from prunekit.network import Network, ObservedNetwork, base_columns, build_network

SUMMARY = DataSummary(ImageShape(1, 4, 4), ("a", "b", "c"), train=1, validation=0, test=1)


class Flat(Backbone):
    """A linear layer with BatchNorm and dropout."""

    name = "flat"  # type: ignore[misc]
    width: int = 5

    def build(self, images: ImageShape) -> nn.Module:
        pixels = images.channels * images.height * images.width
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, self.width), nn.BatchNorm1d(self.width), nn.Dropout(0.5))


class Maps(Backbone):
    """Forgets to pool."""

    name = "maps"  # type: ignore[misc]

    def build(self, images: ImageShape) -> nn.Module:
        return nn.Conv2d(images.channels, 4, 3)


class Broken(Backbone):
    """Fails, at length."""

    name = "broken"  # type: ignore[misc]

    def build(self, images: ImageShape) -> nn.Module:
        raise KeyError("no such layer\nand a second line")


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_network(Flat(), SUMMARY, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first, build_network(Flat(), SUMMARY, seed=3))
    other = build_network(Flat(), SUMMARY, seed=4)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert not torch.equal(first.encoder[1].weight, other.encoder[1].weight)  # type: ignore[index]


def test_parts_and_their_shapes() -> None:
    network = build_network(Flat(width=6), SUMMARY, seed=0)
    images = torch.randn(3, 1, 4, 4)
    assert list(network.parts) == ["encoder", "head"]
    assert network.training
    assert (network.head.in_features, network.head.out_features) == (6, 3)
    assert sum(p.numel() for p in network.parameters()) == (16 * 6 + 6) + 12 + (6 * 3 + 3)
    network.eval()
    assert torch.equal(network(images), network.head(network.features(images)))
    assert torch.equal(network.logits(images), network(images))


def test_finding_the_dimension_leaves_the_statistics_of_batch_norm_alone() -> None:
    norm = build_network(Flat(), SUMMARY, seed=0).encoder[2]  # type: ignore[index]
    assert int(norm.num_batches_tracked) == 0
    assert torch.equal(norm.running_mean, torch.zeros(5))


def test_a_projector_comes_and_goes() -> None:
    network = build_network(Flat(), SUMMARY, seed=0)
    images = torch.randn(3, 1, 4, 4)
    keys = list(network.state_dict())
    network.add_projector(7)
    assert list(network.parts) == ["encoder", "head", "projector"]
    network.eval()
    projections = network.projections(images)
    assert projections.shape == (3, 7)
    torch.testing.assert_close(projections.norm(dim=1), torch.ones(3))
    assert network.projector is not None
    first, last = network.projector[0], network.projector[2]
    expected = F.normalize(last(first(network.features(images)).relu()), dim=1)
    torch.testing.assert_close(projections, expected)
    network.drop_projector()
    assert list(network.state_dict()) == keys
    with pytest.raises(RuntimeError, match="no projector"):
        network.projections(images)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (Maps(), "backbone 'maps': expected features \\[B, D\\] of 2 images, got \\[2, 4, 2, 2\\]"),
        (Broken(), "backbone 'broken': cannot take 1×4×4 images: .*no such layer"),
    ],
)
def test_a_backbone_that_is_no_encoder_is_refused_in_one_line(backbone: Backbone, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        build_network(backbone, SUMMARY, seed=0)
    assert "\n" not in str(error.value)


class Elsewhere(Flat):
    """Has weights that are all one."""

    name = "elsewhere"  # type: ignore[misc]

    def load_weights(self, encoder: nn.Module, images: ImageShape) -> None:
        torch.rand(3)  # must not matter to the head
        assert (images, encoder.training) == (SUMMARY.shape, True)
        for parameter in encoder.parameters():
            nn.init.ones_(parameter)


class Unreachable(Flat):
    """Cannot download its weights."""

    name = "unreachable"  # type: ignore[misc]

    def load_weights(self, encoder: nn.Module, images: ImageShape) -> None:
        raise ConnectionError("no route to weights.example\nand a second line")


def test_weights_made_elsewhere_are_loaded_where_they_are_wanted() -> None:
    plain = build_network(Flat(), SUMMARY, seed=0)
    loaded = build_network(Elsewhere(), SUMMARY, seed=0)
    assert all(bool((parameter == 1).all()) for parameter in loaded.encoder.parameters())
    assert same(loaded.head, plain.head)
    assert same(build_network(Elsewhere(), SUMMARY, seed=0, weights=False), plain)


def test_weights_that_cannot_be_loaded_are_failed_work_and_not_the_images_fault() -> None:
    with pytest.raises(PrunekitError) as error:
        build_network(Unreachable(), SUMMARY, seed=0)
    expected = "backbone 'unreachable': cannot load its weights: ConnectionError: no route to weights.example"
    assert str(error.value) == expected
    assert not isinstance(error.value, InputError)
    build_network(Unreachable(), SUMMARY, seed=0, weights=False)


# -------------------------------------------------------------------------------------------------------- observation


def digits_like(examples: int) -> DeviceData:
    images = np.random.default_rng(0).integers(0, 256, (examples, 1, 4, 4), dtype=np.uint8)
    split = Split(images, np.arange(examples) % 3, tuple(map(str, range(examples))))
    return DeviceData(ImageData(("a", "b", "c"), split, split, split))


def test_an_observed_network_says_what_it_would_in_eval_mode() -> None:
    network, data = build_network(Flat(), SUMMARY, seed=0), digits_like(600)
    observed = ObservedNetwork(network, data, "test")
    images = torch.cat([batch.images[0] for batch in data.batches("test")])
    network.eval()
    with torch.no_grad():
        np.testing.assert_allclose(observed.features(), network.features(images), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(observed.logits(), network(images), rtol=1e-5, atol=1e-6)
    assert observed.features().dtype == observed.logits().dtype == np.float32


def test_an_observed_network_computes_once_and_records_no_gradient() -> None:
    network, data = build_network(Flat(), SUMMARY, seed=0), digits_like(600)
    calls = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((module.training, output.requires_grad))

    network.encoder.register_forward_hook(count)
    observed = ObservedNetwork(network, data, "test")
    for _ in range(2):
        observed.logits()
        observed.features()
    assert calls == [(False, False)] * 2  # batches of 512 and 88


def test_base_columns_by_hand() -> None:
    columns = base_columns(np.array([[0.0, math.log(3)], [2.0, 2.0]], dtype=np.float32), np.array([0, 1]))
    assert columns["prediction"].tolist() == [1, 0]
    np.testing.assert_allclose(columns["confidence"], [0.75, 0.5], rtol=1e-6)
    np.testing.assert_allclose(columns["loss"], [math.log(4), math.log(2)], rtol=1e-6)
    assert [columns[name].dtype for name in ("prediction", "confidence", "loss")] == [np.int64, np.float32, np.float32]


def test_base_columns_are_torchs_and_survive_huge_logits() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 4, 50)[:, None]
    labels = torch.arange(50) % 7
    columns = base_columns(logits.numpy(), labels.numpy())
    probabilities = logits.double().softmax(dim=1)
    np.testing.assert_array_equal(columns["prediction"], logits.argmax(dim=1))
    np.testing.assert_allclose(columns["confidence"], probabilities.amax(dim=1), rtol=1e-6)
    loss = F.cross_entropy(logits.double(), labels, reduction="none")
    np.testing.assert_allclose(columns["loss"], loss, rtol=1e-5, atol=1e-12)


def test_base_columns_of_one_class_and_of_nobody() -> None:
    columns = base_columns(np.array([[5.0]], dtype=np.float32), np.array([0]))
    assert [columns[name].tolist() for name in ("prediction", "confidence", "loss")] == [[0], [1.0], [0.0]]
    empty = base_columns(np.empty((0, 3), dtype=np.float32), np.empty(0, dtype=np.int64))
    assert [len(column) for column in empty.values()] == [0, 0, 0]


def test_a_network_is_an_ordinary_module() -> None:
    network = Network(nn.Flatten(), nn.Linear(4, 2))
    other = Network(nn.Flatten(), nn.Linear(4, 2))
    other.load_state_dict(network.state_dict())
    assert same(network, other)
