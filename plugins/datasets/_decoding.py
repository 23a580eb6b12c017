"""Image files → uint8 arrays, in threads: Pillow lets go of the interpreter while it decodes."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from prunekit import ImageShape, InputError, available_cores

_BLOCK_BYTES, _BLOCK_IMAGES = 4 << 20, 256
"""Most of one piece of work: enough to be worth handing over, little enough to keep in memory."""
_GREY = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"))
_TRANSPARENT = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))


class BrokenImageError(Exception):
    """An image that cannot be decoded; the message says why."""


@dataclass
class Decoder:
    """Decodes files below a folder into images of one shape."""

    root: Path
    shape: ImageShape
    resize: bool
    """Whether images of other sizes are resized; else they are refused."""
    convert: bool
    """Whether colours are converted; else grey among colour images is refused, and the other way round."""
    first: str
    """The image that the shape was taken from: named where another one differs."""
    skip_broken: bool
    broken: dict[str, str] = field(default_factory=dict)
    """Why, by name, images could not be decoded; filled while decoding where they are skipped."""

    def blocks(self, names: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of ``names`` in their order, uint8 [n, C, H, W] at a time; of skipped ones, anything.

        Raises InputError that names the first image that is broken or of another kind.
        """
        bytes_each = self.shape.channels * self.shape.height * self.shape.width
        step = max(1, min(_BLOCK_IMAGES, _BLOCK_BYTES // bytes_each))
        pieces = iter([names[i : i + step] for i in range(0, len(names), step)])
        threads = available_cores()
        with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            waiting: deque[Future[NDArray[np.uint8]]] = deque()
            waiting.extend(pool.submit(self._block, piece) for piece in islice(pieces, 2 * threads))
            while waiting:
                block = waiting.popleft().result()
                waiting.extend(pool.submit(self._block, piece) for piece in islice(pieces, 1))
                yield block

    def _block(self, names: Sequence[str]) -> NDArray[np.uint8]:
        images = np.empty((len(names), self.shape.channels, self.shape.height, self.shape.width), dtype=np.uint8)
        for row, name in zip(images, names, strict=True):
            try:
                row[:] = self._image(name)
            except BrokenImageError as error:
                if not self.skip_broken:
                    raise broken_image(self._path(name), str(error)) from error
                self.broken[name] = str(error)
        return images

    def _image(self, name: str) -> NDArray[np.uint8]:
        """Return one image [C, H, W]. Raises BrokenImageError, and InputError where it is of another kind."""
        path, size = self._path(name), (self.shape.width, self.shape.height)
        with opened(path) as image:
            self._check_kind(path, image)
            try:
                if self.resize:  # JPEG decodes to a half, quarter or eighth of its size in that part of the time
                    image.draft(None, (2 * size[0], 2 * size[1]))
                plain = _plain(image, "L" if self.shape.channels == 1 else "RGB")
                if plain.size != size:
                    plain = ImageOps.fit(plain, size, Image.Resampling.BILINEAR)
            except Exception as error:
                raise _blamed(path, error) from error
        pixels = np.asarray(plain)
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)  # a Path of it takes as long as a tenth of decoding a small image

    def _check_kind(self, path: str, image: Image.Image) -> None:
        other = self._path(self.first)
        if not self.convert and channels_of(image) != self.shape.channels:
            one, two = ("grey", "in colour") if channels_of(image) == 1 else ("in colour", "grey")
            raise InputError(f"{path} is {one} and {other} is {two}: choose `colour: rgb` or `colour: grey` for all")
        if not self.resize and image.size != (self.shape.width, self.shape.height):
            raise InputError(
                f"{path} is {image.width}×{image.height} and {other} is {self.shape.width}×{self.shape.height}"
                " (width×height): give a `size`, such as `size: 32`, to resize all"
            )


def opened(path: str) -> Image.Image:
    """Open an image file and read its header alone. Raises BrokenImageError."""
    try:
        return Image.open(path)
    except Exception as error:
        raise _blamed(path, error) from error


def channels_of(image: Image.Image) -> int:
    """Return 1 for a grey image and 3 for one in colour, transparency or not."""
    return 1 if image.mode in _GREY else 3


def broken_image(path: str, reason: str) -> InputError:
    """Return the error that names a broken image."""
    return InputError(f"{path}: broken: {reason} (`skip_broken: true` leaves such images out)")


def _blamed(path: str, error: Exception) -> Exception:
    """Return what to raise: decoders raise anything about a broken file, but the system's errors are its own."""
    if isinstance(error, MemoryError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return InputError(f"{path}: cannot be read: {error.strerror}")
    return BrokenImageError(str(error).replace(f" {path!r}", "") or type(error).__name__)


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """Decode to ``L`` or ``RGB``: 16 bits become their upper 8, transparency is laid over white."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.load()
    return image if image.mode == mode else image.convert(mode)
