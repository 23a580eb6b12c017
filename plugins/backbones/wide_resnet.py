"""Wide residual networks of pre-activation basic blocks."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from prunekit import Backbone, ImageShape, register

SMALLEST = 8


@register("wrn{depth}_{width}", source="Zagoruyko & Komodakis 2016, arXiv 1605.07146, table 1")
class WideResNet(Backbone):
    """WRN-depth-width for small images: a 3×3 stem, three groups of basic blocks, BN-ReLU, average pooling.

    The features are 64·width wide: 128 for ``wrn16_2``. No dropout.
    """

    depth: int = Field(ge=10)
    """Layers: 6n + 4 with n blocks in each group, such as 10, 16, 28 or 40."""
    width: int = Field(ge=1)
    """Widening factor: the groups have 16, 32 and 64 times as many channels."""

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, value: int) -> int:
        if (value - 4) % 6:
            near = max(10, round((value - 4) / 6) * 6 + 4)
            raise ValueError(f"expected a depth of 6n + 4, such as {near}")
        return value

    def build(self, images: ImageShape) -> nn.Module:
        """Return the encoder, its convolutions initialised after He et al. (fan-out)."""
        if min(images.height, images.width) < SMALLEST:
            raise ValueError(f"expected at least {SMALLEST}×{SMALLEST} pixels")
        encoder = Encoder(images.channels, blocks=(self.depth - 4) // 6, width=self.width)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return encoder

    def probes(self, encoder: nn.Module) -> dict[str, list[str]]:
        """Name the points of Corti et al. 2022, 16 in ``wrn16_2``.

        The stem; in each block the activated output of the first convolution and the output of the second one; what a
        block returns whose shortcut is the identity.
        """
        points = ["stem"]
        for name, block in encoder.named_modules():
            if isinstance(block, Block):
                points += [f"{name}.conv2:input", f"{name}.conv2", *([] if block.shortcut else [name])]
        return {"paper": points}


class Encoder(nn.Module):
    """Float [B, C, H, W] → [B, 64·width]."""

    def __init__(self, channels: int, blocks: int, width: int) -> None:
        super().__init__()
        widths = (16, 16 * width, 32 * width, 64 * width)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.groups = nn.Sequential(
            *(
                _group(before, after, blocks, stride)
                for before, after, stride in zip(widths, widths[1:], (1, 2, 2), strict=False)
            )
        )
        self.norm = nn.BatchNorm2d(widths[-1])

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.norm(self.groups(self.stem(images))), inplace=True)
        return maps.mean(dim=(2, 3))


def _group(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(before, after, stride), *(Block(after, after, 1) for _ in range(blocks - 1)))


class Block(nn.Module):
    """BN-ReLU-conv twice; a 1×1 convolution of the activated input is the shortcut where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False) if changes else None

    def forward(self, maps: Tensor) -> Tensor:
        active = F.relu(self.norm1(maps), inplace=True)
        inner = self.conv2(F.relu(self.norm2(self.conv1(active)), inplace=True))
        residual: Tensor = inner + (maps if self.shortcut is None else self.shortcut(active))
        return residual
