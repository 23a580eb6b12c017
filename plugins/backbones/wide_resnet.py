"""Wide residual networks of pre-activation basic blocks."""

from __future__ import annotations

from pydantic import Field, field_validator
from torch import nn

from prunekit import Backbone, ImageShape, register

from ._preactivation import Block, Encoder

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
        widths = (16, 16 * self.width, 32 * self.width, 64 * self.width)
        encoder = Encoder(images.channels, widths, strides=(1, 2, 2), blocks=(self.depth - 4) // 6)
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
