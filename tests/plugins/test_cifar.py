"""CIFAR-10 and CIFAR-100 out of small archives in the true format."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers_host import Host
from pydantic import ValidationError

from prunekit import InputError, PrunekitError, run
from prunekit.plugins.datasets import _cache
from prunekit.plugins.datasets._download import RemoteFile
from prunekit.plugins.datasets.cifar import Cifar10, Cifar100

TRAINING, TESTING = 100, 20


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return buffer.getvalue()


def pixels(number: int) -> np.ndarray:
    """Return the image that stands at place ``number`` of the whole set: [3, 32, 32]."""
    return np.random.default_rng(number).integers(0, 256, (3, 32, 32), dtype=np.uint8)


def record(*labels: int, number: int) -> bytes:
    """Write a record as the format is described: the labels, then red, green and blue, row by row."""
    image = pixels(number)
    planes = [bytes(int(image[c, y, x]) for y in range(32) for x in range(32)) for c in range(3)]
    return bytes(labels) + b"".join(planes)


def cifar10_archive() -> bytes:
    """Return 5 × 20 training and 20 test records; the label of record i is i mod 10. Members are out of order."""
    batches = {
        f"data_batch_{b + 1}.bin": b"".join(record(i % 10, number=i) for i in range(20 * b, 20 * b + 20))
        for b in range(5)
    }
    batches["test_batch.bin"] = b"".join(record(i % 10, number=i) for i in range(100, 120))
    members = {"readme.html": b"<p>", "batches.meta.txt": b"airplane\n"} | dict(reversed(batches.items()))
    return archive({f"cifar-10-batches-bin/{name}": contents for name, contents in members.items()})


def publish(monkeypatch: pytest.MonkeyPatch, host: Host, plugin: type[Cifar10] | type[Cifar100], body: bytes) -> None:
    """Let ``host`` stand for the publisher of a set of 100 + 20 images."""
    name = plugin.files[0].name
    host.contents[name] = body
    file = RemoteFile(name, hashlib.md5(body).hexdigest(), (host.url(name),), plugin.files[0].note)
    monkeypatch.setattr(plugin, "files", (file,))
    monkeypatch.setattr(plugin, "training", TRAINING)
    monkeypatch.setattr(plugin, "testing", TESTING)


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch, host: Host, kept: Path) -> Host:
    publish(monkeypatch, host, Cifar10, cifar10_archive())
    return host


@pytest.mark.usefixtures("cifar10")
def test_every_record_becomes_its_image_label_and_id_in_the_official_order() -> None:
    data = Cifar10().load()
    for split, part, first in ((data.train, "train", 0), (data.test, "test", TRAINING)):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        for i, (image, label, name) in enumerate(zip(split.images, split.labels, split.ids, strict=True)):
            np.testing.assert_array_equal(image, pixels(first + i))
            assert (label, name) == ((first + i) % 10, f"cifar10-{part}-{i:05d}")
    assert (len(data.train.ids), len(data.validation.ids), len(data.test.ids)) == (TRAINING, 0, TESTING)
    assert data.validation.images.shape == (0, 3, 32, 32)


@pytest.mark.usefixtures("kept")
def test_of_the_two_labels_of_cifar_100_the_fine_one_counts(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    train = b"".join(record(i % 20, 99 - i, number=i) for i in range(TRAINING))
    test = b"".join(record(3, 50, number=i) for i in range(TRAINING, TRAINING + TESTING))
    publish(
        monkeypatch, host, Cifar100, archive({"cifar-100-binary/test.bin": test, "cifar-100-binary/train.bin": train})
    )
    data = Cifar100().load()
    assert data.train.labels.tolist() == list(range(99, -1, -1))
    assert data.test.labels.tolist() == [50] * TESTING
    np.testing.assert_array_equal(data.train.images[7], pixels(7))
    np.testing.assert_array_equal(data.test.images[-1], pixels(119))
    assert data.test.ids[0] == "cifar100-test-00000"


@pytest.mark.usefixtures("cifar10")
def test_the_validation_part_is_balanced_and_taken_from_training_alone() -> None:
    whole, cut = Cifar10().load(), Cifar10(validation=30).load()
    assert np.bincount(cut.validation.labels).tolist() == [3] * 10
    assert np.bincount(cut.train.labels).tolist() == [7] * 10
    assert sorted(cut.train.ids + cut.validation.ids) == list(whole.train.ids)
    assert cut.test.ids == whole.test.ids
    for split in (cut.train, cut.validation):
        for image, label, name in zip(split.images, split.labels, split.ids, strict=True):
            place = whole.train.ids.index(name)
            assert label == whole.train.labels[place]
            np.testing.assert_array_equal(image, whole.train.images[place])


@pytest.mark.usefixtures("cifar10")
def test_the_fingerprint_is_known_from_the_first_load_on_and_follows_the_split(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Cifar10().fingerprint() is None
    Cifar10().load()
    known = Cifar10().fingerprint()
    assert known is not None
    assert Cifar10(root=str(tmp_path / "elsewhere")).fingerprint() == known
    assert Cifar10(validation=20).fingerprint() == Cifar10(validation=0.2).fingerprint() != known
    monkeypatch.setattr(Cifar10, "files", (RemoteFile("cifar-10-binary.tar.gz", "another", ()),))
    assert Cifar10().fingerprint() is None


@pytest.mark.usefixtures("cifar10")
def test_a_fingerprint_that_cannot_be_stored_is_told_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    Cifar10().load()
    known = Cifar10().fingerprint()
    for stored in _cache.cache_root().rglob("*.sha256"):
        stored.unlink()
    before = sorted(_cache.cache_root().rglob("*"))
    monkeypatch.setattr(Path, "replace", full)
    assert Cifar10().fingerprint() == known
    assert sorted(_cache.cache_root().rglob("*")) == before


@pytest.mark.usefixtures("cifar10")
def test_the_fingerprint_follows_what_was_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    Cifar10().load()
    known = Cifar10().fingerprint()
    plain = Cifar10.decode
    monkeypatch.setattr(_cache, "FORMAT", _cache.FORMAT + 1)
    Cifar10().load()
    assert Cifar10().fingerprint() == known  # the same pixels, whatever the format
    monkeypatch.setattr(_cache, "FORMAT", _cache.FORMAT + 1)
    monkeypatch.setattr(Cifar10, "decode", lambda self, paths: (plain(self, paths)[0], plain(self, paths)[1] ^ 1))
    Cifar10().load()
    assert Cifar10().fingerprint() not in (known, None)


def test_files_lie_in_the_root_and_decoded_images_where_prunekit_keeps_them(
    cifar10: Host, kept: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mine"
    Cifar10(root=str(root)).load()
    assert [path.name for path in root.glob("[!.]*")] == ["cifar-10-binary.tar.gz"]
    assert not (kept / "data").exists()
    assert sum(path.stat().st_size for path in kept.rglob("*.npy")) > (TRAINING + TESTING) * 3072
    Cifar10().load()  # needs no archive any more, wherever it would be
    assert cifar10.asked == ["cifar-10-binary.tar.gz"]


def test_an_archive_that_is_there_already_is_used(cifar10: Host, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(cifar10.contents["cifar-10-binary.tar.gz"])
    assert len(Cifar10(root=str(tmp_path)).load().train.ids) == TRAINING
    assert cifar10.asked == []


def test_another_archive_of_that_name_is_refused(cifar10: Host, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive({}))
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz: its md5 is [0-9a-f]{32}, expected [0-9a-f]{32}"):
        Cifar10(root=str(tmp_path)).load()
    assert {path.suffix for path in kept.rglob("*") if path.is_file()} == {".lock"}
    assert cifar10.asked == []


@pytest.mark.usefixtures("cifar10")
def test_changing_loaded_images_changes_nothing_for_others() -> None:
    first = Cifar10().load()
    first.train.images[:] = 0
    np.testing.assert_array_equal(Cifar10().load().train.images[0], pixels(0))


class _Trap:
    """Ends the process where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.abort, ()


def test_the_python_version_is_not_unpickled_but_explained(cifar10: Host, tmp_path: Path) -> None:
    trap = pickle.dumps({"data": _Trap(), "labels": []})
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(archive({"cifar-10-batches-py/data_batch_1": trap}))
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(trap)
    cifar10.contents.clear()
    with pytest.raises(PrunekitError, match="the Python version is not read, because unpickling may run code"):
        Cifar10(root=str(tmp_path)).load()


def test_a_disk_without_room_for_the_images_is_refused_before_the_download(
    cifar10: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cifar10, "training", 10**15)
    with pytest.raises(InputError, match=r"take 3,072,000,000\.0 GB of disk and .* set PRUNEKIT_CACHE"):
        Cifar10().load()
    assert cifar10.asked == []


def test_describing_needs_no_file_and_makes_none(kept: Path) -> None:
    ten, hundred = Cifar10(validation=5000).describe(), Cifar100(validation=0.1).describe()
    for summary in (ten, hundred):
        assert (summary.train, summary.validation, summary.test) == (45_000, 5_000, 10_000)
        assert (summary.shape.channels, summary.shape.height, summary.shape.width) == (3, 32, 32)
    assert ten.classes[3] == "cat"
    assert (len(set(ten.classes)), len(set(hundred.classes))) == (10, 100)
    assert hundred.classes == tuple(sorted(hundred.classes))  # the official labels are alphabetical
    assert (hundred.classes[0], hundred.classes[50], hundred.classes[99]) == ("apple", "mouse", "worm")
    assert not kept.exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_describing_imports_nothing_heavy(name: str, kept: Path) -> None:
    program = (
        f"import sys; from prunekit.registry import registry; data = registry.find('dataset', {name!r})[0].plugin();"
        "data.describe(); assert data.fingerprint() is None;"
        "assert not {'torch', 'torchvision', 'sklearn', 'urllib.request'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not kept.exists()


@pytest.mark.parametrize("size", [-1, 1.0, -0.1, float("nan"), True, "200"])
def test_impossible_validation_sizes_are_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        Cifar10.model_validate({"validation": size})


def test_a_validation_part_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(InputError, match=r"50000 images cannot be held out of 50000"):
        Cifar10(validation=50_000).describe()


RECIPE = """\
name: tiny
plugins: [small.py]
data: small
model: wrn10_1
seeds: 1
populations:
  dense: {stages: {train: {objective: cross_entropy, epochs: 1, batch_size: 50, optimizer: {name: sgd, lr: 0.1}}}}
measures: [accuracy]
"""
PLUGIN = """\
from prunekit import register
from prunekit.plugins.datasets._download import RemoteFile
from prunekit.plugins.datasets.cifar import Cifar10


@register("small")
class Small(Cifar10):
    '''CIFAR-10, but small.'''

    files = (RemoteFile("small.tar.gz", "{md5}", ("{url}",)),)
    training, testing = 100, 20
"""


def small_recipe(folder: Path, host: Host) -> Path:
    host.contents["small.tar.gz"] = cifar10_archive()
    md5 = hashlib.md5(host.contents["small.tar.gz"]).hexdigest()
    (folder / "small.py").write_text(PLUGIN.format(md5=md5, url=host.url("small.tar.gz")))
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder / "tiny.yaml"


def test_a_run_downloads_once_and_its_processes_read_what_it_keeps(host: Host, kept: Path, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, host)
    heard: list[str] = []
    result = run(recipe, out=tmp_path / "runs", jobs=1, listener=lambda event: heard.append(event.data.get("what", "")))
    assert (result.done, result.failures) == (2, {})
    assert "downloading small.tar.gz" in heard
    assert run(recipe, out=tmp_path / "runs", jobs=1).done == 0
    assert host.asked == ["small.tar.gz"]


def test_a_run_whose_data_cannot_be_had_ends_before_any_training(host: Host, kept: Path, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, host)
    host.contents.clear()
    with pytest.raises(PrunekitError, match=r"small\.tar\.gz cannot be downloaded .* HTTP 404"):
        run(recipe, out=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("st*/*"))
