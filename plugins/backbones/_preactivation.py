"""Residual networks of pre-activation basic blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """A 3×3 stem, groups of blocks, BN-ReLU, average pooling: float [B, C, H, W] → [B, widths[-1]]."""

    def __init__(self, channels: int, widths: Sequence[int], strides: Sequence[int], blocks: int) -> None:
        """``widths`` are the channels of the stem and of each group; each group begins with a stride."""
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.groups = nn.Sequential(
            *(
                _group(before, after, blocks, stride)
                for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True)
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
