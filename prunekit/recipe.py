"""A recipe: YAML in, a validated Recipe out, or one line that says what is wrong and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from prunekit import protocols
from prunekit.documents import KeyPath, Node, assignment, merge, read
from prunekit.errors import InputError, describe_problem, did_you_mean
from prunekit.expansion import Repetition, inherited, repeated
from prunekit.portion import checked
from prunekit.protocols import Options
from prunekit.registry import Registry, registry
from prunekit.stages import START, OfKind, PruneStage, Stage, TrainStage, stage_kind

_AUTHORS_OWN = ("populations", "stages")
"""Mappings whose keys are names that the author chose."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _stage(value: object, info: ValidationInfo) -> Stage:
    if isinstance(value, Stage):
        return value
    kind = stage_kind(value) if isinstance(value, dict) else None
    if kind is None:
        ways = "an objective (it trains), a schedule (it prunes), a point to rewind to, or stages to repeat"
        raise PydanticCustomError("stage", "a stage has one of {ways}", {"ways": ways})
    return kind.model_validate(value, context=info.context)


class PopulationRecipe(Options):
    """How the members of a population come about."""

    title: str = ""
    """What tables call it; the repetitions of ``for`` share one."""
    from_: str | None = Field(default=None, alias="from")
    """The population whose members these start from: each from the member of the same seed, at its end."""
    stages: dict[str, Annotated[Stage, PlainValidator(_stage, json_schema_input_type=Stage)]]
    """The stages in order; the names are the author's own."""


class ComparisonRecipe(Options):
    """Two populations whose members are compared."""

    reference: str
    """The population that is compared with."""
    pruned: str
    """The population that is asked about."""


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
    data: Annotated[protocols.Dataset, OfKind("dataset")]
    """The labelled images."""
    model: Annotated[protocols.Backbone, OfKind("backbone")]
    """The encoder; a linear head follows it."""
    seeds: int = Field(gt=0, le=10_000)
    """Members per population; their seeds are 0, 1, …"""
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

    @contextmanager
    def blaming(self, path: KeyPath) -> Iterator[None]:
        """Say of an InputError that a plugin raises which key of the recipe it is about."""
        try:
            yield
        except InputError as error:
            raise self.error(path, str(error)) from error


def shipped() -> dict[str, Path]:
    """Return the recipes that ship with prunekit, by name (that of their file)."""
    folder = Path(str(resources.files("prunekit.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def locate(recipe: str | Path) -> Path:
    """Return the file of a recipe, given as a path or as the name of one that ships with prunekit."""
    path = Path(recipe)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a recipe")
    known = shipped()
    # `recipes/NAME.yaml` is also what an installed prunekit is asked for, wherever it is run.
    if str(path) in known or (path.as_posix() == f"recipes/{path.stem}.yaml" and path.stem in known):
        return known[path.stem]
    raise InputError(
        f"{recipe}: no such file, and no recipe of that name ships with prunekit{did_you_mean(path.stem, known)}"
    )


def load(
    recipe: str | Path,
    *,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    seeds: int | range | None = None,
) -> Source:
    """Read, merge and validate a recipe. Raises InputError: file, line, key, what was expected, nearest name.

    ``seeds`` is how many members there are, or which of them are asked for: the recipe then has as many as it says, or
    more where the part reaches beyond.
    """
    node = _extended(locate(recipe), ())
    node = _with_profile(node, profile)
    for text in assignments:
        node = _assigned(node, text)
    if seeds is not None and not isinstance(seeds, range):
        node = _with_seeds(node, seeds)
    source = validate(node)
    if isinstance(seeds, range) and checked(seeds).stop > source.recipe.seeds:
        source = validate(_with_seeds(node, seeds.stop))
    return replace(source, seeds=seeds)


def _with_seeds(node: Node, count: int) -> Node:
    return merge(node, Node({"seeds": Node(count, "--seeds")}, node.origin, node.line))


def _extended(path: Path, below: tuple[Path, ...]) -> Node:
    node = read(path)
    assert isinstance(node.value, dict)
    parent = node.value.get("extends")
    if parent is None:
        return node
    if not isinstance(parent.value, str):
        raise node.error(("extends",), "expected the path or the name of a recipe")
    beside = path.parent / parent.value
    try:
        base = locate(beside if beside.is_file() else parent.value).resolve()
    except InputError as error:
        raise node.error(("extends",), str(error)) from None
    if base in (*below, path.resolve()):
        raise node.error(("extends",), f"{parent.value} extends this recipe in turn")
    rest = node.with_values({key: each for key, each in node.value.items() if key != "extends"})
    return merge(_extended(base, (*below, path.resolve())), rest)


def _with_profile(node: Node, profile: str | None) -> Node:
    assert isinstance(node.value, dict)
    profiles = node.value.get("profiles")
    rest = node.with_values({key: each for key, each in node.value.items() if key != "profiles"})
    known = profiles.value if profiles is not None else {}
    if not isinstance(known, dict):
        raise node.error(("profiles",), "expected a mapping of names to changes")
    for name, changes in known.items():
        if not isinstance(changes.value, dict):
            raise node.error(("profiles", name), "expected a mapping of changes to the recipe")
    if profile is None:
        return rest
    if profile not in known:
        raise InputError(
            f"{node.origin}: there is no profile {profile!r}{did_you_mean(profile, known) or ' (it has none)'}"
        )
    return merge(rest, known[profile])


def _assigned(node: Node, text: str) -> Node:
    """Merge one ``--set``. It makes no population and no stage, so that a typo is none; other keys may be new."""
    over = assignment(text)
    keys = text.partition("=")[0].strip().split(".")
    here = inherited(node)
    for depth, key in enumerate(keys[:-1]):
        if isinstance(here.value, str):  # a plugin named by text alone takes options
            break
        if isinstance(here.value, dict) and key not in here.value and keys[max(0, depth - 1)] not in _AUTHORS_OWN:
            break  # validation knows which keys there are
        if not isinstance(here.value, dict) or key not in here.value:
            known = here.value if isinstance(here.value, dict) else ()
            where = ".".join(keys[: depth + 1])
            raise InputError(f"--set {text}: the recipe has no {where}{did_you_mean(key, known)}")
        here = here.value[key]
    return merge(node, over)


def validate(node: Node) -> Source:
    """Validate a merged recipe: plugin files, ``for``, every key and value, and what must fit together."""
    names = _registry_for(node)
    node, repetitions = repeated(inherited(node), names)
    try:
        recipe = Recipe.model_validate(node.plain(), context={"registry": names})
    except ValidationError as error:
        raise _located(node, error) from None
    source = Source(recipe, node, names, repetitions)
    _check_names(source)
    _check_lineages(source)
    _check_stages(source)
    _check_published(source)
    return source


def _registry_for(node: Node) -> Registry:
    """Return the registry that also knows the recipe's plugin files."""
    listed = node.nearest(("plugins",))
    if not isinstance(node.value, dict) or "plugins" not in node.value:
        return registry
    if not isinstance(listed.value, list) or not all(isinstance(each.value, str) for each in listed.value):
        raise node.error(("plugins",), "expected a list of Python files")
    files = []
    for i, each in enumerate(listed.value):
        # Beside the recipe that names it, not the one that extends it; --set speaks of the working folder.
        beside = Path() if each.origin.startswith("--set ") else Path(each.origin).parent
        file = beside / str(each.value)
        if not file.is_file():
            raise node.error(("plugins", i), f"there is no file {file}")
        files.append(file)
    try:
        return registry.with_files(files)
    except InputError as error:
        raise node.error(("plugins",), str(error)) from None


def _located(node: Node, error: ValidationError) -> InputError:
    """Return the first error in one line, placed in its file."""
    problems = error.errors(include_url=False)
    first = problems[0]
    path: KeyPath = tuple(key for key in first["loc"] if key != "[key]")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return node.error(path, describe_problem(first) + more)


def _check_names(source: Source) -> None:
    for name, population in source.recipe.populations.items():
        for path, each in [(("populations", name), name)] + [
            (("populations", name, "stages", stage), stage) for stage in population.stages
        ]:
            if not _NAME.fullmatch(each):
                raise source.error(path, f"{each!r} is no name: use letters, digits, '_', '.' and '-'")
        if START in population.stages:
            raise source.error(
                ("populations", name, "stages", START), f"{START!r} is what `rewind` calls the first weights: rename it"
            )
    if not _NAME.fullmatch(source.recipe.name):
        raise source.error(("name",), f"{source.recipe.name!r} is no name: use letters, digits, '_', '.' and '-'")
    seen = set()
    for i, measure in enumerate(source.recipe.measures):
        if measure.name in seen:
            raise source.error(("measures", i), f"the measure {measure.name!r} stands twice")
        seen.add(measure.name)
        with source.blaming(("measures", i)):
            measure.check()


def _check_lineages(source: Source) -> None:
    populations = source.recipe.populations
    for name, population in populations.items():
        if population.from_ is not None and population.from_ not in populations:
            hint = did_you_mean(population.from_, populations.keys() - {name})
            raise source.error(("populations", name, "from"), f"there is no population {population.from_!r}{hint}")
        if not population.stages:
            raise source.error(("populations", name, "stages"), "a population needs a stage")
    for name in populations:
        line, here = [name], populations[name].from_
        while here is not None:
            if here in line:
                circle = " from ".join([*line, here])
                raise source.error(("populations", name, "from"), f"the populations start from each other: {circle}")
            line.append(here)
            here = populations[here].from_
    for i, comparison in enumerate(source.recipe.comparisons):
        for role, name in (("reference", comparison.reference), ("pruned", comparison.pruned)):
            if name not in populations:
                hint = did_you_mean(name, populations)
                raise source.error(("comparisons", i, role), f"there is no population {name!r}{hint}")
        if comparison.reference == comparison.pruned:
            raise source.error(("comparisons", i), f"compares {comparison.pruned!r} with itself")


def _check_stages(source: Source) -> None:
    for name, population in source.recipe.populations.items():
        for title, stage in population.stages.items():
            path = ("populations", name, "stages", title)
            if isinstance(stage, PruneStage) and stage.schedule.needs_training:
                block = "the `prune:` block of a training stage"
                raise source.error(
                    (*path, "schedule"), f"{stage.schedule.name} prunes while a stage trains: put it in {block}"
                )
            if isinstance(stage, TrainStage) and stage.only and stage.only not in stage.objective.trains:
                trains = " and ".join(stage.objective.trains)
                raise source.error((*path, "only"), f"{stage.objective.name} trains {trains}, not the {stage.only}")


def _check_published(source: Source) -> None:
    """A population that ``for`` would make with other values may be missing: a profile may ask for fewer."""
    recipe = source.recipe
    for name, numbers in recipe.published.populations.items() if recipe.published else ():
        path = ("published", "populations", name)
        made = name in recipe.populations or any(each.would_make(name) for each in source.repetitions.values())
        if not made:
            raise source.error(path, f"there is no population {name!r}{did_you_mean(name, recipe.populations)}")
        for measure, said in numbers.items():
            if measure not in source.registry.names("measure"):
                hint = did_you_mean(measure, (each.name for each in recipe.measures))
                raise source.error((*path, measure), f"there is no measure {measure!r}{hint}")
            plugin: Any = source.registry.find("measure", measure)[0].plugin
            for key in said if isinstance(said, dict) else ():
                if key not in plugin.published_keys:
                    hint = did_you_mean(key, plugin.published_keys) or ": expected a number, or [number, deviation]"
                    raise source.error((*path, measure, key), f"{measure} has no figure {key!r}{hint}")
