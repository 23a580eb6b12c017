"""Resized crops of a batch, each image with a box of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

ATTEMPTS = 10
"""Boxes drawn for each image before the central one is taken, as in torchvision."""


class Boxes(NamedTuple):
    """One crop per image, in pixels, each float [B] with whole values."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_boxes(
    height: int, width: int, scale: Sequence[float], ratio: Sequence[float], uniform: Callable[..., Tensor]
) -> Boxes:
    """Draw a box for every image as torchvision's RandomResizedCrop does.

    The area's share is uniform in ``scale``, width / height log-uniform in ``ratio``; the first of ten draws that fits
    is taken, else the largest central box within ``ratio``. ``uniform(*shape)`` returns draws [B, *shape] in [0, 1).
    """
    area = height * width * (scale[0] + (scale[1] - scale[0]) * uniform(ATTEMPTS))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * uniform(ATTEMPTS))
    widths = (area * aspect).sqrt().round()
    heights = (area / aspect).sqrt().round()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    central_height, central_width = _central(height, width, ratio)
    box_height = torch.where(found, heights.gather(1, first)[:, 0], central_height)
    box_width = torch.where(found, widths.gather(1, first)[:, 0], central_width)
    top = torch.where(found, (uniform() * (height - box_height + 1)).floor(), (height - central_height) // 2)
    left = torch.where(found, (uniform() * (width - box_width + 1)).floor(), (width - central_width) // 2)
    return Boxes(top, left, box_height, box_width)


def _central(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int]:
    """Return height and width of the largest box whose width / height lies in ``ratio``."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def resized_crop(images: Tensor, boxes: Boxes, mirror: Tensor) -> Tensor:
    """Cut ``boxes`` out of float images [B, C, H, W], enlarge them bilinearly to H×W, mirror where bool [B] says so.

    Bilinear interpolation is linear in each axis, so two batched matrix products with a small matrix per image do it.
    """
    count, channels, height, width = images.shape
    rows = _interpolation(height, boxes.top, boxes.height)
    columns = _interpolation(width, boxes.left, boxes.width)
    columns = torch.where(mirror[:, None, None], columns.flip(1), columns)
    # [B, C·H, W] × [B, W, W'], then [B, H', H] × [B, H, C·W'], so that channels share the two products.
    wide = torch.bmm(images.reshape(count, channels * height, width), columns.transpose(1, 2))
    tall = wide.view(count, channels, height, width).transpose(1, 2).flatten(2)
    return torch.bmm(rows, tall).view(count, height, channels, width).transpose(1, 2)


def _interpolation(size: int, start: Tensor, length: Tensor) -> Tensor:
    """Return [B, size, size]: what each output pixel takes of each input pixel, never looking beyond the crop."""
    pixels = torch.arange(size, dtype=torch.float32, device=start.device)
    centres = (pixels + 0.5) * (length / size)[:, None] - 0.5
    centres = start[:, None] + centres.clamp_(min=0).minimum(length[:, None] - 1)
    return (1 - (centres[:, :, None] - pixels).abs()).clamp_(min=0)
