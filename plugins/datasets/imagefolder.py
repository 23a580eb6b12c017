"""Images in folders, one per class."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PrivateAttr

from prunekit import Dataset, DataSummary, ImageData, ImageShape, InputError, register, tell_progress

from . import _cache
from ._decoding import BrokenImageError, Decoder, broken_image, channels_of, opened
from ._examples import Examples
from ._hints import existing, few
from ._limits import check_disk
from ._listing import Listing, list_images
from ._validation import Validation, cut_validation


def _one_or_two_sides(value: Any) -> Any:
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    if value is not None and not all(type(side) is int and side > 0 for side in sides):
        raise ValueError(f"expected a number of pixels such as 32, or [height, width], not {value!r}")
    return value


@register("imagefolder")
class ImageFolder(Dataset):
    """Images in ``root/train/<class>/`` and ``root/test/<class>/``, and in folders below those.

    Classes are in the order of their names. An image's id is its path below ``root``. Results depend on pixels, labels
    and ids, not on where and when the files were written.
    """

    root: str = Field(min_length=1)
    """The folder. A relative one starts from the working folder; ``~`` is the home folder. Files called jpg, jpeg, png,
    bmp, webp, gif, tif, tiff, ppm or pgm are read, hidden ones are not. They are decoded once, into $PRUNEKIT_CACHE
    (default: prunekit in the user's cache folder, such as ~/.cache), which may be deleted at any time."""
    size: Annotated[int | list[int] | None, BeforeValidator(_one_or_two_sides)] = None
    """Height and width to resize to, or one number for both: images are scaled (bilinear) until they cover it, and what
    juts out is cropped on both sides alike. Without it all images must have one size."""
    validation: Validation = 0
    """Images held out of ``train`` for validation, classes in proportion: a count, or a share in [0, 1)."""
    colour: Literal["as_is", "rgb", "grey"] = "as_is"
    """Whether to convert to colour or grey; ``as_is`` refuses a mixture. In any case transparency is laid over white,
    16 bits become their upper 8, and the orientation that a camera noted is left alone."""
    skip_broken: bool = False
    """Whether to leave out images that cannot be decoded, and say which; else the first one is an error."""

    _loaded: bool = PrivateAttr(default=False)

    def describe(self) -> DataSummary:
        """Return shape, classes and sizes: of what was decoded where it is in the cache, else of what is listed.

        Raises InputError where the folder is not as above, or the decoded images do not fit on the disk.
        """
        entry = self._entry
        if entry is not None:
            return entry.summary(self.validation)
        shape, (train, test) = self._shape[0], (self._listing.train, self._listing.test)
        kept, held = cut_validation(train.labels, train.ids, self.validation)
        sizes = len(kept), len(held), len(test.ids)
        needed = sum(sizes) * shape.channels * shape.height * shape.width
        check_disk(needed, _cache.cache_root(), _cache.VARIABLE)
        return DataSummary(shape, self._listing.classes, *sizes)

    def fingerprint(self) -> str | None:
        """Return the digest of what was decoded; None while it is not in the cache.

        Warns of images that were left out, except where this process has loaded the others already.
        """
        entry = self._entry
        if entry is None:
            return None
        if not self._loaded:  # the processes that train load first: one warning a run is enough
            self._warn_of(entry.left_out)
        return entry.fingerprint(self.validation)

    def load(self) -> ImageData:
        """Map the decoded images into memory; decode them where that was not done before."""
        entry = self._entry
        if entry is None:
            self.describe()
            entry = self._accepted(_cache.make(self._key, self._decode))
            self._warn_of(entry.left_out)
        self._loaded = True
        return entry.load(self.validation)

    @property
    def _entry(self) -> _cache.Entry | None:
        """What was decoded. Raises InputError where broken images were left out, and may not be."""
        entry = _cache.find(self._key)
        return self._accepted(entry) if entry is not None else None

    def _accepted(self, entry: _cache.Entry) -> _cache.Entry:
        for name, reason in entry.left_out.items() if not self.skip_broken else ():
            raise broken_image(os.path.join(self._listing.root, name), reason)
        return entry

    def _warn_of(self, left_out: Mapping[str, str]) -> None:
        if left_out:
            warnings.warn(f"{self.root}: {len(left_out)} broken images left out: {few(list(left_out))}", stacklevel=3)

    @cached_property
    def _listing(self) -> Listing:
        return list_images(existing(self.root, "folder"))

    @cached_property
    def _key(self) -> str:
        """Name of the cache entry: what changes a pixel."""
        options = (self.size, self.colour)
        return "imagefolder-" + hashlib.sha256(f"{self._listing.digest} {options!r}".encode()).hexdigest()[:32]

    @cached_property
    def _shape(self) -> tuple[ImageShape, str]:
        """The shape of all images, and the first image that can be opened: it decides what no option does."""
        listing = self._listing
        for name in listing.train.ids:
            path = str(listing.root / name)
            try:
                with opened(path) as image:
                    found = ImageShape(channels_of(image), image.height, image.width)
            except BrokenImageError as error:
                if not self.skip_broken:
                    raise broken_image(path, str(error)) from error
                continue
            height, width = self._size or (found.height, found.width)
            channels = {"as_is": found.channels, "rgb": 3, "grey": 1}[self.colour]
            return ImageShape(channels, height, width), name
        raise InputError(f"{listing.root / 'train'}: none of its images can be read")

    @property
    def _size(self) -> tuple[int, int] | None:
        if isinstance(self.size, int):
            return self.size, self.size
        return (self.size[0], self.size[1]) if self.size is not None else None

    def _decode(self, folder: Path) -> dict[str, Any]:
        """Decode everything into ``folder``; where images turn out to be broken, once more without them."""
        listing, (shape, first) = self._listing, self._shape
        left_out: dict[str, str] = {}
        while True:
            resize, convert = self._size is not None, self.colour != "as_is"
            decoder = Decoder(listing.root, shape, resize, convert, first, self.skip_broken)
            parts = {"train": listing.train, "test": listing.test}
            what = "decoding images" + (" without the broken ones" if left_out else "")
            blocks = _decoded(parts, decoder, what)
            meta = _cache.write_parts(folder, listing.classes, shape, parts, blocks, dict(sorted(left_out.items())))
            if not decoder.broken:
                return meta
            left_out |= decoder.broken
            listing = listing.without(set(decoder.broken))


def _decoded(
    parts: Mapping[str, Examples], decoder: Decoder, what: str
) -> Callable[[str], Iterator[NDArray[np.uint8]]]:
    """Return what decodes a part by its name, uint8 [n, C, H, W] at a time, and says how far all parts have come."""
    done, total = 0, sum(len(part.ids) for part in parts.values())
    tell_progress(what, 0, total)

    def blocks(part: str) -> Iterator[NDArray[np.uint8]]:
        nonlocal done
        for block in decoder.blocks(parts[part].ids):
            yield block
            done += len(block)
            tell_progress(what, done, total)

    return blocks
