"""Images in the arrays of a NumPy file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, field_validator

from prunekit import Dataset, DataSummary, ImageData, ImageShape, InputError, Split, register

from ._arrays import Header, read_array, read_headers
from ._hints import existing
from ._validation import Validation, held_out, without_validation

PARTS = ("train", "test")


@register("npz")
class Npz(Dataset):
    """The arrays ``x_train``, ``y_train``, ``x_test`` and ``y_test`` of a file that numpy.savez wrote.

    An image's id is a digest of its pixels and its label, with a number where several are the same: it does not depend
    on the order of the images. Images are in the order of their ids, wherever they stand in the file.
    """

    path: str = Field(min_length=1)
    """The file. A relative one starts from the working folder; ``~`` is the home folder. Images are uint8 [N, H, W],
    [N, H, W, C] or [N, C, H, W] of 1 or 3 channels: the last axis where it has that length, else the second. Labels are
    whole numbers [N] or [N, 1], counted from 0."""
    validation: Validation = 0
    """Images held out of ``x_train`` for validation, classes in proportion: a count, or a share in [0, 1)."""
    classes: list[str] | None = None
    """Names of the classes in the order of their labels; by default the labels themselves."""

    _known: dict[tuple[int, int], str] = PrivateAttr(default_factory=dict)
    """Digests of what was read, by the size of the file and the time when it was written (ns)."""

    @field_validator("classes")
    @classmethod
    def _differ(cls, value: list[str] | None) -> list[str] | None:
        for name, count in Counter(value or ()).items():
            if count > 1:
                raise ValueError(f"the class {name!r} stands twice")
        if value is not None and len(value) < 2:
            raise ValueError("expected the names of at least two classes")
        return value

    def describe(self) -> DataSummary:
        """Return shape, classes and sizes, from the labels and the headers of the images.

        Raises InputError where the file is not as above.
        """
        training, test = (len(self._labels[part]) for part in PARTS)
        held = held_out(self.validation, training)
        return DataSummary(self._shape, self._classes, training - held, held, test)

    def fingerprint(self) -> str | None:
        """Return a digest of labels and ids, which are digests of the pixels, and of the validation part's size.

        How the file was written does not matter. The names of the classes do, as they are stored with what is observed.
        """
        if self._written not in self._known:
            self.load()
        held = held_out(self.validation, len(self._labels["train"]))
        return hashlib.sha256(json.dumps([self._known[self._written], held, self._classes]).encode()).hexdigest()

    def load(self) -> ImageData:
        """Read the images."""
        written = self._written
        train, test = (self._split(part) for part in PARTS)
        self._known[written] = _digest(train, test)
        return ImageData(self._classes, *without_validation(train, self.validation), test)

    @property
    def _written(self) -> tuple[int, int]:
        status = self._file.stat()
        return status.st_size, status.st_mtime_ns

    @cached_property
    def _file(self) -> Path:
        return existing(self.path, "file")

    @cached_property
    def _headers(self) -> dict[str, Header]:
        headers = read_headers(self._file, ("x_train", "y_train", "x_test", "y_test"))
        for part in PARTS:
            images, labels = headers[f"x_{part}"], headers[f"y_{part}"]
            _check_images(f"{self._file}: x_{part}", images)
            _check_labels(f"{self._file}: y_{part}", labels, images)
        train, test = headers["x_train"], headers["x_test"]
        if train.shape[1:] != test.shape[1:]:
            raise InputError(f"{self._file}: the images of x_train, {train}, and x_test, {test}, differ in shape")
        return headers

    @cached_property
    def _labels(self) -> dict[str, NDArray[np.int64]]:
        """[N] of each part: every class from 0 to the largest occurs in both."""
        labels = {part: self._read(f"y_{part}").astype(np.int64).reshape(-1) for part in PARTS}
        found = {part: set(each.tolist()) for part, each in labels.items()}
        every = range(max(max(each) for each in found.values()) + 1)
        for part, each in found.items():
            where = f"{self._file}: y_{part}"
            if min(each) < 0:
                raise InputError(f"{where} holds {min(each)}: labels are counted from 0")
            absent = next((label for label in every if label not in each), None)
            if absent is not None:
                raise InputError(
                    f"{where} lacks the label {absent}: expected each label from 0 to {every[-1]} in both parts"
                )
        if len(every) == 1:
            raise InputError(f"{self._file}: holds one class only: there is nothing to tell apart")
        return labels

    @property
    def _classes(self) -> tuple[str, ...]:
        count = int(self._labels["train"].max()) + 1
        if self.classes is not None and len(self.classes) != count:
            raise InputError(f"{self._file}: holds {count} classes and `classes` names {len(self.classes)}")
        return tuple(self.classes or map(str, range(count)))

    @property
    def _shape(self) -> ImageShape:
        shape = _image_shape(self._headers["x_train"].shape)
        assert shape is not None  # the headers are checked
        return shape

    def _read(self, key: str) -> NDArray[np.generic]:
        return read_array(self._file, key, self._headers[key])

    def _split(self, part: str) -> Split:
        images = _channels_first(self._read(f"x_{part}").astype(np.uint8, copy=False))
        labels = self._labels[part]
        ids = _ids(part, images, labels)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return Split(images[order], labels[order], tuple(ids[i] for i in order))


def _image_shape(shape: tuple[int, ...]) -> ImageShape | None:
    """Return the shape of one image of an array of them; None where it is none."""
    match shape:
        case (_, height, width) | (_, height, width, 1):
            return ImageShape(1, height, width)
        case (_, height, width, 3):
            return ImageShape(3, height, width)
        case (_, 1 | 3 as channels, height, width):
            return ImageShape(channels, height, width)
    return None


def _channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, H, W], [N, H, W, C] or [N, C, H, W] → [N, C, H, W], contiguous."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(images)


def _check_images(where: str, images: Header) -> None:
    if images.dtype != np.uint8:
        raise InputError(
            f"{where} is {images}: expected uint8, 0 to 255 (of floats in [0, 1]: np.uint8(np.rint(255 * x)))"
        )
    if _image_shape(images.shape) is None or 0 in images.shape:
        raise InputError(f"{where} is {images}: expected [N, H, W], [N, H, W, C] or [N, C, H, W] of 1 or 3 channels")


def _check_labels(where: str, labels: Header, images: Header) -> None:
    if labels.dtype.kind not in "iu":
        raise InputError(f"{where} is {labels}: expected whole numbers")
    if len(labels.shape) != 1 and labels.shape[1:] != (1,):
        raise InputError(f"{where} is {labels}: expected one label per image, [N] or [N, 1]")
    if labels.shape[0] != images.shape[0]:
        raise InputError(f"{where} has {labels.shape[0]} labels for {images.shape[0]} images")


def _ids(part: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[str, ...]:
    """Return names that follow from pixels and label alone; equal images are numbered."""
    seen: Counter[str] = Counter()
    ids = []
    for image, label in zip(images, labels.tolist(), strict=True):
        digest = hashlib.sha256(image.data)
        digest.update(b"%d" % label)
        name = f"{part}-{digest.hexdigest()[:16]}"
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(ids)


def _digest(*splits: Split) -> str:
    content = [(split.images.shape[1:], split.labels.tolist(), split.ids) for split in splits]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
