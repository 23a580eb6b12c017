"""Many small images as a few large ones, for a page that holds everything itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from prunekit.report.arrays import ImageReader

SIDE = 96
"""Pixels that a thumbnail has at most, either way."""
EXACT = 48
"""Pixels up to which a thumbnail is kept to the bit: blur would show where it is enlarged."""
QUALITY, EFFORT = 80, 2
"""Of WebP. More effort saves a twentieth of the size, and takes three times as long."""
COLUMNS = 10
"""Thumbnails beside each other, and as many below each other, in a full sheet."""


@dataclass(frozen=True)
class Sheets:
    """Thumbnails in the order given, ``COLUMNS`` by ``COLUMNS`` to a sheet, in rows."""

    uris: tuple[str, ...]
    """``data:image/…;base64,…``, one per sheet."""
    count: int
    """Thumbnails in all sheets together: the first ones, as far as the size allows."""
    width: int
    """Of a thumbnail, in pixels."""
    height: int

    @property
    def exact(self) -> bool:
        """Whether thumbnails are so small that their pixels are kept, and shown as such."""
        return _exact(self.width, self.height)


def sheets(images: ImageReader, order: Sequence[int], most: int) -> Sheets:
    """Pack the images at ``order`` into sheets of ``most`` characters together.

    Images larger than ``SIDE`` are shrunk by a whole factor, each pixel the mean of those that it stands for; what is
    left over at the right and below is cut off. Raises NoImagesError where there are none to show.
    """
    uris: list[str] = []
    count = width = height = 0
    for start in range(0, len(order), COLUMNS**2):
        part = images(order[start : start + COLUMNS**2])
        tall, wide = part.shape[2:]
        factor = ceil(max(tall, wide) / SIDE)
        across, down = min(factor, wide), min(factor, tall)
        width, height = wide // across, tall // down
        sheet = _sheet(part[:, :, : height * down, : width * across])
        uri = _uri(sheet, (across, down), exact=_exact(width, height))
        if sum(map(len, uris)) + len(uri) > most:
            break
        uris.append(uri)
        count += len(part)
    return Sheets(tuple(uris), count, width, height)


def _exact(width: int, height: int) -> bool:
    return max(width, height) <= EXACT


def _sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay images [n, C, H, W] out in rows, [rows · H, COLUMNS · W, C]; places left over are black."""
    n, channels, height, width = images.shape
    rows = ceil(n / COLUMNS)
    places = np.zeros((rows * COLUMNS, channels, height, width), np.uint8)
    places[:n] = images
    grid = places.reshape(rows, COLUMNS, channels, height, width).transpose(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, COLUMNS * width, channels)


def _uri(sheet: NDArray[np.uint8], shrink: tuple[int, int], *, exact: bool) -> str:
    from PIL import Image, features

    image = Image.fromarray(sheet[:, :, 0] if sheet.shape[2] == 1 else sheet).reduce(shrink)
    file = io.BytesIO()
    if features.check("webp"):
        kind = "webp"
        image.convert("RGB").save(file, "WEBP", lossless=exact, quality=QUALITY, method=EFFORT)
    else:
        kind = "png"
        image.save(file, "PNG", optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
