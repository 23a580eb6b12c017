"""What the published data sets share: known files, fetched once, decoded once into the cache."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prunekit import Dataset, DataSummary, ImageData, ImageShape

from . import _cache
from ._download import RemoteFile, data_folder, fetch
from ._examples import Examples
from ._limits import check_disk
from ._validation import Validation, held_out

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
    """Folder of the published files, to which absent ones are downloaded. Default: $PRUNEKIT_DATA, else the folder data
    of prunekit's cache ($PRUNEKIT_CACHE, else ~/.cache/prunekit). The cache also keeps the decoded images."""
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
        """Return the digest of what was decoded and its split; None before the first load with this cache."""
        entry = _cache.find(self._key)
        return entry.fingerprint(self.validation) if entry is not None else None

    def load(self) -> ImageData:
        """Map the decoded images into memory; fetch and decode the files where that was not done before."""
        entry = _cache.find(self._key) or _cache.make(self._key, self._write)
        return entry.load(self.validation)

    @property
    def _key(self) -> str:
        """Name of the cache entry: what the files hold. The validation part is cut when it is loaded."""
        return f"{self.name}-{hashlib.sha256(' '.join(file.md5 for file in self.files).encode()).hexdigest()[:32]}"

    def _write(self, folder: Path) -> dict[str, Any]:
        """Decode everything into ``folder``."""
        pixels = self.shape.channels * self.shape.height * self.shape.width
        check_disk((self.training + self.testing) * pixels, _cache.cache_root(), _cache.VARIABLE)
        root = data_folder() if self.root is None else Path(self.root).expanduser()
        labels, images = self.decode([fetch(file, root / self.subfolder) for file in self.files])
        chosen = {"train": slice(self.training), "test": slice(self.training, None)}
        parts = {part: self._part(part, labels[where]) for part, where in chosen.items()}
        return _cache.write_parts(folder, self.classes, self.shape, parts, lambda part: [images[chosen[part]]])

    def _part(self, part: str, labels: NDArray[np.uint8]) -> Examples:
        ids = tuple(f"{self.name}-{part}-{i:05d}" for i in range(len(labels)))
        return Examples(labels.astype(np.int64), ids)
