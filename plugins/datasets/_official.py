"""What the published data sets share: known files, fetched once, decoded once, from then on mapped into memory."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from prunekit import Dataset, DataSummary, ImageData, ImageShape, Split

from ._download import RemoteFile, check_room, data_folder, fetch, make_once
from ._validation import Validation, cut_validation, held_out

Decoded = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Labels [N] and images [N, C, H, W], those for training first, in the order of the official files."""


class OfficialImages(Dataset):
    """A data set whose files never change: what they hold is known before they are there.

    An image's id is its place in the official files, counted from 0: ``cifar10-train-00041``.
    """

    files: ClassVar[tuple[RemoteFile, ...]]
    subfolder: ClassVar[str] = ""
    """Where in the root the files lie."""
    shape: ClassVar[ImageShape]
    classes: ClassVar[tuple[str, ...]]
    """In the order of the official labels."""
    training: ClassVar[int]
    testing: ClassVar[int]

    root: str | None = None
    """Folder of the published files, to which absent ones are downloaded. Default: $PRUNEKIT_DATA, else prunekit/data
    in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache); the decoded images are kept there in any case."""
    validation: Validation = 0
    """Images held out for validation, of those for training: a count, or a share in [0, 1). Balanced over the classes
    and fixed by the ids."""

    @abstractmethod
    def decode(self, paths: list[Path]) -> Decoded:
        """Decode the verified ``files``, which lie at ``paths``."""

    def describe(self) -> DataSummary:
        """Return shape, classes and sizes. Raises InputError where ``validation`` leaves nothing to train on."""
        held = held_out(self.validation, self.training)
        return DataSummary(self.shape, self.classes, self.training - held, held, self.testing)

    def fingerprint(self) -> str | None:
        """Return a digest of the files' checksums and the split; None before the first load on this machine."""
        if not self._decoded.is_file():
            return None
        contents = (self.name, [file.md5 for file in self.files], held_out(self.validation, self.training))
        return hashlib.sha256(repr(contents).encode()).hexdigest()

    def load(self) -> ImageData:
        """Return the images, mapped from the file that the first load on this machine makes of the official ones."""
        make_once(self._decoded, self._write_decoded)
        # Private pages: writable for torch's sake, never written back, shared by all processes.
        contents = np.asarray(np.memmap(self._decoded, np.uint8, mode="c"))
        labels, images = np.split(contents, [self.training + self.testing])
        images = images.reshape(-1, self.shape.channels, self.shape.height, self.shape.width)
        train, test = (
            self._split(part, labels[chosen], images[chosen])
            for part, chosen in (("train", slice(self.training)), ("test", slice(self.training, None)))
        )
        return ImageData(self.classes, *self._cut(train), test)

    @property
    def _decoded(self) -> Path:
        """File of labels, then images, a byte per value. Its name says what it was made of, so it needs no check."""
        digest = hashlib.sha256(" ".join(file.md5 for file in self.files).encode()).hexdigest()[:16]
        return data_folder() / "decoded" / f"{self.name}-{digest}.uint8"

    def _write_decoded(self, out: BinaryIO) -> None:
        pixels = self.shape.channels * self.shape.height * self.shape.width
        check_room(self._decoded.parent, (self.training + self.testing) * (1 + pixels))
        folder = data_folder() if self.root is None else Path(self.root).expanduser()
        for array in self.decode([fetch(file, folder / self.subfolder) for file in self.files]):
            out.write(np.ascontiguousarray(array).data)

    def _split(self, part: str, labels: NDArray[np.uint8], images: NDArray[np.uint8]) -> Split:
        return Split(images, labels.astype(np.int64), tuple(f"{self.name}-{part}-{i:05d}" for i in range(len(labels))))

    def _cut(self, train: Split) -> tuple[Split, Split]:
        """Return what is trained on and what is held out; copies only where something is."""
        if not held_out(self.validation, self.training):
            return train, Split(train.images[:0], train.labels[:0], ())
        parts = cut_validation(train.labels, train.ids, self.validation)
        kept, held = (Split(train.images[i], train.labels[i], tuple(train.ids[j] for j in i)) for i in parts)
        return kept, held
