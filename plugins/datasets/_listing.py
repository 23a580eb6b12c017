"""Lists the images of ``root/train/<class>/**`` and ``root/test/<class>/**`` without opening any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunekit import InputError

from ._examples import Examples
from ._hints import few, there

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

_File = tuple[str, int, int, int]
"""Path below the root, size in bytes, time of modification and of change in ns."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder."""

    root: Path
    classes: tuple[str, ...]
    train: Examples
    """Sorted by id, the path below the root with forward slashes."""
    test: Examples
    digest: str
    """Changes when the folder moves, or a file is added, removed or written."""

    def without(self, ids: set[str]) -> Listing:
        """Return the listing without some images. Raises InputError where a class is left with none."""
        train, test = (
            part.only([i for i, name in enumerate(part.ids) if name not in ids]) for part in (self.train, self.test)
        )
        for name, part in (("train", train), ("test", test)):
            for label in set(range(len(self.classes))) - set(part.labels.tolist()):
                raise InputError(f"{self.root / name / self.classes[label]}: none of its images can be read")
        return Listing(self.root, self.classes, train, test, self.digest)


def list_images(root: Path) -> Listing:
    """List a folder. Raises InputError, naming what is wrong, where it does not have the layout."""
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise InputError(
                f"{root}: has no folder {part!r} ({there(root)}; expected train/<class>/ and test/<class>/)"
            )
    classes = {part: _classes(root / part) for part in ("train", "test")}
    _check_classes(root, classes["train"], classes["test"])
    names = tuple(classes["train"])
    digest = hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape"))
    train, test = (_part(root, part, names, digest) for part in ("train", "test"))
    return Listing(root, names, train, test, digest.hexdigest())


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _classes(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    names = sorted(entry.name for entry in found if entry.is_dir())
    strays = sorted(entry.name for entry in found if is_image(entry.name) and entry.is_file())
    if strays:
        raise InputError(f"{folder / strays[0]}: lies in no class folder (expected {folder.name}/<class>/{strays[0]})")
    if not names:
        raise InputError(f"{folder}: has no class folders ({there(folder)})")
    return names


def _check_classes(root: Path, train: list[str], test: list[str]) -> None:
    sides = (("test", sorted(set(train) - set(test))), ("train", sorted(set(test) - set(train))))
    lacking = [f"{part} lacks {few([repr(name) for name in names])}" for part, names in sides if names]
    if lacking:
        raise InputError(f"{root}: the classes of train and test differ: {'; '.join(lacking)}")
    if len(train) == 1:
        raise InputError(f"{root}: holds one class only ({train[0]!r}): there is nothing to tell apart")


def _part(root: Path, part: str, classes: tuple[str, ...], digest: hashlib._Hash) -> Examples:
    ids: list[str] = []
    labels: list[int] = []
    above = (Path(os.path.realpath(root / part)),)
    for label, name in enumerate(classes):
        files = sorted(_images(str(root / part / name), f"{part}/{name}", above))
        if not files:
            known = ", ".join(suffix[1:] for suffix in SUFFIXES)
            raise InputError(f"{root / part / name}: holds no images ({there(root / part / name)}; expected {known})")
        digest.update(repr(files).encode(errors="surrogateescape"))
        ids += [file[0] for file in files]
        labels += [label] * len(files)
    _check_names(root, ids)
    return Examples(np.array(labels, dtype=np.int64), tuple(ids)).only(sorted(range(len(ids)), key=ids.__getitem__))


def _images(folder: str, prefix: str, above: tuple[Path, ...]) -> Iterator[_File]:
    """Yield the images of a folder that is reached through those ``above``, whose true paths these are."""
    true = Path(os.path.realpath(folder))
    if any(each.is_relative_to(true) for each in above):
        raise InputError(f"{folder}: is a link to a folder that it lies in ({true}): remove the link")
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if is_image(name) and entry.is_file():
                status = entry.stat()
                yield f"{prefix}/{name}", status.st_size, status.st_mtime_ns, status.st_ctime_ns
            elif not name.startswith(".") and entry.is_dir():
                yield from _images(entry.path, f"{prefix}/{name}", (*above, true))


def _check_names(root: Path, ids: list[str]) -> None:
    try:
        "\n".join(ids).encode()
    except UnicodeEncodeError:
        bad = next(name for name in ids if any("\ud800" <= letter <= "\udfff" for letter in name))
        raise InputError(f"{root}: the name of the file {bad!r} is no UTF-8: rename it") from None
