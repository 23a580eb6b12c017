"""What a recipe holds: the blocks that its author writes, validated each on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from prunekit import protocols
from prunekit.documents import KeyPath, Node
from prunekit.errors import InputError
from prunekit.expansion import Repetition
from prunekit.given import GivenFile, find_files, refuse_copies
from prunekit.protocols import Options, Sparsity
from prunekit.registry import Registry
from prunekit.stages import GivenStage, OfKind, Stage, WrittenStage, stage_kind


def _stage(value: object, info: ValidationInfo) -> Stage:
    if isinstance(value, Stage):
        return value
    kind = stage_kind(value) if isinstance(value, dict) else None
    if kind in (None, GivenStage):
        ways = "an objective (it trains), a schedule (it prunes), a point to rewind to, or stages to repeat"
        raise PydanticCustomError("stage", "a stage has one of {ways}", {"ways": ways})
    return kind.model_validate(value, context=info.context)


def _files(value: object) -> object:
    return [value] if isinstance(value, str) else value


Files = Annotated[list[str], BeforeValidator(_files, json_schema_input_type=str | list[str]), Field(min_length=1)]
"""Globs, relative to the recipe that has them; one alone stands for a list."""


class PopulationRecipe(Options):
    """How the members of a population come about."""

    title: str = ""
    """What tables call it; the repetitions of ``for`` share one."""
    from_: str | None = Field(default=None, alias="from")
    """The population whose members these start from: each from the member of the same seed, at its end."""
    stages: dict[str, Annotated[Stage, PlainValidator(_stage, json_schema_input_type=WrittenStage)]] = {}
    """The stages in order; the names are the author's own."""
    checkpoints: Files | None = None
    """In place of stages: weights that were made elsewhere, a file for each member (safetensors, or a state dict saved
    by torch), as globs relative to the recipe."""
    predictions: Files | None = None
    """In place of stages: predictions that were made elsewhere, a file for each member (.csv, .parquet or .npz with the
    columns example_id, prediction and perhaps confidence and label), as globs relative to the recipe."""
    sparsity: Sparsity | None = None
    """Of predictions: the share of zeros among the weights of the models that made them, where it is known."""

    @property
    def given(self) -> list[str] | None:
        """The files of a population that was made elsewhere; None where it is made here."""
        return self.checkpoints or self.predictions


class ComparisonRecipe(Options):
    """Two populations whose members are compared."""

    reference: str
    """The population that is compared with."""
    pruned: str
    """The population that is asked about."""
    paired: bool | None = None
    """Of populations that were made elsewhere: whether the k-th member of one grew from the k-th of the other, or from
    the same seed. What is made here is known to be."""


_Number = float | list[float]


def _numbers(value: Any) -> _Number | dict[str, _Number]:
    for each in value.values() if isinstance(value, dict) else [value]:
        parts = each if isinstance(each, list) else [each]
        if len(parts) not in (1, 2) or not all(type(part) in (int, float) and isfinite(part) for part in parts):
            expected = "expected a number, or [number, standard deviation], not {value}"
            raise PydanticCustomError("number", expected, {"value": repr(each)})
    return value  # type: ignore[no-any-return]


class PublishedRecipe(Options):
    """Numbers of a publication, to set beside those of the study."""

    source: str
    """Where they stand, such as ``Corti et al. 2022, Table 1``."""
    populations: dict[
        str,
        dict[
            str,
            Annotated[
                _Number | dict[str, _Number],
                # None: a recipe that extends another takes a key away.
                PlainValidator(_numbers, json_schema_input_type=_Number | dict[str, _Number] | None),
            ],
        ],
    ]
    """By population and measure: a number, or [number, standard deviation], in the units in which tables print them:
    that of the overview, or those of the measure's own tables by their keys, as in ``q_score: {q: 0.56, z: 4.47}``.
    """


class Recipe(Options):
    """A study as its author wrote it, after ``extends``, the profile and ``--set``."""

    name: str
    """Name of the study."""
    description: str = ""
    """What the study asks, for readers."""
    data: Annotated[protocols.Dataset | None, OfKind("dataset")] = None
    """The labelled images. Needed but where all populations are given as predictions."""
    model: Annotated[protocols.Backbone | None, OfKind("backbone")] = None
    """The encoder; a linear head follows it. Needed but where all populations are given as predictions."""
    seeds: int | None = Field(default=None, gt=0, le=10_000)
    """Members per population that is made here; their seeds are 0, 1, …"""
    threads: int = Field(default=1, gt=0)
    """Threads of one member on a CPU; the bits of its result depend on it."""
    plugins: list[str] = []
    """Plugin files (Python), relative to the recipe."""
    populations: dict[str, PopulationRecipe] = Field(min_length=1)
    """The populations by name."""
    comparisons: list[ComparisonRecipe] = []
    """What a report compares when it is not told."""
    measures: list[Annotated[protocols.Measure, OfKind("measure")]] = []
    """What is observed of every member and reported."""
    published: PublishedRecipe | None = None
    """What a publication found, for ``prunekit report --published``."""

    @property
    def dataset(self) -> protocols.Dataset:
        """The labelled images of a recipe that has any."""
        assert self.data is not None  # validated: _check_needed
        return self.data

    @property
    def backbone(self) -> protocols.Backbone:
        """The encoder of a recipe that has any."""
        assert self.model is not None  # validated: _check_needed
        return self.model

    @property
    def has_networks(self) -> bool:
        """Whether any member is a network, and not predictions alone."""
        return any(population.predictions is None for population in self.populations.values())

    @property
    def data_name(self) -> str:
        """What the data are called."""
        return "predictions" if self.data is None else self.data.name

    def is_made_here(self, population: str) -> bool:
        """Whether members begin with a seed, and not with a file that was made elsewhere."""
        return self.populations[self.lineage(population)[0]].given is None

    def lineage(self, population: str) -> list[str]:
        """Return the populations that ``population`` descends from, itself last."""
        names = [population]
        while (parent := self.populations[names[0]].from_) is not None:
            names.insert(0, parent)
        return names

    def parents_first(self) -> list[str]:
        """Return the names of the populations, each after those that it descends from."""
        return sorted(self.populations, key=lambda name: len(self.lineage(name)))


@dataclass(frozen=True)
class Source:
    """A recipe with where its values stand, for errors that later steps find."""

    recipe: Recipe
    node: Node
    registry: Registry
    repetitions: Mapping[str, Repetition]
    """Where the populations that ``for`` made stand, by name."""
    seeds: int | range | None = None
    """How many members were asked for where the recipe was loaded, or which; None: those of the recipe."""

    def error(self, path: KeyPath, message: str) -> InputError:
        """Return an error about a key of the recipe."""
        return self.node.error(path, message)

    def files(self, population: str) -> tuple[GivenFile, ...]:
        """Return the files of a population that was made elsewhere; () of any other. Raises InputError."""
        block = self.recipe.populations[population]
        if block.given is None:
            return ()
        path = ("populations", population, "checkpoints" if block.checkpoints else "predictions")
        with self.blaming(path):
            files = find_files(block.given, folder_of(self.node.nearest(path)))
            refuse_copies(files)
            return files

    @contextmanager
    def blaming(self, path: KeyPath) -> Iterator[None]:
        """Say of an InputError that a plugin raises which key of the recipe it is about."""
        try:
            yield
        except InputError as error:
            raise self.error(path, str(error)) from error


def folder_of(node: Node) -> Path:
    """Return the folder that paths in ``node`` are relative to: its recipe's.

    What ``--set`` says, and recipes that ship as templates, are relative to the working folder.
    """
    file = Path(node.origin)
    return Path() if node.origin.startswith("--set ") or file.parent == shipped_folder() else file.parent


def shipped_folder() -> Path:
    """Return where the recipes are that ship with prunekit."""
    return Path(str(resources.files("prunekit.recipes")))
