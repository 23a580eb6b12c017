"""What every registered dataset must keep to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_images import image_folder, npz_file

from prunekit import Dataset
from prunekit.protocols import ImageShape
from prunekit.registry import registry

NAMES = registry.names("dataset")

SMALL: dict[str, Callable[[Path], dict[str, Any]]] = {
    "imagefolder": lambda folder: {"root": str(image_folder(folder)), "validation": 3},
    "npz": lambda folder: {"path": str(npz_file(folder / "data.npz")), "validation": 3},
}
"""Options with which a data set loads at once from something small, which these write into an empty folder. Those that
are not named load with no options."""
DOWNLOADED = {"cifar10", "cifar100", "mnist", "fashion_mnist"}
"""Not loaded here, but described: their description needs no download."""
LOADED = [name for name in NAMES if name not in DOWNLOADED]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Dataset]:
    """Return a maker of data sets by name, the same each time."""
    for variable in ("PRUNEKIT_CACHE", "PRUNEKIT_DATA"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    options: dict[str, dict[str, Any]] = {}

    def make(name: str) -> Dataset:
        if name not in options:
            (folder := tmp_path / name).mkdir()
            options[name] = SMALL.get(name, lambda folder: {})(folder)
        dataset = registry.find("dataset", name)[0].plugin.model_validate(options[name])
        assert isinstance(dataset, Dataset)
        return dataset

    return make


@pytest.mark.parametrize("name", NAMES)
def test_a_description_decodes_and_downloads_nothing(name: str, make: Callable[[str], Dataset], tmp_path: Path) -> None:
    summary = make(name).describe()
    assert len(set(summary.classes)) == len(summary.classes) > 1
    assert summary.train > 0 <= summary.validation
    assert summary.test > 0
    assert min(summary.shape.channels, summary.shape.height, summary.shape.width) > 0
    assert not (tmp_path / "PRUNEKIT_CACHE").exists()
    assert not (tmp_path / "PRUNEKIT_DATA").exists()


@pytest.mark.parametrize("name", LOADED)
def test_the_description_is_true(name: str, make: Callable[[str], Dataset]) -> None:
    before, data, after = make(name).describe(), make(name).load(), make(name).describe()
    assert before == after
    assert after.classes == data.classes
    for size, split in ((after.train, data.train), (after.validation, data.validation), (after.test, data.test)):
        assert len(split.images) == len(split.labels) == len(split.ids) == size
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert ImageShape(*split.images.shape[1:]) == after.shape


@pytest.mark.parametrize("name", LOADED)
def test_parts_are_disjoint_and_the_training_and_test_parts_know_every_class(
    name: str, make: Callable[[str], Dataset]
) -> None:
    data = make(name).load()
    ids = [*data.train.ids, *data.validation.ids, *data.test.ids]
    assert len(set(ids)) == len(ids)
    for split in (data.train, data.test):
        assert set(split.labels.tolist()) == set(range(len(data.classes)))


@pytest.mark.parametrize("name", LOADED)
def test_loading_twice_gives_the_same(name: str, make: Callable[[str], Dataset]) -> None:
    first, second = make(name), make(name)
    one, other = first.load(), second.load()
    assert first.fingerprint() == second.fingerprint() is not None
    for part in ("train", "validation", "test"):
        a, b = getattr(one, part), getattr(other, part)
        assert a.ids == b.ids
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
