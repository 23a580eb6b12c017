"""Every architecture of timm."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import ValidationInfo, field_validator
from torch import nn

from prunekit import ImageShape, register

from ._normalisation import Normalised


@register("timm/{architecture}", source="Wightman 2019, github.com/huggingface/pytorch-image-models")
class Timm(Normalised):
    """An architecture of timm without its classifier, for the images' channels and, where it is fixed, their size."""

    architecture: str
    """timm's name of it, such as ``resnet18``; a tag may choose among pretrained weights (``resnet18.a1_in1k``)."""
    pretrained: bool = False
    """Whether to start from timm's weights, downloaded when the first member begins."""
    options: dict[str, Any] = {}
    """Further arguments of timm.create_model. Its ResNets begin with the last BatchNorm of every block at zero, behind
    which a criterion sees no gradient: before pruning at initialisation say ``{zero_init_last: false}``."""

    @field_validator("architecture")
    @classmethod
    def _exists(cls, value: str) -> str:
        import timm

        if not timm.is_model(value):
            near = get_close_matches(value, timm.list_models(), n=3)
            hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            raise ValueError(f"timm has no architecture {value!r}{hint}")
        return value

    @field_validator("pretrained")
    @classmethod
    def _has_weights(cls, value: bool, info: ValidationInfo) -> bool:
        import timm

        architecture = info.data.get("architecture")  # absent where it was refused
        if value and architecture and not timm.is_model_pretrained(architecture):
            raise ValueError(f"timm has no pretrained weights for {architecture!r}")
        return value

    def build(self, images: ImageShape) -> nn.Module:
        """Return the model with pooled features instead of logits."""
        return self._create(images, pretrained=False)

    def classifier(self, images: ImageShape, classes: int) -> nn.Module:
        """Return the model with its classifier, as timm saves it."""
        return self._create(images, pretrained=False, classes=classes)

    def load_weights(self, encoder: nn.Module, images: ImageShape) -> None:
        """Load timm's weights, adapted to the images' channels and size as timm does it."""
        if self.pretrained:
            encoder.load_state_dict(self._create(images, pretrained=True).state_dict())

    def _create(self, images: ImageShape, pretrained: bool, classes: int = 0) -> nn.Module:
        import timm

        settings = timm.get_pretrained_cfg(self.architecture)
        size: dict[str, Any] = (
            {"img_size": (images.height, images.width)} if settings and settings.fixed_input_size else {}
        )
        model: nn.Module = timm.create_model(
            self.architecture,
            pretrained=pretrained,
            in_chans=images.channels,
            num_classes=classes,
            **size,
            **self.options,
        )
        return model
