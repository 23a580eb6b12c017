"""MNIST and Fashion-MNIST out of small idx files, and against torchvision's reading of them."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers_host import Host

from prunekit import PrunekitError
from prunekit.plugins.datasets._download import RemoteFile
from prunekit.plugins.datasets.fashion_mnist import FashionMnist
from prunekit.plugins.datasets.mnist import IdxImages, Mnist

TRAINING, TESTING = 40, 10
PLUGINS = pytest.mark.parametrize("plugin", [Mnist, FashionMnist])


def idx(array: np.ndarray) -> bytes:
    """Write bytes in the idx format: magic number, lengths (big-endian), values."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def images(part: str) -> np.ndarray:
    count = TRAINING if part == "train" else TESTING
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def labels(part: str) -> np.ndarray:
    return (np.arange(TRAINING if part == "train" else TESTING) * 7 % 10).astype(np.uint8)


@pytest.fixture
def files(host: Host, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The four files of 40 + 10 images, published at ``host``."""
    for part in ("train", "t10k"):
        host.contents[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images(part)))
        host.contents[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels(part)))
    for plugin in (Mnist, FashionMnist):
        mine = [
            RemoteFile(file.name, hashlib.md5(host.contents[file.name]).hexdigest(), (host.url(file.name),))
            for file in plugin.files
        ]
        monkeypatch.setattr(plugin, "files", tuple(mine))
    monkeypatch.setattr(IdxImages, "training", TRAINING)
    monkeypatch.setattr(IdxImages, "testing", TESTING)
    return host


@PLUGINS
@pytest.mark.usefixtures("files")
def test_images_labels_and_ids_are_those_of_the_files(plugin: type[IdxImages]) -> None:
    data = plugin(validation=0).load()
    for split, part, name in ((data.train, "train", "train"), (data.test, "t10k", "test")):
        np.testing.assert_array_equal(split.images, images(part)[:, None])
        np.testing.assert_array_equal(split.labels, labels(part))
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert split.ids == tuple(f"{plugin.name}-{name}-{i:05d}" for i in range(len(split.labels)))


@PLUGINS
@pytest.mark.usefixtures("files")
def test_the_validation_part_is_balanced(plugin: type[IdxImages]) -> None:
    data = plugin(validation=0.25).load()
    assert np.bincount(data.validation.labels).tolist() == [1] * 10
    assert np.bincount(data.train.labels).tolist() == [3] * 10
    assert plugin(validation=10).fingerprint() == plugin(validation=0.25).fingerprint() != plugin().fingerprint()


@pytest.mark.usefixtures("files")
def test_the_two_sets_whose_files_have_the_same_names_do_not_meet(kept: Path, tmp_path: Path) -> None:
    assert Mnist(root=str(tmp_path)).load().test.ids[0] == "mnist-test-00000"
    assert FashionMnist().fingerprint() is None
    FashionMnist(root=str(tmp_path)).load()
    assert FashionMnist().fingerprint() != Mnist().fingerprint()
    assert sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("*/raw/train-labels*")) == [
        "FashionMNIST/raw",
        "MNIST/raw",
    ]


@PLUGINS
def test_torchvision_reads_the_same_from_the_same_folder(
    plugin: type[IdxImages], files: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    theirs = {Mnist: datasets.MNIST, FashionMnist: datasets.FashionMNIST}[plugin]
    monkeypatch.setattr(theirs, "mirrors", [files.url("")])
    monkeypatch.setattr(theirs, "resources", [(file.name, file.md5) for file in plugin.files])
    for part, train in (("train", True), ("test", False)):
        expected = theirs(str(tmp_path), train=train, download=True)
        asked = len(files.asked)
        split = getattr(plugin(root=str(tmp_path)).load(), part)
        assert len(files.asked) == asked  # what torchvision has downloaded is used
        np.testing.assert_array_equal(split.images[:, 0], expected.data.numpy())
        np.testing.assert_array_equal(split.labels, expected.targets.numpy())


def test_checksums_mirrors_and_classes_are_torchvisions() -> None:
    from torchvision import datasets

    for plugin, theirs in ((Mnist, datasets.MNIST), (FashionMnist, datasets.FashionMNIST)):
        assert {(file.name, file.md5) for file in plugin.files} == set(theirs.resources)
        for file in plugin.files:
            assert list(file.urls) == [f"{mirror}{file.name}" for mirror in theirs.mirrors]
    assert list(FashionMnist.classes) == datasets.FashionMNIST.classes
    assert [name[0] for name in datasets.MNIST.classes] == list(Mnist.classes)


def test_somebody_who_fetches_by_hand_is_told_of_all_files() -> None:
    for file in (*Mnist.files, *FashionMnist.files):
        assert all(other.name in file.note for other in Mnist.files)


def test_a_file_that_is_missing_at_the_host_is_named_with_its_folder(files: Host, tmp_path: Path) -> None:
    del files.contents["t10k-images-idx3-ubyte.gz"]
    with pytest.raises(PrunekitError) as caught:
        Mnist(root=str(tmp_path)).load()
    assert str(tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz") in str(caught.value)
    assert Mnist().fingerprint() is None
    assert len(list(tmp_path.glob("MNIST/raw/[!.]*"))) == 3  # whole files stay, and are not downloaded again


def test_describing_needs_no_file_and_makes_none(kept: Path) -> None:
    for plugin in (Mnist, FashionMnist):
        summary = plugin(validation=10_000).describe()
        assert (summary.train, summary.validation, summary.test) == (50_000, 10_000, 10_000)
        assert (summary.shape.channels, summary.shape.height, summary.shape.width) == (1, 28, 28)
        assert len(summary.classes) == 10
    assert not kept.exists()
