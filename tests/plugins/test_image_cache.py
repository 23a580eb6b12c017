"""Decoded images on disk: whole or not at all, made once, shared; and what this machine cannot hold."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_images import image_folder

from prunekit import InputError, PrunekitError
from prunekit.plugins.datasets import _cache, _limits, imagefolder
from prunekit.plugins.datasets._decoding import Decoder
from prunekit.plugins.datasets.imagefolder import ImageFolder

BYTES = 21 * 6 * 5 * 3
"""Of the pixels of :func:`image_folder`."""

SLOW = """
import sys, time
from prunekit.plugins.datasets import _decoding
from prunekit.plugins.datasets.imagefolder import ImageFolder

plain = _decoding.Decoder._block

def slowly(self, names):
    print("decoding", flush=True)
    time.sleep(float(sys.argv[2]))
    return plain(self, names)

_decoding.Decoder._block = slowly
dataset = ImageFolder(root=sys.argv[1])
dataset.load()
print(dataset.fingerprint())
"""


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    return image_folder(tmp_path / "pets")


def started(root: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that decodes slowly, and has begun to."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(root), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "decoding\n"
    return process


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "images").iterdir() if path.suffix != ".lock")


# ------------------------------------------------------------------------------------------------ whole or not at all


def test_a_run_that_is_killed_leaves_no_entry_and_the_next_one_starts_afresh(root: Path, cache: Path) -> None:
    process = started(root, 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [Path(name).suffix for name in entries(cache)] == [".unfinished"]
    assert ImageFolder(root=str(root)).fingerprint() is None
    assert len(ImageFolder(root=str(root)).load().train.ids) == 15
    assert [Path(name).suffix for name in entries(cache)] == [""]


def test_an_error_while_decoding_leaves_nothing(root: Path, cache: Path) -> None:
    (root / "test" / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(InputError):
        ImageFolder(root=str(root)).load()
    assert entries(cache) == []


def test_of_two_runs_one_decodes_and_the_other_waits(root: Path, cache: Path) -> None:
    first = started(root, 1)
    begun = time.monotonic()
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "blocks", lambda *_: pytest.fail("decoded a second time"))
        patch.setattr(_cache, "tell_progress", lambda what, done: told.append(what))
        data = ImageFolder(root=str(root)).load()
    assert told == ["waiting for another run that decodes the same images"]
    assert time.monotonic() - begun > 0.5
    assert len(data.train.ids) == 15
    out, _ = first.communicate()
    assert out.split()[-1] == ImageFolder(root=str(root)).fingerprint()


def test_a_second_load_opens_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ImageFolder(root=str(root)).load()
    monkeypatch.setattr(imagefolder, "opened", lambda path: pytest.fail(f"opened {path}"))
    monkeypatch.setattr(Decoder, "blocks", lambda *_: pytest.fail("decoded"))
    again = ImageFolder(root=str(root))
    assert again.describe().train == 15
    np.testing.assert_array_equal(again.load().train.images, first.train.images)


def test_pages_are_shared_and_what_is_written_to_them_stays_with_the_process(root: Path) -> None:
    images = ImageFolder(root=str(root)).load().train.images
    assert isinstance(images, np.memmap)
    before = images.copy()
    torch.from_numpy(np.ascontiguousarray(images))[:] = 0  # without a copy, and without the warning of read-only arrays
    assert not images.any()
    np.testing.assert_array_equal(ImageFolder(root=str(root)).load().train.images, before)


def test_an_entry_that_was_damaged_is_told(root: Path, cache: Path) -> None:
    ImageFolder(root=str(root)).load()
    (file,) = cache.rglob("train.npy")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PrunekitError, match=r"damaged .* delete the folder, and it is made again"):
        ImageFolder(root=str(root)).load()


@pytest.mark.parametrize("text", ["", '{"shape": [3, 6', "{}", "[]", '{"shape": [3, 6, 5], "parts": null}'])
def test_meta_data_that_were_damaged_are_told_in_one_line(root: Path, cache: Path, text: str) -> None:
    ImageFolder(root=str(root)).load()
    (file,) = cache.rglob("entry.json")
    file.write_text(text)
    _cache._read.cache_clear()  # as in another process
    for act in (ImageFolder(root=str(root)).describe, ImageFolder(root=str(root)).load):
        with pytest.raises(PrunekitError, match=r"damaged .* delete the folder, and it is made again") as error:
            act()
        assert str(file.parent) in str(error.value)
        assert "\n" not in str(error.value)


def test_images_of_another_shape_are_damage(root: Path, cache: Path) -> None:
    ImageFolder(root=str(root)).load()
    (file,) = cache.rglob("train.npy")
    np.save(file, np.zeros((15, 3, 5, 6), np.uint8))
    with pytest.raises(PrunekitError, match=r"train.npy is \(15, 3, 5, 6\), expected \(15, 3, 6, 5\)"):
        ImageFolder(root=str(root)).load()


def test_an_entry_that_was_deleted_by_half_is_made_again(root: Path, cache: Path) -> None:
    before = ImageFolder(root=str(root)).load()
    (file,) = cache.rglob("entry.json")
    file.unlink()
    assert ImageFolder(root=str(root)).fingerprint() is None
    np.testing.assert_array_equal(ImageFolder(root=str(root)).load().train.images, before.train.images)
    assert file.is_file()


@pytest.mark.skipif(os.name == "nt", reason="folders are not flushed there")
def test_all_of_an_entry_is_on_the_disk_before_it_counts_and_its_name_afterwards(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.readlink(f"/proc/self/fd/{handle}")))
    ImageFolder(root=str(root)).load()
    (name,) = (each for each in entries(cache))
    unfinished = f"{cache}/images/{name}.unfinished"
    files = [f"{unfinished}/{file}" for file in ("train.npy", "test.npy", "entry.json")]
    assert flushed == [*files, unfinished, f"{cache}/images"]


def test_another_validation_part_is_cut_from_what_is_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ImageFolder(root=str(root)).load()
    monkeypatch.setattr(Decoder, "blocks", lambda *_: pytest.fail("decoded a second time"))
    seen = set()
    for validation in (0, 3, 6):
        for skip_broken in (False, True):
            dataset = ImageFolder(root=str(root), validation=validation, skip_broken=skip_broken)
            assert len(dataset.load().validation.ids) == dataset.describe().validation == validation
            seen.add(dataset.fingerprint())
    assert len(seen) == 3
    with pytest.raises(InputError, match="leaves 1 of the classes without training images"):
        ImageFolder(root=str(root), validation=13).describe()


def test_the_fingerprint_is_the_digest_of_what_is_loaded_and_is_made_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ImageFolder(root=str(root), validation=3)
    data = dataset.load()
    expected = hashlib.sha256(b'[["bee", "cat", "dog"], [3, 6, 5]]')
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        expected.update(json.dumps([name, split.labels.tolist(), split.ids]).encode() + split.images.tobytes())
    assert dataset.fingerprint() == expected.hexdigest()
    monkeypatch.setattr(_cache, "_digest", lambda data: pytest.fail("made a second time"))
    assert ImageFolder(root=str(root), validation=0.2).fingerprint() == expected.hexdigest()


def test_a_cache_that_may_only_be_read_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ImageFolder(root=str(root))
    before.load()

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(_cache, "_write_text", refused)
    assert ImageFolder(root=str(root), validation=3).fingerprint() is not None


# -------------------------------------------------------------------------------------------------------- the folder


def test_the_folder_is_the_systems_for_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PRUNEKIT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if sys.platform != "win32":
        assert _cache.cache_root() == tmp_path / ".cache" / "prunekit"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert _cache.cache_root() == tmp_path / "xdg" / "prunekit"
    monkeypatch.setenv("PRUNEKIT_CACHE", str(tmp_path / "mine"))
    assert _cache.cache_root() == tmp_path / "mine"


def test_a_folder_that_cannot_be_written_is_told_with_the_variable(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="PRUNEKIT_CACHE"):
        ImageFolder(root=str(root)).load()


# ----------------------------------------------------------------------------------------------------- room for it

Usage = namedtuple("Usage", "total used free")


def with_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 0, free + _limits._RESERVE))


def test_a_disk_that_is_too_small_is_refused_before_decoding(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_disk(monkeypatch, BYTES - 1)
    monkeypatch.setattr(Decoder, "blocks", lambda *_: pytest.fail("decoded"))
    for act in (ImageFolder(root=str(root)).describe, ImageFolder(root=str(root)).load):
        with pytest.raises(InputError) as error:
            act()
        assert "the decoded images take 0.0 MB of disk and 0.0 MB are free in" in str(error.value)
        assert "set PRUNEKIT_CACHE to a folder on a larger disk" in str(error.value)
    assert not cache.exists()


def test_a_disk_that_fills_up_meanwhile_is_told_and_leaves_nothing(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device: set PRUNEKIT_CACHE"):
        ImageFolder(root=str(root)).load()
    assert entries(cache) == []


def test_a_disk_that_is_just_large_enough_is_not_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_disk(monkeypatch, BYTES)
    assert len(ImageFolder(root=str(root)).load().train.ids) == 15


def test_what_is_decoded_already_needs_no_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ImageFolder(root=str(root)).load()
    with_disk(monkeypatch, 0)
    assert len(ImageFolder(root=str(root)).load().train.ids) == 15
