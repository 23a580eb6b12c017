"""VGG for small images."""

from __future__ import annotations

from collections import OrderedDict

from pydantic import Field
from torch import nn

from prunekit import Backbone, ImageShape, register

from ._initialisation import kaiming, kaiming_head, scaled

_WIDTHS = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions before each max-pooling: configuration A of Simonyan & Zisserman, table 1."""
_HIDDEN = 512
"""Width of the hidden layers of the classifier."""


@register("vgg11", source="Simonyan & Zisserman 2015, arXiv 1409.1556, table 1; Laurent et al. 2020, arXiv 2006.12279")
class VGG11(Backbone):
    """VGG11 without BatchNorm and dropout, its classifier 512-512-classes: two hidden layers of 512, and the output.

    Eight 3×3 convolutions in five steps that end in 2×2 max-pooling: 32×32 pixels become one. Where the maps have one
    pixel in a direction already, as happens with smaller images (8×8 after three steps), the pooling is left out;
    what larger images leave is averaged. Kaiming initialisation (variance 2 / fan-in, biases zero), of the head too.
    """

    width: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """What the number of channels and of hidden units is multiplied by, for smaller networks of the same shape."""

    def build(self, images: ImageShape) -> nn.Module:
        """Return the convolutions and the hidden layers of the classifier."""
        # ReLU is not in place: what hooks keep of a convolution's output stays what it was
        layers = OrderedDict[str, nn.Module]()
        channels, height, width, number = images.channels, images.height, images.width, 0
        for step, widths in enumerate(_WIDTHS, 1):
            for after in (scaled(each, self.width) for each in widths):
                number += 1
                layers[f"conv{number}"] = nn.Conv2d(channels, after, 3, padding=1)
                layers[f"relu{number}"] = nn.ReLU()
                channels = after
            if min(height, width) > 1:
                layers[f"pool{step}"] = nn.MaxPool2d(2)
                height, width = height // 2, width // 2
        if max(height, width) > 1:
            layers["average"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        for i in (1, 2):
            layers[f"hidden{i}"] = nn.Linear(channels, scaled(_HIDDEN, self.width))
            layers[f"relu{number + i}"] = nn.ReLU()
            channels = scaled(_HIDDEN, self.width)
        encoder = nn.Sequential(layers)
        kaiming(encoder)
        return encoder

    def head(self, features: int, classes: int) -> nn.Linear:
        """Return the output layer, drawn like the others."""
        return kaiming_head(features, classes)
