"""CIFAR-10 and CIFAR-100, from the binary version: the Python version is a pickle, and reading one may run code."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from prunekit import ImageShape, register, tell_progress

from ._download import RemoteFile
from ._official import Decoded, OfficialImages

SHAPE = ImageShape(3, 32, 32)
SOURCE = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images"

FINE_LABELS = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905  (a hundred quotes and commas say no more)
)
"""Those of CIFAR-100."""


def _archive(name: str, md5: str) -> RemoteFile:
    note = "the Python version is not read, because unpickling may run code"
    return RemoteFile(name, md5, (f"https://www.cs.toronto.edu/~kriz/{name}",), note)


class _Cifar(OfficialImages):
    """Records of one or more label bytes, the last of which counts, and 3 × 32 × 32 pixels, channel by channel."""

    members: ClassVar[tuple[str, ...]]
    """The files of the archive that hold records: those for training, then those for testing."""
    label_bytes: ClassVar[int] = 1
    shape = SHAPE
    training = 50_000
    testing = 10_000

    def decode(self, paths: list[Path]) -> Decoded:
        """Read the records out of the archive."""
        size = self.label_bytes + SHAPE.channels * SHAPE.height * SHAPE.width
        records = [np.frombuffer(each, np.uint8).reshape(-1, size) for each in self._contents(paths[0])]
        labels = np.concatenate([each[:, self.label_bytes - 1] for each in records])
        images = np.concatenate([each[:, self.label_bytes :] for each in records])
        return labels, images

    def _contents(self, archive: Path) -> list[bytes]:
        """Return the ``members``, which the archive may hold in any order."""
        contents: dict[str, bytes] = {}
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                file = tar.extractfile(member) if name in self.members else None
                if file is not None:
                    tell_progress(f"decoding {archive.name}", len(contents), len(self.members))
                    contents[name] = file.read()
        return [contents[name] for name in self.members]


@register("cifar10", source=SOURCE)
class Cifar10(_Cifar):
    """60,000 colour images of 32×32 in ten classes, 10,000 of them for testing. 170 MB to download."""

    files = (_archive("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),)
    members = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@register("cifar100", source=SOURCE)
class Cifar100(_Cifar):
    """60,000 colour images of 32×32 in a hundred classes (fine labels), 10,000 for testing. 169 MB to download."""

    files = (_archive("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),)
    members = ("train.bin", "test.bin")
    label_bytes = 2
    classes = FINE_LABELS
