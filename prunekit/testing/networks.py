"""The networks that criteria are checked on: a plain CNN, a ResNet, a MobileNet and a vision transformer."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.masks import find_targets
from prunekit.protocols import PruningContext
from prunekit.seeds import generator

CLASSES = 3
SMALLEST = "cnn"
"""The one that is looked at where one is enough."""
Batch = tuple[Tensor, Tensor]


def _cnn() -> nn.Module:
    """Padding, strides, groups, dilation, with and without biases, BatchNorm, dropout, in-place activations."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        *(nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(8, 6, 2, dilation=2, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 2 * 2, CLASSES)),
    )


class _Residual(nn.Module):
    """A block with a shortcut, normalised before its convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        active = F.relu(self.norm1(maps))
        out: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active)))) + self.shortcut(active)
        return out


def _resnet() -> nn.Module:
    blocks = nn.Sequential(_Residual(8, 16, 1), _Residual(16, 32, 2))
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)
    )


def _mobilenet() -> nn.Module:
    """Depthwise convolutions, squeeze-and-excite, hard swish."""
    import timm

    model: nn.Module = timm.create_model("mobilenetv3_small_050", num_classes=CLASSES, drop_rate=0.3)
    return model


def _transformer() -> nn.Module:
    import timm

    size: dict[str, Any] = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, proj_drop_rate=0.3, **size)
    return model


_NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    SMALLEST: (_cnn, (1, 9, 9)),
    "resnet": (_resnet, (3, 8, 8)),
    "mobilenet": (_mobilenet, (3, 32, 32)),
    "transformer": (_transformer, (3, 32, 32)),
}
"""How each is built, and the shape of its images."""
NAMES = tuple(_NETWORKS)


@functools.cache
def data(network: str) -> list[Batch]:
    """Return two batches (inputs, labels) of six images each."""
    draws = torch.Generator().manual_seed(11)
    shape = _NETWORKS[network][1]
    return [(torch.randn(6, *shape, generator=draws), torch.arange(6) % CLASSES) for _ in range(2)]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy, computed in float32 or better."""
    logits = model(batch[0])
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), batch[1])


def fresh(network: str) -> nn.Module:
    """Return a network of its own, in eval mode, with gradients and BatchNorm statistics as training leaves them."""
    return copy.deepcopy(_trained(network)).eval()


@functools.cache
def _trained(network: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _NETWORKS[network][0]()
        loss(model, data(network)[0]).backward()  # type: ignore[no-untyped-call]
    return model


def used(network: str) -> nn.Module:
    """Return one in train mode but for one module, with a parameter that needs no gradient and one that has none."""
    model = fresh(network).train()
    next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.LayerNorm)).eval()
    frozen, bare, *_ = model.parameters()
    frozen.requires_grad_(False)
    bare.grad = None
    return model


def context(model: nn.Module, network: str) -> PruningContext:
    """Return what a criterion is given: all targets, a loss, batches, and a generator that is the same every time."""
    draws = generator(0, 0, 0, "criterion")
    return PruningContext(model, find_targets(model), draws, loss, lambda: iter(data(network)))
