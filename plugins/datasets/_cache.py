"""Decoded images on disk: written once, whole or not at all; read by any number of processes, which share the pages.

An entry is a folder: ``train.npy`` and ``test.npy`` (uint8 [N, C, H, W]), ``entry.json``, and for every split that was
asked for a file with its fingerprint. Images for validation are cut from those for training when they are loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from prunekit import DataSummary, ImageData, ImageShape, InputError, PrunekitError, Split, tell_progress

from ._examples import Examples
from ._validation import cut_validation, held_out, without_validation

VARIABLE = "PRUNEKIT_CACHE"
FORMAT = 2
"""Part of every entry's name: raised where the files, the decoding or the way to cut or digest a split change."""
PARTS = ("train", "test")


def cache_root() -> Path:
    """Return ``$PRUNEKIT_CACHE``, or the folder that the system has for caches."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "prunekit" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "prunekit"


@dataclass(frozen=True)
class Entry:
    """A decoded data set on disk."""

    folder: Path
    classes: tuple[str, ...]
    shape: ImageShape
    examples: Mapping[str, Examples]
    """Of ``train``, those for validation among them, and of ``test``; each in the order of the ids."""
    left_out: Mapping[str, str]
    """Why, by id, images could not be decoded."""

    def summary(self, validation: int | float) -> DataSummary:
        """Return shape, classes and sizes. Raises InputError where a class keeps nothing to train on."""
        train, test = (self.examples[part] for part in PARTS)
        kept, held = cut_validation(train.labels, train.ids, validation)
        return DataSummary(self.shape, self.classes, len(kept), len(held), len(test.ids))

    def fingerprint(self, validation: int | float) -> str:
        """Return the digest of what :meth:`load` returns: all pixels are read the first time, then it is stored."""
        stored = self.folder / f"validation-{held_out(validation, len(self.examples['train'].ids))}.sha256"
        if stored.is_file():
            return stored.read_text(encoding="ascii")
        digest = _digest(self.load(validation))
        with suppress(OSError):  # a cache that may only be read: then it is made anew each time
            unfinished = stored.with_suffix(f".{uuid4().hex}")
            try:
                _write_text(unfinished, digest)
                unfinished.replace(stored)
            finally:
                unfinished.unlink(missing_ok=True)
        return digest

    def load(self, validation: int | float) -> ImageData:
        """Map the images into memory; what is not looked at is not read.

        Pages are shared with other processes; where images are held out, those for training are copied.
        """
        train, test = (self._split(part) for part in PARTS)
        return ImageData(self.classes, *without_validation(train, validation), test)

    def _split(self, part: str) -> Split:
        examples, file = self.examples[part], self.folder / f"{part}.npy"
        expected = (len(examples.ids), self.shape.channels, self.shape.height, self.shape.width)
        try:  # copy on write: torch takes such an array without complaint, and the file stays as it is
            images = np.load(file, mmap_mode="c", allow_pickle=False)
            if images.shape != expected:
                raise ValueError(f"{file.name} is {images.shape}, expected {expected}")
        except (OSError, ValueError) as error:
            raise _damaged(self.folder, error) from error
        return Split(images, examples.labels, examples.ids)


def find(key: str) -> Entry | None:
    """Return the entry of ``key`` where there is one."""
    folder = _folder(key)
    return _read(folder) if (folder / "entry.json").is_file() else None


def make(key: str, write: Callable[[Path], dict[str, Any]]) -> Entry:
    """Return the entry of ``key``; where there is none, ``write`` fills a folder with arrays and returns the meta data.

    One process writes, others wait for it. Raises InputError where nothing may be written.
    """
    folder = _folder(key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock"), "decodes the same images"):
            return find(key) or _write(folder, write)
    except OSError as error:  # errors about the images themselves have their own words by now
        where = error.filename or folder
        raise InputError(
            f"{where}: {error.strerror or error}: set {VARIABLE} to a folder that can be written"
        ) from error


def _folder(key: str) -> Path:
    return cache_root() / "images" / f"{FORMAT}-{key}"


@lru_cache(maxsize=8)
def _read(folder: Path) -> Entry:
    try:
        meta = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        shape, parts = ImageShape(*meta["shape"]), meta["parts"]
        examples = {
            part: Examples(np.array(parts[part]["labels"], dtype=np.int64), tuple(parts[part]["ids"])) for part in PARTS
        }
        return Entry(folder, tuple(meta["classes"]), shape, examples, dict(meta["left_out"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> PrunekitError:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return PrunekitError(f"{folder}: damaged ({what}): delete the folder, and it is made again")


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock that one process has at a time; the system frees it when the process ends, however it ends.

    ``doing`` is what is said of the run that has to be waited for: ``decodes the same images``.
    """
    from filelock import FileLock, Timeout  # these take 40 ms

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell_progress(f"waiting for another run that {doing}", 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write(folder: Path, write: Callable[[Path], dict[str, Any]]) -> Entry:
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # a run that was killed left it
    unfinished.mkdir()
    try:
        _write_text(unfinished / "entry.json", json.dumps(write(unfinished)))
        _flush_folder(unfinished)
        shutil.rmtree(folder, ignore_errors=True)  # what is left of one that somebody deleted by half
        unfinished.rename(folder)
        _flush_folder(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return _read(folder)


def write_parts(
    folder: Path,
    classes: tuple[str, ...],
    shape: ImageShape,
    parts: Mapping[str, Examples],
    blocks: Callable[[str], Iterable[NDArray[np.uint8]]],
    left_out: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write what ``blocks`` yields of every part, uint8 [n, C, H, W] at a time, and return the meta data."""
    dimensions = (shape.channels, shape.height, shape.width)
    for name, part in parts.items():
        with (folder / f"{name}.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(part.ids), *dimensions)}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks(name):
                file.write(block.data)
            _flush(file)
    return {
        "classes": list(classes),
        "shape": dimensions,
        "parts": {name: {"labels": part.labels.tolist(), "ids": list(part.ids)} for name, part in parts.items()},
        "left_out": dict(left_out or {}),
    }


def _digest(data: ImageData) -> str:
    """Return a digest of all images, labels and ids, in their order, and of the names of the classes."""
    digest = hashlib.sha256(json.dumps([list(data.classes), data.train.images.shape[1:]]).encode())
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        digest.update(json.dumps([name, split.labels.tolist(), list(split.ids)]).encode())
        digest.update(split.images.data)
    return digest.hexdigest()


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        _flush(file)


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())  # else a power failure could leave a whole folder of half files


def _flush_folder(folder: Path) -> None:
    """Do the same for the names in a folder."""
    if os.name == "nt":  # which does so by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
