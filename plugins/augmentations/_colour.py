"""Colour changes of a batch with one factor per image: what torchvision's functional operations do, batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

GREY_WEIGHTS = (0.2989, 0.587, 0.114)
"""Luma of red, green and blue (ITU-R BT.601), as in torchvision."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


class Strengths(NamedTuple):
    """How far each colour operation may go, as in torchvision's ColorJitter."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


def draw_factors(strengths: Strengths, uniform: Callable[..., Tensor]) -> Tensor:
    """Return factors of brightness, contrast and saturation, uniform in [max(0, 1 − s), 1 + s], and the hue's shift.

    Float [B, 4]; ``uniform(*shape)`` returns draws [B, *shape] in [0, 1).
    """
    low = [max(0.0, 1 - strength) for strength in strengths[:HUE]] + [-strengths.hue]
    high = [1 + strength for strength in strengths[:HUE]] + [strengths.hue]
    draws = uniform(4)
    start, end = constants(low, draws), constants(high, draws)
    return start + (end - start) * draws


def jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of float images [B, C, H, W] in [0, 1].

    ``factors`` [B, 4] as from :func:`draw_factors`; ``order`` int64 [B, 4]: the operation that each image has first,
    second, third and last. On one channel saturation and hue do nothing.
    """
    if images.shape[1] == 1:
        factors = factors.clone()
        factors[:, SATURATION] = 1.0
        for turn in range(4):
            images = _blend_turn(images, factors, order[:, turn])
        return images
    # Hue is dear, so all images change it at once, between the blends before their turn of it and those after.
    hue_turn = (order == HUE).int().argmax(dim=1)
    for turn in range(3):
        images = _blend_turn(images, factors, order[:, turn].where(hue_turn > turn, HUE))
    images = adjust_hue(images, factors[:, HUE])
    for turn in range(1, 4):
        images = _blend_turn(images, factors, order[:, turn].where(hue_turn < turn, HUE))
    return images


def _blend_turn(images: Tensor, factors: Tensor, operation: Tensor) -> Tensor:
    """Do one operation [B] of each image; hue stands for nothing."""
    factor = factors.gather(1, operation[:, None])[:, 0].where(operation != HUE, 1.0)
    grey = to_grayscale(images)
    mean = grey.mean(dim=(1, 2, 3), keepdim=True) * per_image(operation == CONTRAST)
    base = (grey * per_image(operation == SATURATION)).add_(mean)
    return (per_image(factor) * images).add_(base.mul_(per_image(1 - factor))).clamp_(0, 1)


def constants(values: Sequence[float], like: Tensor) -> Tensor:
    """Return ``values`` [n], of the type and on the device of ``like``: filled there, as a copy would wait for it."""
    return torch.stack([like.new_full((), value) for value in values])


def per_image(values: Tensor) -> Tensor:
    """[B] → [B, 1, 1, 1]."""
    return values[:, None, None, None]


def to_grayscale(images: Tensor) -> Tensor:
    """Return the grey [B, 1, H, W] of images of 1 or 3 channels."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    return (red * GREY_WEIGHTS[0]).add_(green * GREY_WEIGHTS[1]).add_(blue * GREY_WEIGHTS[2]).unsqueeze(1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of RGB images [B, 3, H, W] by ``shift`` [B], in turns."""
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    red, green, blue = images.unbind(dim=1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sector = sector + 6 * shift[:, None, None]
    # Each channel is the value less the chroma, by how far the hue is from that channel (HSV → RGB in closed form).
    offsets = constants((5.0, 3.0, 1.0), images)[:, None, None]
    distance = (offsets + sector[:, None]).remainder_(6)
    weight = torch.minimum(distance, 4 - distance).clamp_(0, 1)
    return torch.sub(value[:, None], weight.mul_(chroma[:, None]), out=weight).clamp_(0, 1)
