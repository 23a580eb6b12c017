"""Pruned populations as a study has them, by sparsity and criterion. Nothing here is a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunekit import Number, PopulationColumns, StudyColumns

from ._over_seeds import mean, number
from ._setting import DEFAULT_CRITERION, Setting
from ._statistics import Floats, known

MOST_PANELS = 4
"""Sparsities that have figures of their own, the highest, and numbers of rounds that a figure shows, the largest."""
MOST_NAMES = 3
"""Populations that a sentence names."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned population as a measure noted it."""

    name: str
    setting: Setting
    sole: bool
    """Whether its members were pruned once, by stages in a row: only then settings can be held against each other."""
    seeds: tuple[int, ...]
    """[M]: of the members."""
    notes: Sequence[Mapping[str, Any]]
    """[M]."""

    @classmethod
    def of(cls, population: PopulationColumns, measure: str) -> Pruned | None:
        """Return a population; None where no stage pruned its members."""
        notes = population.notes(measure)
        if not notes or notes[0]["pruning"] is None:
            return None
        setting = Setting(**notes[0]["pruning"])
        return cls(population.name, setting, notes[0]["sole"], population.seeds[: len(notes)], notes)

    def values(self, key: str) -> Floats:
        """Return a number of every member, [M], not a number where it does not exist."""
        return np.array([np.nan if note[key] is None else note[key] for note in self.notes], dtype=np.float64)

    def mean(self, key: str) -> float | None:
        """Return the mean over the members that have the number; None where none has it."""
        return mean(self.values(key))

    def number(self, key: str, factor: float = 1) -> Number:
        """Return mean, standard deviation and 95 % interval over the members that have the number."""
        return number(factor * self.values(key))


def by_name(
    study: StudyColumns, measure: str, pruned: Sequence[Pruned], say: Callable[[Pruned], dict[str, Any]], key: str
) -> dict[str, Any]:
    """Return what ``say`` says of every pruned population, and of the others their own number ``key``, by name."""
    said = {each.name: say(each) for each in pruned}
    others = {name: each for name, each in study.populations.items() if name not in said}
    return said | {name: own(each, measure, key) for name, each in others.items()}


def nothing_pruned(measure: str) -> str:
    """Say that a measure has nothing to say, and why."""
    return f"{measure}: no population was pruned by a stage of its own (one with a `schedule`), so it says nothing."


def pruned_populations(study: StudyColumns, measure: str) -> list[Pruned]:
    """Return the populations that a stage pruned, in the order of the study."""
    found = (Pruned.of(population, measure) for population in study.populations.values())
    return [each for each in found if each is not None]


def comparable(populations: Sequence[Pruned]) -> list[Pruned]:
    """Return the populations whose ΔL is that of all that was pruned."""
    return [each for each in populations if each.sole]


def not_comparable(populations: Sequence[Pruned]) -> str:
    """Say which populations are not, for the note of a table; "" where all are."""
    names = [each.name for each in populations if not each.sole]
    if not names:
        return ""
    return (
        f" Pruned several times, with training or rewinding between: {shortened(names)}. Their ΔL is that of the last "
        "time alone, and findings, ρ and figures against λ, rounds or ΔL leave them out."
    )


def as_json(pruned: Pruned, keys: Sequence[str]) -> dict[str, Any]:
    """Return the setting, and of each number mean, std, interval and members."""
    found: dict[str, Any] = {**pruned.setting.as_json(), "sole": pruned.sole}
    for key in keys:
        said = pruned.number(key)
        members = [known(value) for value in pruned.values(key)]
        found[key] = {"mean": said.value, "std": said.spread, "interval": said.interval, "members": members}
    return found


def own(population: PopulationColumns, measure: str, key: str) -> dict[str, Any]:
    """Return the one number that is noted of a population that no stage pruned: mean and members."""
    values = [note[key] for note in population.notes(measure)]
    return {key: {"mean": mean(np.array([np.nan if each is None else each for each in values])), "members": values}}


def by_sparsity(populations: Sequence[Pruned]) -> dict[float, list[Pruned]]:
    """Return the populations by what they were pruned to, ascending: a correlation across would show but that."""
    found: dict[float, list[Pruned]] = {}
    for each in sorted(populations, key=lambda each: each.setting.sparsity):
        found.setdefault(each.setting.sparsity, []).append(each)
    return found


def with_figures(populations: Sequence[Pruned]) -> tuple[dict[float, list[Pruned]], str]:
    """Return the populations of the highest sparsities, by sparsity, and a sentence on the others, "" if none."""
    sparsities = by_sparsity(populations)
    shown = dict(list(sparsities.items())[-MOST_PANELS:])
    if len(shown) == len(sparsities):
        return shown, ""
    left = len(sparsities) - len(shown)
    return shown, f" {left} lower {'sparsity has' if left == 1 else 'sparsities have'} no figure."


def by_criterion(populations: Sequence[Pruned]) -> dict[str, list[Pruned]]:
    """Return the populations by criterion: magnitude, which others are held against, then the order of the study.

    Those of a criterion that differ in other options than λ, rounds and schedule stand apart: ``qm (within: layer)``.
    """
    variants: dict[str, set[str]] = {}
    for setting in (each.setting for each in populations):
        variants.setdefault(setting.criterion, set()).add(setting.variant)
    found: dict[str, list[Pruned]] = {}
    for each in sorted(populations, key=lambda each: each.setting.criterion != DEFAULT_CRITERION):
        criterion, variant = each.setting.criterion, each.setting.variant
        name = f"{criterion} ({variant})" if variant and len(variants[criterion]) > 1 else criterion
        found.setdefault(name, []).append(each)
    return found


def by_seed(populations: Sequence[Pruned], key: str) -> Floats:
    """Return a number of every seed, [S]: populations of the same setting are averaged; without what does not exist."""
    found: dict[int, list[float]] = {}
    for each in populations:
        for seed, value in zip(each.seeds, each.values(key).tolist(), strict=True):
            if np.isfinite(value):
                found.setdefault(seed, []).append(value)
    return np.array([np.mean(values) for values in found.values()])


def seeds(populations: Sequence[Pruned]) -> str:
    """Say how many seeds the populations have: ``5 seeds``, ``3 to 5 seeds``."""
    counts = sorted({len(each.seeds) for each in populations})
    ends = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{ends} seed{'s' * (counts[-1] > 1)}"


def listed(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def shortened(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
