"""No augmentation."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from prunekit import Augmentation, register


@register("none")
class NoAugmentation(Augmentation):
    """Leave the images as they are."""

    random: ClassVar[bool] = False

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``images``."""
        return images
