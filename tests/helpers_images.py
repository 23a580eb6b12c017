"""Tiny image data that tests write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("bee", "cat", "dog")


def pixels(seed: int, shape: Sequence[int] = (6, 5, 3)) -> NDArray[np.uint8]:
    """Random pixels that follow from ``seed``: of one image [H, W, C] or [H, W], of several [N, …]."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def image_folder(
    root: Path,
    classes: Sequence[str] = CLASSES,
    sizes: Mapping[str, int] | None = None,
    shape: Sequence[int] = (6, 5, 3),
) -> Path:
    """Write ``root/train/<class>/0.png`` …, ``sizes`` (default: 5 for training, 2 for testing) of each class."""
    for part, size in (sizes or {"train": 5, "test": 2}).items():
        for label, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(size):
                seed = 1000 * label + 2 * i + (part == "test")
                Image.fromarray(pixels(seed, shape)).save(folder / f"{i}.png")
    return root


def arrays(**changes: Any) -> dict[str, Any]:
    """The arrays of an .npz file: 15 + 6 images of three classes."""
    return {
        "x_train": pixels(1, (15, 6, 5, 3)),
        "y_train": np.arange(15) % 3,
        "x_test": pixels(2, (6, 6, 5, 3)),
        "y_test": np.arange(6) % 3,
        **changes,
    }


def npz_file(path: Path, **changes: Any) -> Path:
    """Write :func:`arrays`, without those that are None."""
    np.savez(path, **{key: value for key, value in arrays(**changes).items() if value is not None})
    return path
