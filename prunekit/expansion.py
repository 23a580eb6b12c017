"""What the populations of a recipe stand for, written out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.documents import KeyPath, Node, merge, substitute, without_nulls
from prunekit.errors import did_you_mean
from prunekit.registry import Registry


def inherited(recipe: Node) -> Node:
    """Return ``recipe`` with every population that extends another written out as that one with its changes.

    Only what a population says of itself is its own: where it starts (``from``), its stages and its repetitions come
    from the other, its title does not. Keys that are null, here or there, are gone. Raises InputError on a name that
    no population has, and on circles.
    """
    assert isinstance(recipe.value, dict)
    populations = recipe.value.get("populations")
    if populations is None or not isinstance(populations.value, dict):
        return without_nulls(recipe)
    blocks = {name: block for name, block in populations.value.items() if block.value is not None}
    written = {name: _written_out(recipe, blocks, name, ()) for name in blocks}
    return without_nulls(recipe.with_values({**recipe.value, "populations": populations.with_values(written)}))


def _written_out(recipe: Node, populations: dict[str, Node], name: str, below: tuple[str, ...]) -> Node:
    block = populations[name]
    if not isinstance(block.value, dict) or "extends" not in block.value:
        return block
    path, parent = ("populations", name, "extends"), block.value["extends"].value
    if not isinstance(parent, str) or parent not in populations:
        hint = did_you_mean(str(parent), populations.keys() - {name})
        raise recipe.error(path, f"there is no population {parent!r}{hint}")
    if parent in (*below, name):
        raise recipe.error(path, f"the populations extend each other: {' extends '.join((*below, name, parent))}")
    base = _written_out(recipe, populations, parent, (*below, name))
    if not isinstance(base.value, dict):
        return base
    shared = base.with_values({key: each for key, each in base.value.items() if key != "title"})
    return merge(shared, block.with_values({key: each for key, each in block.value.items() if key != "extends"}))


MOST_ROUNDS = 1000
"""Rounds of a ``repeat``: each is planned as stages of its own."""


@dataclass(frozen=True)
class Repetition:
    """Where a population stands among those that one ``for`` makes. They lie along its last key, the axis."""

    template: str
    """The name before ``{key}`` was replaced in it."""
    group: str
    """What tables call all populations along the axis: the title, or else the name without the value on the axis."""
    values: Mapping[str, Any]
    """What stands for each key, in the order of ``for``."""

    def would_make(self, name: str) -> bool:
        """Return whether the same ``for``, with other values, makes a population of this name."""
        numeric = {key for key, value in self.values.items() if isinstance(value, int | float)}
        parts = re.split(r"\{(\w+)\}", self.template)  # text and keys in turn
        kinds = [
            (r"[-+.\deE]+" if part in numeric else ".+") if i % 2 else re.escape(part) for i, part in enumerate(parts)
        ]
        return re.fullmatch("".join(kinds), name) is not None


def repeated(recipe: Node, known: Registry) -> tuple[Node, dict[str, Repetition]]:
    """Return ``recipe`` with ``for`` written out in populations and comparisons, and where each population stands.

    A comparison whose ``pruned`` is the name of repeated populations, before anything was replaced in it, stands for
    all of them. Raises InputError where two populations would have one name, or one place along an axis.
    """
    assert isinstance(recipe.value, dict)
    values, places, settings_of = dict(recipe.value), {}, {}
    populations = values.get("populations")
    if populations is not None and isinstance(populations.value, dict):
        written: dict[str, Node] = {}
        for template, block in populations.value.items():
            repetitions = _repetitions(recipe, block, ("populations", template))
            settings_of[template] = [settings for settings, _ in repetitions]
            for settings, each in repetitions:
                name = str(substitute(Node(template, block.origin, block.line), settings).value)
                if settings and (unknown := re.search(r"\{(\w+)\}", name)):
                    hint = did_you_mean(unknown[1], settings)
                    raise recipe.error(("populations", template), f"`for` has no {unknown[1]!r}{hint}")
                if name in written:
                    missing = [f"{{{key}}}" for key in settings if f"{{{key}}}" not in template]
                    mend = f"put {', '.join(missing)} in the name" if missing else "a value of `for` stands twice"
                    raise recipe.error(("populations", template), f"two populations would be called {name!r}: {mend}")
                written[name] = each
                if settings:
                    places[name] = _place(recipe, template, settings)
        unrolled = {name: _unrolled(recipe, known, name, block) for name, block in written.items()}
        values["populations"] = populations.with_values(unrolled)
    _refuse_shared_places(recipe, places)
    comparisons = values.get("comparisons")
    if comparisons is not None and isinstance(comparisons.value, list):
        blocks = enumerate(comparisons.value)
        several = [each for i, block in blocks for each in _compared(recipe, block, ("comparisons", i), settings_of)]
        values["comparisons"] = comparisons.with_values(several)
    return recipe.with_values(values), places


def _repetitions(root: Node, block: Node, path: KeyPath) -> list[tuple[dict[str, Node], Node]]:
    if not isinstance(block.value, dict) or "for" not in block.value:
        return [({}, block)]
    axes = block.value["for"].value
    if not isinstance(axes, dict) or not all(isinstance(axis.value, list) and axis.value for axis in axes.values()):
        raise root.error((*path, "for"), "expected a mapping of names to lists, such as {sparsity: [0.5, 0.9]}")
    rest = block.with_values({key: each for key, each in block.value.items() if key != "for"})
    lists: list[list[Node]] = [axis.value for axis in axes.values() if isinstance(axis.value, list)]
    settings = [dict(zip(axes, values, strict=True)) for values in itertools.product(*lists)]
    return [(each, substitute(rest, each)) for each in settings]


def _compared(recipe: Node, block: Node, path: KeyPath, settings_of: Mapping[str, list[dict[str, Node]]]) -> list[Node]:
    """Return the comparisons that one stands for: by its own ``for``, or by that of the populations it names."""
    named = block.value.get("pruned") if isinstance(block.value, dict) and "for" not in block.value else None
    if named is not None and isinstance(named.value, str) and named.value in settings_of:
        return [substitute(block, settings) for settings in settings_of[named.value]]
    return [each for _, each in _repetitions(recipe, block, path)]


def _place(recipe: Node, template: str, settings: dict[str, Node]) -> Repetition:
    """Return where the population of ``settings`` stands; the axis has no part in what it is called."""
    *others, axis = settings
    path = ("populations", template, "title")
    title = recipe.nearest(path) if "title" in recipe.nearest(path[:2]).plain() else Node("", "")
    if f"{{{axis}}}" in str(title.value):
        raise recipe.error(path, f"the populations along an axis share their title: leave out {{{axis}}}")
    called = str(title.value) or re.sub(rf"[_.-]?\{{{re.escape(axis)}\}}", "", template).strip("_.-") or axis
    group = str(substitute(Node(called, ""), {key: settings[key] for key in others}).value)
    unsaid = [str(settings[key].value) for key in others if f"{{{key}}}" not in called]
    return Repetition(template, ", ".join([group, *unsaid]), {key: node.plain() for key, node in settings.items()})


def _unrolled(recipe: Node, known: Registry, population: str, block: Node) -> Node:
    """Return a population with every stage that has ``repeat`` written out: its stages once for each round.

    ``tickets: {repeat: {rounds: 2, stages: {prune: …}}}`` becomes ``tickets.1.prune`` and ``tickets.2.prune``. A stage
    that prunes makes one round of its schedule each time, of as many rounds as are repeated; ``{round}`` is replaced.
    """
    stages = block.value.get("stages") if isinstance(block.value, dict) else None
    if stages is None or not isinstance(stages.value, dict):
        return block
    written: dict[str, Node] = {}
    for title, stage in stages.value.items():
        if not isinstance(stage.value, dict) or "repeat" not in stage.value:
            written[title] = stage
            continue
        rounds, inner = _read_repeat(recipe, ("populations", population, "stages", title), stage)
        for name, each in inner.items():
            path = ("populations", population, "stages", title, "repeat", "stages", name)
            _check_repeated(recipe, known, path, each, rounds)
        for i in range(1, rounds + 1):
            for name, each in inner.items():
                here = substitute(each, {"round": Node(i, each.origin, each.line)})
                written[f"{title}.{i}.{name}"] = _one_round(here, i, rounds)
        if taken := written.keys() & (stages.value.keys() - {title}):
            raise recipe.error(("populations", population, "stages", min(taken)), f"{title} makes a stage of this name")
    assert isinstance(block.value, dict)
    return block.with_values({**block.value, "stages": stages.with_values(written)})


def _read_repeat(recipe: Node, path: KeyPath, stage: Node) -> tuple[int, dict[str, Node]]:
    """Return how often which stages are repeated. Raises InputError."""
    assert isinstance(stage.value, dict)
    inner = stage.value["repeat"].value
    expected = "expected {repeat: {rounds: 5, stages: {…}}} and nothing beside"
    if len(stage.value) > 1 or not isinstance(inner, dict):
        raise recipe.error(path, expected)
    for key in inner.keys() - {"rounds", "stages"}:
        raise recipe.error((*path, "repeat", key), f"unknown key{did_you_mean(key, ('rounds', 'stages'))}")
    if inner.keys() != {"rounds", "stages"}:
        raise recipe.error((*path, "repeat"), expected)
    rounds, stages = inner["rounds"].value, inner["stages"].value
    if type(rounds) is not int or not 1 <= rounds <= MOST_ROUNDS:
        expected = f"expected a whole number from 1 to {MOST_ROUNDS}, not {rounds!r}"
        raise recipe.error((*path, "repeat", "rounds"), expected)
    if not isinstance(stages, dict) or not stages:
        raise recipe.error((*path, "repeat", "stages"), "expected a mapping of stages")
    return rounds, stages


def _check_repeated(recipe: Node, known: Registry, path: KeyPath, stage: Node, rounds: int) -> None:
    """Refuse a stage that cannot be repeated: one without a name, another repeat, a schedule with other rounds."""
    if not path[-1]:
        raise recipe.error(path[:-1], "a repeated stage needs a name")
    if not isinstance(stage.value, dict):
        return
    if "repeat" in stage.value:
        raise recipe.error(path, "a repeat within a repeat is not possible")
    schedule = stage.value.get("schedule")
    name = None if schedule is None else schedule.value
    if isinstance(name, dict):
        said = name["rounds"].value if "rounds" in name else rounds
        if said != rounds:
            one = f"each of the {rounds} repetitions makes one round: leave out rounds, or repeat as often"
            raise recipe.error((*path, "schedule", "rounds"), one)
        name = name["name"].value if "name" in name else None
    fields = {entry.name: entry.plugin.model_fields for entry in known.entries("schedule")}
    if isinstance(name, str) and name in fields and "rounds" not in fields[name]:
        fit = ", ".join(each for each in fields if "rounds" in fields[each])
        raise recipe.error((*path, "schedule"), f"{name} has no rounds, one for each repetition: take one of {fit}")


def _one_round(stage: Node, i: int, rounds: int) -> Node:
    """Return a repeated stage; one that prunes makes round ``i`` of its schedule, of ``rounds`` unless it says."""
    if not isinstance(stage.value, dict) or "schedule" not in stage.value:
        return stage
    schedule = stage.value["schedule"]
    if isinstance(schedule.value, dict):
        schedule = schedule.with_values({"rounds": Node(rounds, schedule.origin, schedule.line), **schedule.value})
    return stage.with_values({"round": Node(i, stage.origin, stage.line), **stage.value, "schedule": schedule})


def _refuse_shared_places(recipe: Node, places: dict[str, Repetition]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for name, place in places.items():
        axis, value = list(place.values.items())[-1]
        other = taken.setdefault((place.group, f"{axis} {value}"), name)
        if other != name:
            raise recipe.error(
                ("populations", place.template, "title"),
                f"{other!r} and {name!r} would both stand at {axis} {value} of {place.group!r}: give them other titles",
            )
