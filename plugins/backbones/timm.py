"""Every architecture of timm."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import field_validator
from torch import nn

from prunekit import Backbone, ImageShape, register


@register("timm/{architecture}", source="Wightman 2019, github.com/huggingface/pytorch-image-models")
class Timm(Backbone):
    """An architecture of timm without its classifier, for the images' channels and, where it is fixed, their size."""

    architecture: str
    """timm's name of it, such as ``resnet18``; a tag may choose among pretrained weights (``resnet18.a1_in1k``)."""
    pretrained: bool = False
    """Whether to start from timm's weights, downloaded when first used."""

    @field_validator("architecture")
    @classmethod
    def _exists(cls, value: str) -> str:
        import timm

        if not timm.is_model(value):
            near = get_close_matches(value, timm.list_models(), n=3)
            hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            raise ValueError(f"timm has no architecture {value!r}{hint}")
        return value

    def build(self, images: ImageShape) -> nn.Module:
        """Return the model with pooled features instead of logits."""
        import timm

        settings = timm.get_pretrained_cfg(self.architecture)
        size: dict[str, Any] = (
            {"img_size": (images.height, images.width)} if settings and settings.fixed_input_size else {}
        )
        encoder: nn.Module = timm.create_model(
            self.architecture, pretrained=self.pretrained, in_chans=images.channels, num_classes=0, **size
        )
        return encoder
