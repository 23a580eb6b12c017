"""Reads arrays out of an .npz file: headers first, so that what is wrong is known before anything large is read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunekit import InputError, did_you_mean

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What reading a member of a zip file raises; the last where it is encrypted, or packed in a way unknown here."""


class Header(NamedTuple):
    """What is known of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


def read_headers(path: Path, keys: Sequence[str]) -> dict[str, Header]:
    """Return the headers of the arrays called ``keys``. Raises InputError where there is no such file or array."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            for key in keys:
                if key not in names:
                    others = did_you_mean(key, set(names) - set(keys))
                    raise InputError(f"{path}: has no array {key!r}{others}")
            return {key: _header(archive, path, key) for key in keys}
    except zipfile.BadZipFile:
        raise InputError(f"{path}: is no .npz file (numpy.savez writes one)") from None


def read_array(path: Path, key: str, header: Header) -> NDArray[np.generic]:
    """Return an array; objects are never unpickled.

    Raises InputError where the file is damaged, or the array is no longer what ``header`` says.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: NDArray[np.generic] = arrays[key]
    except (*_DAMAGE, KeyError, ValueError) as error:
        raise InputError(f"{path}: {key} is damaged: {error}") from error
    if Header(array.shape, array.dtype) != header:
        raise InputError(f"{path}: {key} was {header} a moment ago and is {Header(array.shape, array.dtype)} now")
    return array


def _header(archive: zipfile.ZipFile, path: Path, key: str) -> Header:
    try:
        with archive.open(f"{key}.npy") as file:
            shape, _, dtype = _READERS[np.lib.format.read_magic(file)](file)
    except _DAMAGE as error:
        raise InputError(f"{path}: {key} is damaged: {error}") from error
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: {key} is no array of numbers: {error}") from error
    if dtype.hasobject:
        raise InputError(f"{path}: {key} holds Python objects, which are never read: expected an array of numbers")
    return Header(shape, dtype)
