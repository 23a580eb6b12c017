"""Backbones of the study of loss models: their size, their first weights, the images that they take."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from prunekit import Backbone, DataSummary, ImageShape, InputError, Pruner
from prunekit.masks import find_targets
from prunekit.network import Network, build_network
from prunekit.plugins.backbones._preactivation import Block
from prunekit.plugins.backbones.mlp import MLP
from prunekit.plugins.backbones.preact_resnet import PreActResNet18
from prunekit.plugins.backbones.timm import Timm
from prunekit.plugins.backbones.vgg import VGG11
from prunekit.registry import registry

SHAPES = [(3, 32, 32), (1, 28, 28), (1, 8, 8)]
KAIMING: list[Backbone] = [MLP(first=300, second=100), VGG11(), PreActResNet18()]


def network(backbone: Backbone, shape: tuple[int, int, int] = (3, 32, 32), seed: int = 0) -> Network:
    names = tuple(f"class {i}" for i in range(10))
    return build_network(backbone, DataSummary(ImageShape(*shape), names, train=1, validation=0, test=1), seed)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model: nn.Module) -> int:
    return sum(target.parameter.numel() for target in find_targets(model))


@pytest.mark.parametrize("backbone", KAIMING, ids=lambda backbone: type(backbone).__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_every_embedded_data_set_become_logits(backbone: Backbone, shape: tuple[int, int, int]) -> None:
    model = network(backbone, shape).eval()
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert model.features(images).shape == (2, {"MLP": 100}.get(type(backbone).__name__, 512))
        logits = model(images)
    assert logits.shape == (2, 10)
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("backbone", KAIMING, ids=lambda backbone: type(backbone).__name__)
def test_weights_begin_with_the_variance_of_kaiming_and_biases_at_zero(backbone: Backbone) -> None:
    model = network(backbone)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert model.head in layers
    for layer in layers:
        fan_in = layer.weight[0].numel()
        # the standard error of the standard deviation of n draws is 1 / √(2n) of it
        tolerance = 4 / (2 * layer.weight.numel()) ** 0.5
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=tolerance)
        assert layer.bias is None or not layer.bias.any()


# ----------------------------------------------------------------------------------------------------------------- mlp


def test_the_mlp_of_the_papers_has_266_610_parameters() -> None:
    model = network(MLP(first=300, second=100), (1, 28, 28))
    assert weights(model) == 784 * 300 + 300 * 100 + 100 * 10 == 266_200
    assert parameters(model) == 266_200 + 300 + 100 + 10 == 266_610


def test_the_name_of_an_mlp_says_its_layers() -> None:
    entry, options = registry.find("backbone", "mlp_300_100")
    assert (entry.plugin, options) == (MLP, {"first": 300, "second": 100})
    with pytest.raises(ValidationError, match="second"):
        MLP(first=3, second=0)


def test_an_mlp_is_tanh_of_tanh_of_the_pixels() -> None:
    model = network(MLP(first=4, second=3), (2, 3, 5))
    images = torch.randn(6, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    first, second = (layer for layer in model.encoder.modules() if isinstance(layer, nn.Linear))
    nn.init.ones_(first.bias)
    hidden = torch.tanh(images.reshape(6, 30) @ first.weight.T + 1)
    torch.testing.assert_close(model.features(images), torch.tanh(hidden @ second.weight.T))


# ---------------------------------------------------------------------------------------------------------------- vgg11

VGG_CONVOLUTIONS = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]


def test_vgg11_is_configuration_a_and_a_classifier_512_512_10() -> None:
    model = network(VGG11())
    found = [(m.in_channels, m.out_channels) for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert found == VGG_CONVOLUTIONS
    linear = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    assert linear == [(512, 512), (512, 512), (512, 10)]
    expected = sum(9 * before * after for before, after in VGG_CONVOLUTIONS) + 2 * 512 * 512 + 512 * 10
    assert weights(model) == expected == 9_747_136
    assert parameters(model) == expected + sum(after for _, after in VGG_CONVOLUTIONS) + 2 * 512 + 10 == 9_750_922
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout) for m in model.modules())


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((3, 32, 32), [16, 8, 4, 2, 1]),
        ((3, 64, 64), [32, 16, 8, 4, 2]),
        ((1, 28, 28), [14, 7, 3, 1]),
        ((1, 8, 8), [4, 2, 1]),
        ((1, 1, 1), []),
    ],
)
def test_vgg11_pools_while_there_is_more_than_a_pixel(shape: tuple[int, int, int], sizes: list[int]) -> None:
    model, found = network(VGG11(), shape).eval(), []
    for module in model.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda module, inputs, output: found.append(output.shape[-1]))
    model(torch.zeros(1, *shape))
    assert found == sizes


def test_vgg11_averages_what_larger_images_leave() -> None:
    model, seen = network(VGG11(), (1, 64, 40)).eval(), {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = inputs[0], output

    pooled = [m for m in model.modules() if isinstance(m, nn.MaxPool2d)][-1]
    hidden = next(m for m in model.modules() if isinstance(m, nn.Linear))
    for module in (pooled, hidden):
        module.register_forward_hook(keep)
    model(torch.randn(2, 1, 64, 40, generator=torch.Generator().manual_seed(0)))
    maps = seen[pooled][1]
    assert maps.shape == (2, 512, 2, 1)
    torch.testing.assert_close(seen[hidden][0], maps.mean(dim=(2, 3)))


# ----------------------------------------------------------------------------------------------------- preact_resnet18


def test_preact_resnet18_has_the_parameters_that_its_layers_add_up_to() -> None:
    model = network(PreActResNet18())
    # the stem; two blocks of two convolutions in each group; a 1×1 shortcut where the width changes
    convolutions = 9 * 3 * 64 + 4 * 9 * 64 * 64
    norms = 4 * 64  # widths of the BatchNorms in front of the convolutions
    for before, after in ((64, 128), (128, 256), (256, 512)):
        convolutions += 9 * before * after + 3 * 9 * after * after + before * after
        norms += before + 3 * after
    assert weights(model) == convolutions + 512 * 10 == 11_164_352
    assert parameters(model) == convolutions + 2 * (norms + 512) + (512 * 10 + 10)
    three = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(three) + 1 == 18  # the head is the last layer; shortcuts are not counted


def test_groups_of_preact_resnet18_halve_the_maps_three_times() -> None:
    model, shapes = network(PreActResNet18()).eval(), []
    for module in model.modules():
        if isinstance(module, Block):
            module.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.zeros(1, 3, 32, 32))
    groups = [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert shapes == [shape for shape in groups for _ in range(2)]


def test_preact_resnet18_ends_in_the_average_of_activated_maps() -> None:
    model, seen = network(PreActResNet18()).eval(), []
    norm = model.encoder.norm
    assert isinstance(norm, nn.BatchNorm2d)
    norm.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    features = model.features(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(features, seen[0].clamp(min=0).mean(dim=(2, 3)))


# ------------------------------------------------------------------------------------------------------- timm/resnet50


@pytest.mark.parametrize("size", [32, 224])
def test_resnet50_of_timm_has_54_layers_and_is_pruned_to_70_percent(size: int) -> None:
    model = network(Timm(architecture="resnet50"), (3, size, size))
    # stem; three convolutions in each of 3 + 4 + 6 + 3 blocks; four shortcuts; head
    assert len(find_targets(model)) == 1 + 3 * (3 + 4 + 6 + 3) + 4 + 1 == 54
    total = 49 * 3 * 64 + 2048 * 10
    before = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        total += before * 4 * width  # the shortcut of the group's first block
        for _ in range(blocks):
            total += before * width + 9 * width * width + width * 4 * width
            before = 4 * width
    assert weights(model) == total
    if size == 32:  # the weights of the other are the same
        with pytest.warns(UserWarning, match="nothing is left of head.weight"):  # drawn smaller than convolutions are
            masks = Pruner(model, "one_shot", sparsity=0.7).finalize()
        assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.7 * total)
        pruned = sum(int((target.parameter == 0).sum()) for target in find_targets(model))
        assert pruned == round(0.7 * total)


# ------------------------------------------------------------------------------------------------------------- the head


class Headed(Backbone):
    """Has a head of its own."""

    name = "headed"  # type: ignore[misc]
    made: str = "right"

    def build(self, images: ImageShape) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(images.channels * images.height * images.width, 4))

    def head(self, features: int, classes: int) -> nn.Linear:
        if self.made == "broken":
            raise RuntimeError("no memory\nleft")
        if self.made == "mlp":
            return nn.Sequential(nn.Linear(features, classes))  # type: ignore[return-value]
        head = nn.Linear(*((classes, features) if self.made == "turned" else (features, classes)))
        nn.init.ones_(head.weight)
        return head


def test_a_backbone_makes_its_head() -> None:
    assert torch.equal(network(Headed(), (1, 2, 2)).head.weight, torch.ones(10, 4))


def test_a_head_that_no_backbone_makes_is_torchs_own() -> None:
    class Plain(Headed):
        """Without a head of its own."""

        head = Backbone.head

    bound = 1 / 4**0.5  # torch draws uniformly within 1 / √fan-in
    head = network(Plain(), (1, 2, 2)).head
    assert 0.9 * bound < head.weight.abs().max().item() <= bound
    assert head.bias.any()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("mlp", r"backbone 'headed': expected a head torch.nn.Linear\(4, 10\), got Sequential"),
        ("turned", r"expected a head torch.nn.Linear\(4, 10\), got one of 10 features and 4 classes"),
        ("broken", r"backbone 'headed': cannot make its head: no memory$"),
    ],
)
def test_a_head_that_is_no_linear_layer_of_that_shape_is_refused_in_one_line(made: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        network(Headed(made=made), (1, 2, 2))
    assert "\n" not in str(error.value)


def test_half_the_width_has_half_the_channels() -> None:
    vgg, resnet = network(VGG11(width=0.5)), network(PreActResNet18(width=0.5))
    convolutions = [m.out_channels for m in vgg.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions == [32, 64, 128, 128, 256, 256, 256, 256]
    assert [(m.in_features, m.out_features) for m in vgg.modules() if isinstance(m, nn.Linear)] == [
        (256, 256),
        (256, 256),
        (256, 10),
    ]
    assert resnet.head.in_features == 256
    assert network(VGG11(width=0.001)).head.in_features == 1
    with pytest.raises(ValidationError):
        VGG11(width=0.0)
