"""Labelled images: what is known of a data set, what it holds, and one batch of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ImageShape:
    """Shape of one image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class DataSummary:
    """What is known of a data set before anything is decoded."""

    shape: ImageShape
    classes: tuple[str, ...]
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Split:
    """One part of a data set."""

    images: NDArray[np.uint8]
    """[N, C, H, W]."""
    labels: NDArray[np.int64]
    """[N]."""
    ids: tuple[str, ...]
    """[N], stable: the same image has the same id whatever the order and the split."""


@dataclass(frozen=True)
class ImageData:
    """A decoded data set."""

    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split


@dataclass(frozen=True)
class Batch:
    """One batch on the device."""

    images: Tensor
    """float [V, B, C, H, W]: V augmented, normalised views of B images."""
    labels: Tensor
    """int64 [B]."""
