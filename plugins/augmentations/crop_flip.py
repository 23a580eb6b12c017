"""Random crops of the padded image, and flips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from prunekit import Augmentation, register


@register("crop_flip", source="He et al. 2015, arXiv 1512.03385, §4.2")
class CropFlip(Augmentation):
    """Pad with black, crop the original size at random, flip with probability ½."""

    padding: int = Field(default=4, ge=0)
    """Black pixels added on every side before the crop."""
    horizontal: bool = True
    """Whether left and right may be exchanged; off where that changes the label, as in digits."""
    vertical: bool = False
    """Whether top and bottom may be exchanged. The code of Corti et al. does so too."""

    @property
    def reading(self) -> str:
        """Say which flips there are."""
        axes = [name for name in ("horizontal", "vertical") if getattr(self, name)]
        return f"crop_flip: {' and '.join(axes) or 'no'} flips"

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return one random crop of every image."""
        count, channels, height, width = images.shape
        draw = torch.rand(4, count, 1, generator=generator, device=images.device)
        rows = _window(height, self.padding, draw[0], draw[1] if self.vertical else None)
        columns = _window(width, self.padding, draw[2], draw[3] if self.horizontal else None)
        padded = F.pad(images, [self.padding] * 4)
        image = torch.arange(count, device=images.device)[:, None, None, None]
        channel = torch.arange(channels, device=images.device)[:, None, None]
        return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _window(size: int, padding: int, offset: Tensor, flip: Tensor | None) -> Tensor:
    """Return which pixels of a padded axis each crop takes, int64 [B, size], from uniform draws [B, 1]."""
    steps = torch.arange(size, device=offset.device).expand(len(offset), size)
    if flip is not None:
        steps = torch.where(flip < 0.5, size - 1 - steps, steps)
    return (offset * (2 * padding + 1)).long() + steps
