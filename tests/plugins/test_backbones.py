"""Backbones: their shape, their size, what they refuse."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from prunekit import InputError
from prunekit.images import DataSummary, ImageShape
from prunekit.network import build_network
from prunekit.plugins.backbones._preactivation import Block
from prunekit.plugins.backbones.timm import Timm
from prunekit.plugins.backbones.wide_resnet import WideResNet


def summary(channels: int, height: int, width: int, classes: int = 10) -> DataSummary:
    names = tuple(f"class {i}" for i in range(classes))
    return DataSummary(ImageShape(channels, height, width), names, train=1, validation=0, test=1)


def test_wrn16_2_has_the_published_number_of_parameters() -> None:
    network = build_network(WideResNet(depth=16, width=2), summary(3, 32, 32), seed=0)
    assert sum(p.numel() for p in network.parameters()) == 691_674
    assert network.head.in_features == 128


def test_a_wide_resnet_has_as_many_layers_as_its_depth_says() -> None:
    for depth in (10, 16, 28):
        encoder = WideResNet(depth=depth, width=1).build(ImageShape(1, 8, 8))
        convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert len(convolutions) + 3 == depth  # the two 1×1 shortcuts and the classifier are counted too


def test_strides_halve_the_maps_twice() -> None:
    encoder = WideResNet(depth=10, width=1).build(ImageShape(1, 16, 12))
    shapes = []
    for module in encoder.modules():
        if isinstance(module, Block):
            module.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    encoder(torch.zeros(1, 1, 16, 12))
    assert shapes == [(16, 16, 12), (32, 8, 6), (64, 4, 3)]


def test_a_block_adds_its_input_or_a_projection_of_its_activated_input() -> None:
    maps = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    active = maps.relu()  # in eval mode a new BatchNorm divides by √(1 + eps) only
    same, wider = Block(4, 4, 1).eval(), Block(4, 6, 2).eval()
    for block in (same, wider):
        nn.init.zeros_(block.conv2.weight)
    assert torch.equal(same(maps), maps)
    assert wider.shortcut is not None
    torch.testing.assert_close(wider(maps), wider.shortcut(active), rtol=1e-4, atol=1e-5)


def test_convolutions_begin_with_the_variance_of_fan_out() -> None:
    encoder = WideResNet(depth=16, width=4).build(ImageShape(3, 32, 32))
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 20_000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)


@pytest.mark.parametrize(("depth", "near"), [(17, 16), (11, 10), (12, 10), (29, 28)])
def test_a_depth_that_makes_no_whole_blocks_is_refused(depth: int, near: int) -> None:
    with pytest.raises(ValidationError, match=f"6n \\+ 4, such as {near}"):
        WideResNet(depth=depth, width=2)


def test_images_that_are_too_small_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="'wrn16_2': cannot take 1×7×9 images: expected at least 8×8") as error:
        build_network(WideResNet(depth=16, width=2), summary(1, 7, 9), seed=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "shape", "features"),
    [("resnet18", (1, 8, 8), 512), ("vit_tiny_patch16_224", (1, 32, 48), 192)],
)
def test_timm_models_take_the_images_channels_and_size(
    architecture: str, shape: tuple[int, int, int], features: int
) -> None:
    network = build_network(Timm(architecture=architecture), summary(*shape, classes=7), seed=0)
    assert network.head.in_features == features
    assert network.eval()(torch.zeros(2, *shape)).shape == (2, 7)


def test_timms_weights_are_loaded_by_the_hook_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    asked: list[bool] = []
    create = timm.create_model

    def without_network(name: str, pretrained: bool, **options: Any) -> nn.Module:
        asked.append(pretrained)
        model = create(name, pretrained=False, **options)
        if pretrained:
            for parameter in model.parameters():
                nn.init.ones_(parameter)
        return model

    monkeypatch.setattr(timm, "create_model", without_network)
    backbone, shape = Timm(architecture="resnet10t", pretrained=True), summary(1, 16, 16)
    fresh = build_network(backbone, shape, seed=0, weights=False)
    assert asked == [False]
    assert not all(bool((parameter == 1).all()) for parameter in fresh.encoder.parameters())
    loaded = build_network(backbone, shape, seed=0)
    assert all(bool((parameter == 1).all()) for parameter in loaded.encoder.parameters())
    assert torch.equal(loaded.head.weight, fresh.head.weight)
    asked.clear()
    build_network(Timm(architecture="resnet10t"), shape, seed=0)
    assert asked == [False]


def test_pretrained_weights_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValidationError, match="no pretrained weights for 'botnet50ts_256'"):
        Timm(architecture="botnet50ts_256", pretrained=True)
    assert not Timm(architecture="botnet50ts_256").pretrained


def test_an_unknown_architecture_is_refused_with_near_names() -> None:
    with pytest.raises(ValidationError, match=r"timm has no architecture 'resnt18'.*'resnet18'"):
        Timm(architecture="resnt18")


def test_a_timm_model_that_cannot_take_the_images_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="'timm/vit_tiny_patch16_224': cannot take 1×8×8 images") as error:
        build_network(Timm(architecture="vit_tiny_patch16_224"), summary(1, 8, 8), seed=0)
    assert "\n" not in str(error.value)


def test_further_arguments_reach_timm() -> None:
    images = ImageShape(3, 32, 32)
    usual = Timm(architecture="resnet10t").build(images)
    changed = Timm(architecture="resnet10t", options={"zero_init_last": False}).build(images)
    last = [name for name, _ in usual.named_modules() if name.endswith("bn2")]
    assert last
    assert all(not usual.get_submodule(name).weight.any() for name in last)
    assert all(bool(changed.get_submodule(name).weight.all()) for name in last)
