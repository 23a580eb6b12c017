"""What every registered dataset that needs no download must keep to."""

import numpy as np
import pytest

from prunekit import Dataset
from prunekit.protocols import ImageShape
from prunekit.registry import registry

NAMES = registry.names("dataset")


def make(name: str) -> Dataset:
    dataset = registry.find("dataset", name)[0].plugin.model_validate({})
    assert isinstance(dataset, Dataset)
    return dataset


@pytest.mark.parametrize("name", NAMES)
def test_the_description_is_true(name: str) -> None:
    summary, data = make(name).describe(), make(name).load()
    assert summary.classes == data.classes
    assert len(set(data.classes)) == len(data.classes)
    for size, split in ((summary.train, data.train), (summary.validation, data.validation), (summary.test, data.test)):
        assert len(split.images) == len(split.labels) == len(split.ids) == size
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert ImageShape(*split.images.shape[1:]) == summary.shape


@pytest.mark.parametrize("name", NAMES)
def test_parts_are_disjoint_and_the_training_and_test_parts_know_every_class(name: str) -> None:
    data = make(name).load()
    ids = [*data.train.ids, *data.validation.ids, *data.test.ids]
    assert len(set(ids)) == len(ids)
    for split in (data.train, data.test):
        assert set(split.labels.tolist()) == set(range(len(data.classes)))


@pytest.mark.parametrize("name", NAMES)
def test_loading_twice_gives_the_same(name: str) -> None:
    first, second = make(name), make(name)
    assert first.fingerprint() == second.fingerprint()
    for part in ("train", "validation", "test"):
        one, other = getattr(first.load(), part), getattr(second.load(), part)
        assert one.ids == other.ids
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
