"""The augmentation of contrastive learning: resized crops, flips, colour jitter, grayscale."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor

from prunekit import Augmentation, register

from ._colour import Strengths, draw_factors, jitter, per_image, to_grayscale
from ._crops import Boxes, draw_boxes, resized_crop

_CACHED = 1 << 21
"""Bytes of images that are changed at once on a CPU: as many as its cache holds a few times over."""
Strength = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


@register("simclr", source="Chen et al. 2020, arXiv 2002.05709, appendix A; drawn as torchvision draws")
class SimClrAugmentation(Augmentation):
    """RandomResizedCrop, horizontal flip, ColorJitter in random order, grayscale.

    Images of one channel keep it: there only brightness and contrast change, as in torchvision.
    """

    scale: list[float] = Field(default=[0.2, 1.0])
    """Smallest and largest share of the image's area that a crop takes, in (0, 1]."""
    ratio: list[float] = Field(default=[3 / 4, 4 / 3])
    """Smallest and largest width / height of a crop."""
    flip: Probability = 0.5
    """Probability of a horizontal flip; 0 where that changes the label, as in digits."""
    brightness: Strength = 0.4
    """Brightness is multiplied by a factor in [max(0, 1 − b), 1 + b]."""
    contrast: Strength = 0.4
    """Likewise the distance from the image's mean grey."""
    saturation: Strength = 0.4
    """Likewise the distance from each pixel's grey."""
    hue: float = Field(default=0.1, ge=0.0, le=0.5)
    """The hue turns by up to this share of the circle either way."""
    jitter: Probability = 0.8
    """Probability that brightness, contrast, saturation and hue change at all."""
    grayscale: Probability = 0.2
    """Probability that all colour goes."""

    @field_validator("scale", "ratio")
    @classmethod
    def _range(cls, value: list[float]) -> list[float]:
        if len(value) != 2 or not 0 < value[0] <= value[1] < math.inf:
            raise ValueError("expected [smallest, largest], both above 0")
        return value

    @field_validator("scale")
    @classmethod
    def _share(cls, value: list[float]) -> list[float]:
        if value[1] > 1:
            raise ValueError("expected shares of the image's area in (0, 1]")
        return value

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return one random view of every image."""
        count, channels, height, width = images.shape
        if channels not in (1, 3):
            raise ValueError(f"simclr augments images of 1 or 3 channels, not {channels}")

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator, device=images.device)

        boxes = draw_boxes(height, width, self.scale, self.ratio, uniform)
        mirror = uniform() < self.flip
        factors = draw_factors(Strengths(self.brightness, self.contrast, self.saturation, self.hue), uniform)
        order = uniform(4).argsort(dim=1)
        jittered, grey = uniform() < self.jitter, uniform() < self.grayscale
        draws = _Draws(*boxes, mirror, factors, order, jittered, grey)
        if images.device.type != "cpu":
            return _changed(images, draws)
        some = max(1, _CACHED // max(1, images[:1].nbytes))
        parts = zip(*(torch.split(each, some) for each in (images, *draws)), strict=True)
        return torch.cat([_changed(part, _Draws(*drawn)) for part, *drawn in parts])


class _Draws(NamedTuple):
    """What was drawn for each of B images."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    mirror: Tensor
    factors: Tensor
    order: Tensor
    jittered: Tensor
    grey: Tensor


def _changed(images: Tensor, draws: _Draws) -> Tensor:
    """Do to each image what was drawn for it."""
    images = resized_crop(images, Boxes(*draws[:4]), draws.mirror)
    images = torch.where(per_image(draws.jittered), jitter(images, draws.factors, draws.order), images)
    return torch.where(per_image(draws.grey), to_grayscale(images), images)
