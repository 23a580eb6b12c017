"""Where the batches of a training stage come from: images, or the features that a frozen encoder makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from prunekit.data import DeviceData
from prunekit.images import Batch
from prunekit.observed import Part
from prunekit.stages import TrainStage


def precision(stage: TrainStage, device: torch.device) -> torch.autocast:
    """Return the context in which ``stage`` computes: bf16 under autocast, or as it stands."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=stage.precision == "bf16")


class Images:
    """Where batches come from: the augmented images of an epoch, and plain ones."""

    def __init__(self, data: DeviceData, stage: TrainStage) -> None:
        self.data, self.stage = data, stage

    def epoch(self, order: torch.Generator, randomness: torch.Generator) -> Iterator[Batch]:
        stage = self.stage
        return self.data.epoch(stage.batch_size, stage.augment, stage.objective.views, order, randomness)

    def plain(self, part: Part) -> Iterator[Batch]:
        return self.data.batches(part)


class FrozenFeatures(Images):
    """The same as features [V, B, D] of a frozen encoder, computed once wherever the images do not change."""

    def __init__(self, data: DeviceData, stage: TrainStage, encoder: nn.Module) -> None:
        super().__init__(data, stage)
        self._encoder = encoder
        self._known: dict[Part, list[Batch]] = {}

    def epoch(self, order: torch.Generator, randomness: torch.Generator) -> Iterator[Batch]:
        if self.stage.augment.random:
            yield from map(self._encode, super().epoch(order, randomness))
            return
        labels = self.data.part("train").labels
        for chosen in self.data.shuffled(self.stage.batch_size, order):
            yield Batch(self._unchanging[:, chosen].expand(self.stage.objective.views, -1, -1), labels[chosen])

    @cached_property
    def _unchanging(self) -> Tensor:
        """Features [1, N, D] of the training images, where no augmentation changes them."""
        return torch.cat([self._encode(batch).images for batch in super().plain("train")], dim=1)

    def plain(self, part: Part) -> Iterator[Batch]:
        if part not in self._known:
            self._known[part] = [self._encode(batch) for batch in super().plain(part)]
        return iter(self._known[part])

    @torch.no_grad()
    def _encode(self, batch: Batch) -> Batch:
        with precision(self.stage, batch.images.device):
            features = self._encoder.eval()(batch.images.flatten(0, 1))
        return Batch(features.float().view(*batch.images.shape[:2], -1), batch.labels)
