"""What a data set keeps to. Its images are loaded: where they are downloaded, that happens here, too."""

from __future__ import annotations

import numpy as np

from prunekit.images import ImageShape, Split
from prunekit.protocols import Dataset
from prunekit.testing.contract import Suite

suite = Suite("dataset")
PARTS = ("train", "validation", "test")


@suite.states
def its_description_makes_sense(dataset: Dataset) -> None:
    """At least two classes, and images to train with and to test with."""
    summary = dataset.describe()
    assert len(set(summary.classes)) == len(summary.classes) > 1, f"the classes are {summary.classes}"
    assert summary.train > 0, "there are no training images"
    assert summary.test > 0, "there are no test images"
    assert summary.validation >= 0, f"there are {summary.validation} validation images"
    shape = summary.shape
    assert min(shape.channels, shape.height, shape.width) > 0, f"the images are {shape}"


@suite.states
def the_description_is_true(dataset: Dataset) -> None:
    """Before and after loading: uint8 images [N, C, H, W], int64 labels and ids."""
    before, data, after = dataset.describe(), dataset.load(), dataset.describe()
    assert before == after, f"the description was {before}, after loading it is {after}"
    assert after.classes == data.classes, f"the classes are described as {after.classes} and loaded as {data.classes}"
    for part in PARTS:
        split: Split = getattr(data, part)
        said = getattr(after, part)
        sizes = len(split.images), len(split.labels), len(split.ids)
        assert set(sizes) == {said}, f"{part}: {said} examples described, {sizes} images, labels and ids loaded"
        assert split.images.dtype == np.uint8, f"{part}: the images are {split.images.dtype}: expected uint8"
        assert split.labels.dtype == np.int64, f"{part}: the labels are {split.labels.dtype}: expected int64"
        shape = ImageShape(*split.images.shape[1:])
        assert shape == after.shape, f"{part}: the images are {shape}, described as {after.shape}"


@suite.states
def parts_are_disjoint_and_know_every_class(dataset: Dataset) -> None:
    """No id stands twice; the training and test parts have every class."""
    data = dataset.load()
    ids = [*data.train.ids, *data.validation.ids, *data.test.ids]
    assert len(set(ids)) == len(ids), f"{len(ids) - len(set(ids))} ids stand more than once"
    for part in ("train", "test"):
        found = set(getattr(data, part).labels.tolist())
        assert found == set(range(len(data.classes))), f"{part}: the labels are {sorted(found)}"


@suite.states
def loading_twice_gives_the_same(dataset: Dataset) -> None:
    """Images, labels, ids and fingerprint, of two instances."""
    other = type(dataset).model_validate(dataset.model_dump(mode="json", by_alias=True))
    first, second = dataset.load(), other.load()
    assert dataset.fingerprint() is not None, "there is no fingerprint after loading"
    assert dataset.fingerprint() == other.fingerprint(), "another instance has another fingerprint"
    for part in PARTS:
        one, two = getattr(first, part), getattr(second, part)
        assert one.ids == two.ids, f"{part}: other ids"
        assert np.array_equal(one.images, two.images), f"{part}: other images"
        assert np.array_equal(one.labels, two.labels), f"{part}: other labels"
