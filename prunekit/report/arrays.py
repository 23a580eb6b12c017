"""A study as a report sees it: arrays in memory, the recipe's comparisons and measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from prunekit.comparison import Comparison
from prunekit.errors import InputError, PrunekitError, did_you_mean
from prunekit.observed import Place, PopulationColumns, StudyColumns
from prunekit.protocols import Measure
from prunekit.tables import Number


@dataclass
class ArrayPopulation:
    """Columns of a population in memory; what :class:`prunekit.observed.PopulationColumns` asks for."""

    name: str
    seeds: tuple[int, ...]
    """[M]: the seed of each member, ascending."""
    sparsity: float
    columns: Mapping[str, NDArray[Any]]
    """[M, N] each; fewer members where a measure observes fewer."""
    place: Place | None = None
    noted: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """By measure: [M]."""

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a column, [M, N]. Raises InputError where it was not observed."""
        if column not in self:
            raise InputError(f"population {self.name!r} has no column {column!r}" + did_you_mean(column, self.columns))
        return self.columns[column]

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def notes(self, measure: str) -> Sequence[Mapping[str, Any]]:
        """Return what a measure noted, [M]. Raises InputError where it noted nothing."""
        if measure not in self.noted:
            raise InputError(f"population {self.name!r} has no notes of the measure {measure!r}")
        return self.noted[measure]


@dataclass
class ArrayStudy:
    """A study in memory; what :class:`prunekit.observed.StudyColumns` asks for."""

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    populations: Mapping[str, PopulationColumns]
    labelled: bool = True


class Data(TypedDict):
    """What the examples are."""

    name: str
    split: str
    examples: int


@dataclass(frozen=True)
class Published:
    """What a publication found, in the units of the tables."""

    source: str
    populations: Mapping[str, Mapping[str, Number | Mapping[str, Number]]]
    """By population and measure: the number of the overview, or numbers by the key of their column."""


@dataclass(frozen=True)
class About:
    """How a study was made."""

    description: str = ""
    """What the recipe's author says that it asks."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The recipe as it was run: what differs from the defaults."""
    model: str = ""
    seeds: tuple[int, ...] = ()
    """Those that the report covers."""
    machines: tuple[str, ...] = ()
    """What the members were made on: device, its name, versions."""


ImageReader = Callable[[Sequence[int]], NDArray[np.uint8]]
"""Positions among the ids → uint8 [n, C, H, W], grey or RGB. Raises NoImagesError where there are none to show."""


def no_images(indices: Sequence[int]) -> NDArray[np.uint8]:
    """Have no images of any example."""
    raise NoImagesError("the study came without images")


class NoImagesError(PrunekitError):
    """There are no images to show. The message says why, for a reader of the report."""


def unrelated(reference: str, pruned: str) -> Comparison:
    """Compare two populations of which no more is known: unpaired, without a control."""
    return Comparison(reference, pruned, control=None, paired=False)


@dataclass
class LoadedStudy:
    """Everything that a report is built from."""

    name: str
    data: Data
    columns: StudyColumns
    comparisons: Sequence[Comparison]
    """Those of the recipe: what is shown unless others are asked for."""
    measures: Sequence[Measure]
    notes: Sequence[str] = ()
    """What a reader must know: members missing, devices mixed."""
    readings: Sequence[str] = ()
    """Which reading of the method the stages are, where papers and their code differ."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """Of the populations that repeat, those that are not finished among them, in the order of the recipe."""
    published: Published | None = None
    about: About = About()
    unit: str = "images"
    """What the examples are; of predictions alone nobody said it."""
    images: ImageReader = no_images
    relate: Callable[[str, str], Comparison] = field(default=unrelated)
    """(reference, pruned), both known → their comparison, with its control and pairing."""

    @property
    def made_elsewhere(self) -> list[str]:
        """The populations that were given as files."""
        blocks: Mapping[str, Any] = self.about.recipe.get("populations", {})
        given = {name for name, block in blocks.items() if "checkpoints" in block or "predictions" in block}
        return [name for name in self.columns.populations if name in given]

    @property
    def subject(self) -> str:
        """What the members were asked about, such as ``360 test images of digits``."""
        data = self.data
        where = f" of {data['name']}" if self.unit == "images" else ""
        return f"{data['examples']:,} {data['split']} {self.unit}{where}"

    def compare(self, reference: str, pruned: str) -> Comparison:
        """Return the comparison of two populations, the recipe's own where it has it.

        Raises InputError on names that the study does not have, with the nearest one, and on twice the same.
        """
        for name in (reference, pruned):
            if name not in self.columns.populations:
                known = did_you_mean(name, self.columns.populations)
                raise InputError(f"study {self.name!r} has no population {name!r}{known}")
        if reference == pruned:
            raise InputError(f"population {reference!r} is compared with itself: name two different ones")
        for comparison in self.comparisons:
            if (comparison.reference, comparison.pruned) == (reference, pruned):
                return comparison
        return self.relate(reference, pruned)
