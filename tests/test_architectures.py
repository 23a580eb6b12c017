"""Any timm or torchvision classifier prunes: with any criterion, schedule and within, by the exact count.

Networks are small variants with random weights. Which of them meets which criterion, schedule and within is drawn, each
as often as any other.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import timm
import torch
from timm.models.mlp_mixer import MlpMixer, ResBlock
from timm.models.vgg import VGG
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from prunekit import ImageData, ImageShape, Pruner, Split, Target, load_sparse, save_sparse
from prunekit.data import DeviceData
from prunekit.network import Network
from prunekit.probes import find_points, representations
from prunekit.protocols import Backbone, Within
from prunekit.registry import registry

CLASSES = 5
SPARSITY = 0.8
pytestmark = pytest.mark.filterwarnings("ignore:nothing is left of")


@dataclass(frozen=True)
class Architecture:
    """How to build one, and what is known of it."""

    build: Callable[[], nn.Module]
    blocks: int
    """Residual, inception and other blocks, counted in its definition; its layers where it has none."""
    size: int = 32
    unused: tuple[str, ...] = ()
    """Globs on weights that only training uses."""


def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=CLASSES, **options)


def of_torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(models, name)(num_classes=CLASSES, **options)


def of_prunekit(name: str, width: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        entry, options = registry.find("backbone", name)
        backbone = entry.plugin.model_validate(options)
        assert isinstance(backbone, Backbone)
        return nn.Sequential(backbone.build(ImageShape(3, 32, 32)), nn.Linear(width, CLASSES))

    return build


def mixer(**options: Any) -> Callable[[], nn.Module]:
    return lambda: MlpMixer(num_classes=CLASSES, img_size=32, patch_size=8, num_blocks=3, embed_dim=48, **options)


VIT = {"img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 48, "num_heads": 3}
SWIN = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (1, 2)}
TORCH_VIT = {"image_size": 32, "patch_size": 8, "num_layers": 3, "num_heads": 3, "hidden_dim": 48, "mlp_dim": 96}
TORCH_SWIN = {"patch_size": [4, 4], "window_size": [4, 4], "embed_dim": 24, "depths": [2, 2], "num_heads": [1, 2]}
DENSE = {"growth_rate": 8, "block_config": (2, 2, 2, 2)}
SMALL = {
    "WRN": Architecture(of_prunekit("wrn10_1", 64), 3),
    "ResNet": Architecture(of_timm("resnet10t", channels=(16, 32, 48, 64)), 4),
    "WRN of timm": Architecture(of_timm("wide_resnet50_2", layers=(1, 1, 1, 1), channels=(16, 16, 16, 16)), 4),
    "VGG": Architecture(lambda: VGG([8, "M", 16, "M", 32, "M"], num_classes=CLASSES, mlp_ratio=1 / 128), 6),
    "DenseNet": Architecture(of_timm("densenet121", **DENSE), 8),
    "MobileNetV2": Architecture(of_timm("mobilenetv2_035"), 17),
    "MobileNetV3": Architecture(of_timm("mobilenetv3_small_050"), 11),
    "EfficientNet": Architecture(of_timm("test_efficientnet"), 4),
    "RegNet": Architecture(of_torchvision("regnet_y_400mf"), 16),
    "ConvNeXt": Architecture(of_timm("convnext_atto", depths=(1, 1, 1, 1), dims=(16, 24, 32, 40)), 4),
    "ViT": Architecture(of_timm("vit_tiny_patch16_224", **VIT), 3),
    "DeiT": Architecture(of_timm("deit_tiny_distilled_patch16_224", **VIT), 3),
    "Swin": Architecture(of_timm("swin_tiny_patch4_window7_224", **SWIN), 4, size=64),
    "MLP-Mixer": Architecture(mixer(), 3),
    "ResMLP": Architecture(mixer(block_layer=ResBlock, mlp_ratio=4), 3),
    "MobileViT": Architecture(of_timm("mobilevit_xxs"), 10, size=64),
    "GhostNet": Architecture(of_timm("ghostnet_050"), 16),
    "ViT of torchvision": Architecture(lambda: models.VisionTransformer(num_classes=CLASSES, **TORCH_VIT), 3),
    "Swin of torchvision": Architecture(lambda: models.SwinTransformer(num_classes=CLASSES, **TORCH_SWIN), 4, size=64),
    "DenseNet of torchvision": Architecture(lambda: models.DenseNet(num_classes=CLASSES, **DENSE), 8),
    "ShuffleNet": Architecture(of_torchvision("shufflenet_v2_x0_5"), 16),
    "SqueezeNet": Architecture(of_torchvision("squeezenet1_1"), 8),
    "MNASNet": Architecture(of_torchvision("mnasnet0_5"), 16),
}
"""They take a tenth of a second each."""
FULL = {
    "googlenet": Architecture(of_torchvision("googlenet", init_weights=False), 9, 64, ("aux*",)),
    "inception_v3": Architecture(of_torchvision("inception_v3", init_weights=False), 11, 299, ("AuxLogits*",)),
    "resnet18": Architecture(of_torchvision("resnet18"), 8),
    "wrn16_2": Architecture(of_prunekit("wrn16_2", 128), 6),
    "densenet121": Architecture(of_timm("densenet121"), 58),
    "efficientnet_b0": Architecture(of_timm("efficientnet_b0"), 16),
    "mobilenet_v3_large": Architecture(of_torchvision("mobilenet_v3_large"), 15),
    "convnext_tiny": Architecture(of_torchvision("convnext_tiny"), 18),
    "vit_tiny": Architecture(of_timm("vit_tiny_patch16_224"), 12, 224),
    "deit_tiny": Architecture(of_timm("deit_tiny_patch16_224"), 12, 224),
    "swin_tiny": Architecture(of_timm("swin_tiny_patch4_window7_224"), 12, 224),
    "mixer_s32": Architecture(of_timm("mixer_s32_224"), 8, 224),
    "edgenext": Architecture(of_timm("edgenext_xx_small"), 12, 64),
}
"""As they are published: slow. The first two return tuples in training."""
BOTH = {**SMALL, **FULL}
CRITERIA = registry.names("criterion")
SCHEDULES: dict[str, dict[str, Any]] = {
    "one_shot": {},
    "gmp": {"end": "2it", "every": "1it"},
    "delayed_gmp": {"begin": "1it", "end": "2it", "every": "1it"},
    "linear": {"rounds": 3, "end": "2it"},
    "exponential": {"rounds": 2, "end": "2it"},
    "lottery": {"rounds": 3, "end": "2it"},
}
STEPS = 4
"""Two of them behind the last update."""


def drawn(count: int, choices: Sequence[str], seed: str) -> list[str]:
    """Return ``count`` of the choices, each as often as any other, in a random order that is always the same."""
    every = [choices[i % len(choices)] for i in range(count)]
    random.Random(seed).shuffle(every)
    return every


TWICE = [name for name in SMALL for _ in range(2)]
MEETINGS = list(
    zip(
        TWICE,
        drawn(len(TWICE), CRITERIA, "criteria"),
        drawn(len(TWICE), list(SCHEDULES), "schedules"),
        drawn(len(TWICE), get_args(Within), "within"),
        strict=True,
    )
)


def fresh(architecture: Architecture, seed: int = 0) -> nn.Module:
    """Build one, fit for few steps: no weight is zero, and BatchNorm knows the statistics of the first batches."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = architecture.build()
        for parameter in model.parameters():
            nothing = parameter.detach() == 0
            parameter.data[nothing] = torch.randn(int(nothing.sum())) * 0.02
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.5
    return model


def batch(architecture: Architecture) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, architecture.size, architecture.size, generator=draws), torch.arange(4) % CLASSES


def loss(model: nn.Module, examples: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross-entropy, of auxiliary logits too."""
    outputs = model(examples[0])
    logits = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    return torch.stack([F.cross_entropy(each, examples[1]) for each in logits]).sum()


def asked(targets: Sequence[Target], within: str) -> list[tuple[int, int]]:
    """Return how many weights are pruned, and how many are to be, of every group that is ranked by itself."""
    pruned = [~target.mask for target in targets]
    if within == "network":
        return [(sum(int(p.sum()) for p in pruned), round(sum(p.numel() for p in pruned) * SPARSITY))]
    if within == "layer":
        return [(int(p.sum()), round(p.numel() * SPARSITY)) for p in pruned]
    rows = [row for p in pruned for row in p.flatten(1)]
    return [(int(row.sum()), math.floor(row.numel() * SPARSITY + 1e-9)) for row in rows]


def check(architecture: Architecture, criterion: str, schedule: str, within: Within, path: Path) -> None:
    """Prune in a loop, train on, save and load."""
    model, examples = fresh(architecture).train(), batch(architecture)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.01)
    pruner = Pruner(
        model,
        {"name": schedule, "sparsity": SPARSITY, **SCHEDULES[schedule]},
        criterion=criterion,
        within=within,
        targets={"exclude": list(architecture.unused) if criterion == "wanda" else []},
        data=[examples],
        loss=loss,
        iterations=STEPS,
    )
    before = [target.parameter.detach().clone() for target in pruner.targets]
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(model, examples).backward()
        for parameter in model.parameters():  # where a criterion took a whole layer, BatchNorm's gradients overflow
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0).clamp_(-1, 1)
        optimizer.step()
        pruner.step()
    assert all(found == expected for found, expected in asked(pruner.targets, within))
    for target in pruner.targets:
        assert torch.equal(target.parameter == 0, ~target.mask), target.name
    moved = [not torch.equal(t.parameter, old) for t, old in zip(pruner.targets, before, strict=True) if t.mask.any()]
    assert all(moved)

    pruner.finalize()
    save_sparse(model, path)
    again = fresh(architecture, seed=1)
    assert list(load_sparse(path, again)) == list(model.state_dict())
    for (name, kept), loaded in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert kept.dtype == loaded.dtype
        assert torch.equal(kept, loaded), name
    with torch.no_grad():
        assert torch.equal(model.eval()(examples[0]), again.eval()(examples[0]))


def test_every_criterion_schedule_and_within_meets_several_architectures() -> None:
    assert set(SCHEDULES) == set(registry.names("schedule"))
    assert len(SMALL) >= 20
    for column, known in ((1, CRITERIA), (2, SCHEDULES), (3, get_args(Within))):
        met = Counter(meeting[column] for meeting in set(MEETINGS))
        assert set(met) == set(known)
        assert min(met.values()) >= 3


@pytest.mark.parametrize(("name", "criterion", "schedule", "within"), MEETINGS)
def test_it_is_pruned_by_the_exact_count_trains_on_and_is_the_same_when_loaded(
    name: str, criterion: str, schedule: str, within: Within, tmp_path: Path
) -> None:
    check(SMALL[name], criterion, schedule, within, tmp_path / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_it_is_pruned_at_full_size(name: str, tmp_path: Path) -> None:
    check(FULL[name], "magnitude", "gmp", "network", tmp_path / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", [*SMALL, "googlenet"])
def test_every_criterion_prunes_it(name: str, criterion: str, tmp_path: Path) -> None:
    within: Within = "row" if criterion == "wanda" else "network"
    check(BOTH[name], criterion, "one_shot", within, tmp_path / "model.safetensors")


def probe(architecture: Architecture) -> None:
    """Take what the blocks hold of a few images."""
    size = architecture.size

    def images(count: int) -> Split:
        drawn = np.random.default_rng(count).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
        return Split(drawn, np.arange(count) % CLASSES, tuple(map(str, range(count))))

    network = Network(fresh(architecture), nn.Linear(CLASSES, CLASSES)).eval()
    points = find_points(network, ImageShape(3, size, size), "cpu", "blocks", pool=True)
    first, *blocks, last = points
    assert (first, len(blocks), last) == ("input", architecture.blocks, "softmax")
    data = DeviceData(ImageData(tuple("abcde"), images(5), images(0), images(2)))
    taken = list(representations(network, data, "test", "blocks", pool=True))
    assert [each.probe for each in taken] == list(points)
    for each in taken:
        assert (each.bank.shape, each.queries.shape) == ((5, points[each.probe]), (2, points[each.probe]))
        assert np.isfinite(each.bank).all()
        assert each.probe == last or np.ptp(each.bank, axis=0).any(), each.probe  # heads may tell none apart yet


@pytest.mark.parametrize("name", SMALL)
def test_its_blocks_are_found_and_probed(name: str) -> None:
    probe(SMALL[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_its_blocks_are_found_and_probed_at_full_size(name: str) -> None:
    probe(FULL[name])
