"""Pre-activation residual networks for small images."""

from __future__ import annotations

from pydantic import Field
from torch import nn

from prunekit import Backbone, ImageShape, register

from ._initialisation import kaiming, kaiming_head, scaled
from ._preactivation import Encoder


@register("preact_resnet18", source="He et al. 2016, arXiv 1603.05027; Laurent et al. 2020, arXiv 2006.12279")
class PreActResNet18(Backbone):
    """A 3×3 stem of 64 channels, four groups of two pre-activation basic blocks, BN-ReLU, average pooling.

    The groups have 64, 128, 256 and 512 channels, all but the first halve the maps: 32×32 pixels end as 4×4. The
    features are 512 wide. Kaiming initialisation (variance 2 / fan-in, biases zero), of the head too.

    The code of Laurent et al. has another output layer: no bias, and BatchNorm of the logits, which is not done here.
    """

    width: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """What the number of channels is multiplied by, for smaller networks of the same shape."""

    @property
    def reading(self) -> str:
        """Say what the output layer is."""
        return "preact_resnet18: a linear head with bias (the code of Laurent et al.: no bias, BatchNorm of the logits)"

    def build(self, images: ImageShape) -> nn.Module:
        """Return the encoder."""
        widths = [scaled(each, self.width) for each in (64, 64, 128, 256, 512)]
        encoder = Encoder(images.channels, widths, strides=(1, 2, 2, 2), blocks=2)
        kaiming(encoder)
        return encoder

    def head(self, features: int, classes: int) -> nn.Linear:
        """Return the output layer, drawn like the others."""
        return kaiming_head(features, classes)
