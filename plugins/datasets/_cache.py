"""Decoded images on disk: written once, whole or not at all; read by any number of processes, which share the pages.

An entry is a folder: ``train.npy``, ``validation.npy`` and ``test.npy`` (uint8 [N, C, H, W]) and ``entry.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import DataSummary, ImageData, ImageShape, InputError, PrunekitError, Split, tell_progress

VARIABLE = "PRUNEKIT_CACHE"
FORMAT = 1
"""Part of every entry's name: raised where the files or the decoding change."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Part:
    """What is known of a part before it is decoded."""

    labels: NDArray[np.int64]
    """[N]."""
    ids: tuple[str, ...]
    """[N]."""

    def only(self, chosen: Sequence[int] | NDArray[np.int64]) -> Part:
        """Return the part with the ``chosen`` indices alone."""
        return Part(self.labels[np.asarray(chosen, dtype=np.int64)], tuple(self.ids[i] for i in chosen))


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
    meta: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Digest of all images, labels and ids."""
        return str(self.meta["fingerprint"])

    @property
    def left_out(self) -> list[str]:
        """Ids of the images that could not be decoded."""
        return list(self.meta["left_out"])

    def summary(self) -> DataSummary:
        """Return shape, classes and sizes."""
        train, validation, test = (len(self.meta["parts"][part]["ids"]) for part in PARTS)
        return DataSummary(ImageShape(*self.meta["shape"]), tuple(self.meta["classes"]), train, validation, test)

    def load(self) -> ImageData:
        """Map the images into memory; what is not looked at is not read."""
        return ImageData(tuple(self.meta["classes"]), *(self._split(part) for part in PARTS))

    def _split(self, part: str) -> Split:
        meta = self.meta["parts"][part]
        shape = (len(meta["ids"]), *self.meta["shape"])
        try:  # copy on write: torch takes such an array without complaint, and the file stays as it is
            images = np.load(self.folder / f"{part}.npy", mmap_mode="c" if shape[0] else None, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PrunekitError(f"{self.folder}: damaged ({error}): delete the folder, and it is made again") from error
        return Split(images, np.array(meta["labels"], dtype=np.int64), tuple(meta["ids"]))


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
    return Entry(folder, json.loads((folder / "entry.json").read_text(encoding="utf-8")))


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
        meta = write(unfinished)
        (unfinished / "entry.json").write_text(json.dumps(meta), encoding="utf-8")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return _read(folder)


def write_parts(
    folder: Path,
    classes: tuple[str, ...],
    shape: ImageShape,
    parts: Mapping[str, Part],
    blocks: Callable[[str], Iterable[NDArray[np.uint8]]],
) -> dict[str, Any]:
    """Write what ``blocks`` yields of every part, uint8 [n, C, H, W] at a time, and return the meta data."""
    dimensions = (shape.channels, shape.height, shape.width)
    digest = hashlib.sha256(json.dumps([list(classes), dimensions]).encode())
    for name, part in parts.items():
        digest.update(json.dumps([name, part.labels.tolist(), list(part.ids)]).encode())
        with (folder / f"{name}.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(part.ids), *dimensions)}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks(name):
                file.write(block.data)
                digest.update(block.data)
            file.flush()
            os.fsync(file.fileno())  # else a power failure could leave a whole folder of half files
    return {
        "fingerprint": digest.hexdigest(),
        "classes": list(classes),
        "shape": dimensions,
        "parts": {name: {"labels": part.labels.tolist(), "ids": list(part.ids)} for name, part in parts.items()},
        "left_out": [],
    }
