"""MNIST, from the files and in the folder that torchvision uses."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunekit import ImageShape, register

from ._download import RemoteFile
from ._official import Decoded, OfficialImages

NAMES = ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
"""The four files of the format, labels first."""


def idx_files(mirrors: tuple[str, ...], md5s: tuple[str, str, str, str]) -> tuple[RemoteFile, ...]:
    """Return the four files with their checksums (in the order of ``NAMES``), as any of ``mirrors`` has them."""
    note = f"the set is {', '.join(f'{name}.gz' for name in NAMES)}"
    return tuple(
        RemoteFile(f"{name}.gz", md5, tuple(f"{mirror}{name}.gz" for mirror in mirrors), note)
        for name, md5 in zip(NAMES, md5s, strict=True)
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped idx file of bytes: two zeros, type (8: bytes), rank, big-endian lengths, values."""
    contents = gzip.decompress(path.read_bytes())
    rank = contents[3]
    shape = np.frombuffer(contents, ">u4", rank, offset=4)
    return np.frombuffer(contents, np.uint8, offset=4 + 4 * rank).reshape(shape)


class IdxImages(OfficialImages):
    """70,000 grey images of 28×28 in ten classes."""

    shape = ImageShape(1, 28, 28)
    training = 60_000
    testing = 10_000

    def decode(self, paths: list[Path]) -> Decoded:
        """Read the four files."""
        arrays = [read_idx(path) for path in paths]
        return np.concatenate(arrays[:2]), np.concatenate(arrays[2:])[:, None]


@register("mnist", source="LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition")
class Mnist(IdxImages):
    """70,000 handwritten digits, 28×28 in grey, 10,000 of them for testing. 12 MB to download."""

    subfolder = "MNIST/raw"
    classes = tuple("0123456789")
    files = idx_files(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        (
            "d53e105ee54ea40749a09fcbcd1e9432",
            "ec29112dd5afa0611ce80d1b7f02629c",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "9fb629c4189551a2d022fa330f9573f3",
        ),
    )
