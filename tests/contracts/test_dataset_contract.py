"""Every registered data set keeps to its contract."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers_contract import contract, hold
from helpers_images import image_folder, npz_file

from prunekit import Dataset
from prunekit.registry import registry
from prunekit.testing import Check

NAMES = registry.names("dataset")

SMALL: dict[str, Callable[[Path], dict[str, Any]]] = {
    "imagefolder": lambda folder: {"root": str(image_folder(folder)), "validation": 3},
    "npz": lambda folder: {"path": str(npz_file(folder / "data.npz")), "validation": 3},
}
"""Options with which a data set loads at once from something small, which these write into an empty folder. Those that
are not named load with no options."""
DOWNLOADED = {"cifar10", "cifar100", "mnist", "fashion_mnist"}
"""Not loaded here, but described: their description needs no download."""


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
    assert summary.train > 0 < summary.test
    assert not (tmp_path / "PRUNEKIT_CACHE").exists()
    assert not (tmp_path / "PRUNEKIT_DATA").exists()


@contract("dataset", [name for name in NAMES if name not in DOWNLOADED])
def test_contract(name: str, check: Check, make: Callable[[str], Dataset]) -> None:
    hold(check, make(name))
