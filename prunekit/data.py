"""Images on the device: statistics of the training images, augmented and plain batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.images import Batch, ImageData, Split
from prunekit.observed import Part
from prunekit.protocols import Augmentation

EVALUATION_BATCH = 512
"""Images per batch where nothing is trained. Fixed: bits may depend on it."""
_COUNTED_AT_ONCE = 1 << 24
"""Bytes of images whose values are counted at once, which takes eight times as much memory."""


@dataclass(frozen=True)
class DeviceSplit:
    """One part of a data set on a device."""

    images: Tensor
    """uint8 [N, C, H, W]."""
    labels: Tensor
    """int64 [N]."""

    @classmethod
    def of(cls, split: Split, device: str) -> DeviceSplit:
        """Move a decoded part to ``device``."""
        images, labels = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (split.images, split.labels))
        return cls(images, labels)

    def __len__(self) -> int:
        return len(self.labels)


class DeviceData:
    """A data set on a device, each part as one uint8 tensor, and batches of it.

    Images are scaled to [0, 1], augmented, and normalised with the training images' mean and standard deviation per
    channel, or those given as ``normalisation``, all on the device. Batches come in channels_last, which convolutions
    prefer.
    """

    def __init__(
        self,
        data: ImageData,
        device: str = "cpu",
        normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        self.source = data
        self.device = device
        self._parts: dict[Part, DeviceSplit] = {
            "train": DeviceSplit.of(data.train, device),
            "validation": DeviceSplit.of(data.validation, device),
            "test": DeviceSplit.of(data.test, device),
        }
        mean, std = (
            channel_statistics(data.train.images)
            if normalisation is None
            else (torch.tensor([*each], dtype=torch.float32) for each in normalisation)
        )
        self.mean = mean.to(device).view(-1, 1, 1)
        self.std = std.to(device).view(-1, 1, 1)

    def part(self, name: Part) -> DeviceSplit:
        """Return the train, validation or test part."""
        return self._parts[name]

    def iterations_per_epoch(self, batch_size: int) -> int:
        """Return the steps of an epoch over the training images; the last one may be smaller."""
        return -(-len(self.part("train")) // batch_size)

    def normalise(self, images: Tensor) -> Tensor:
        """Shift and scale float [B, C, H, W] in [0, 1], as a rule to the training images' zero mean, unit variance."""
        return (images - self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)

    def epoch(
        self,
        batch_size: int,
        augment: Augmentation,
        views: int,
        order: torch.Generator,
        randomness: torch.Generator,
    ) -> Iterator[Batch]:
        """Yield the batches of one training epoch: every image once, ``views`` augmented copies of each.

        ``order``, on the CPU, draws the order of the images; ``randomness``, on the device, the augmentation.
        """
        train = self.part("train")
        for chosen in self.shuffled(batch_size, order):
            images = _unit(train.images[chosen]).repeat(views, 1, 1, 1)
            images = self.normalise(augment(images, randomness))
            yield Batch(images.view(views, len(chosen), *images.shape[1:]), train.labels[chosen])

    def shuffled(self, batch_size: int, order: torch.Generator) -> Iterator[Tensor]:
        """Yield the indices of the training images of each batch of an epoch, int64 on the device."""
        yield from torch.split(torch.randperm(len(self.part("train")), generator=order).to(self.device), batch_size)

    def plain_epoch(self, batch_size: int, order: torch.Generator) -> Iterator[Batch]:
        """Yield one un-augmented view of every training image, in the order that ``order``, on the CPU, draws."""
        train = self.part("train")
        for chosen in self.shuffled(batch_size, order):
            yield Batch(self.normalise(_unit(train.images[chosen])).unsqueeze(0), train.labels[chosen])

    def batches(self, part: Part, batch_size: int = EVALUATION_BATCH) -> Iterator[Batch]:
        """Yield one un-augmented view of the images of ``part``, in their order; of an empty part one empty batch."""
        split = self.part(part)
        for images, labels in zip(
            torch.split(split.images, batch_size), torch.split(split.labels, batch_size), strict=True
        ):
            yield Batch(self.normalise(_unit(images)).unsqueeze(0), labels)


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (ddof 0) per channel of [N, C, H, W] scaled to [0, 1], each float32 [C].

    They come from exact counts of the 256 values; the deviation of a constant channel is given as 1.
    """
    values = np.arange(256) / 255
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for some in np.array_split(images, -(-images.nbytes // _COUNTED_AT_ONCE) or 1):
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(some, 1, 0)]
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    return torch.from_numpy(mean).float(), torch.from_numpy(np.where(std > 0, std, 1.0)).float()


def _unit(images: Tensor) -> Tensor:
    """uint8 → float in [0, 1]."""
    return images.float().div_(255)
