"""Handwritten digits that come with scikit-learn: real images, nothing to download."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from prunekit import Dataset, DataSummary, ImageData, ImageShape, Split, register, stratified_split

from ._validation import Validation, held_out

EXAMPLES, TEST = 1797, 797
CLASSES = tuple("0123456789")


@register("digits", source="Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits; scikit-learn")
class Digits(Dataset):
    """1,797 images of 8×8×1 in ten classes: 797 for testing, 1,000 for training and validation.

    Pixels are 0…16, stored as 0…255. Which image lies in which part is fixed by its id and balanced over the classes.
    """

    validation: Validation = 200
    """Images held out for validation, of the 1,000 that are not for testing: a count, or a share in [0, 1)."""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Images for training, validation and testing."""
        held = held_out(self.validation, EXAMPLES - TEST)
        return EXAMPLES - TEST - held, held, TEST

    def describe(self) -> DataSummary:
        """Return shape, classes and sizes. Raises InputError where ``validation`` leaves nothing to train on."""
        train, validation, test = self.sizes
        return DataSummary(ImageShape(1, 8, 8), CLASSES, train, validation, test)

    def fingerprint(self) -> str | None:
        """Return a digest of the packaged file and the split; None where scikit-learn keeps the file elsewhere."""
        package = importlib.util.find_spec("sklearn")
        if package is None or package.origin is None:
            return None
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if not file.is_file():
            return None
        return hashlib.sha256(file.read_bytes() + repr(self.sizes).encode()).hexdigest()

    def load(self) -> ImageData:
        """Decode the images."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        labels = digits.target.astype(np.int64)
        ids = [f"digits-{i:04d}" for i in range(len(labels))]
        train, validation, test = self.sizes
        # The test part comes first, so that it stays the same whatever is held out for validation.
        parts = stratified_split(labels, ids, (test, validation, train))
        tested, validated, trained = (Split(images[i], labels[i], tuple(ids[j] for j in i)) for i in parts)
        return ImageData(CLASSES, trained, validated, tested)
