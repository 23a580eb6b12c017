"""Pruned populations by their setting: numbers over seeds, names. Nothing here is a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunekit import Line, Number, PopulationColumns, StudyColumns

from ._lineage import DEFAULT_CRITERION, Setting
from ._statistics import ROUNDING, Floats, known, spread, student_t

MOST_PANELS = 4
"""Numbers of rounds that a figure shows, and sparsities that have figures of their own."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned population as a measure noted it."""

    name: str
    setting: Setting
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
        return cls(population.name, Setting(**notes[0]["pruning"]), population.seeds[: len(notes)], notes)

    def values(self, key: str) -> Floats:
        """Return a number of every member, [M], not a number where it does not exist."""
        return np.array([np.nan if note[key] is None else note[key] for note in self.notes], dtype=np.float64)

    def mean(self, key: str) -> float | None:
        """Return the mean over the members that have the number; None where none has it."""
        return mean(self.values(key))

    def number(self, key: str, factor: float = 1) -> Number:
        """Return mean, standard deviation and 95 % interval over the members that have the number."""
        return number(factor * self.values(key))


def pruned_populations(study: StudyColumns, measure: str) -> list[Pruned]:
    """Return the populations that a stage pruned, in the order of the study."""
    found = (Pruned.of(population, measure) for population in study.populations.values())
    return [each for each in found if each is not None]


def mean(values: Floats) -> float | None:
    """Return the mean of the numbers that exist."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else None


def number(values: Floats) -> Number:
    """Return mean, standard deviation and 95 % interval of the numbers that exist."""
    there = values[np.isfinite(values)]
    return Number(mean(there), spread=spread(there), interval=t_interval(there)) if len(there) else Number(None)


def t_interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean by Student's t; None for fewer than two values."""
    std = spread(values)
    if std is None:
        return None
    reach = student_t(len(values) - 1) * std / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def as_json(pruned: Pruned, keys: Sequence[str]) -> dict[str, Any]:
    """Return the setting, and of each number mean, std, interval and members."""
    found: dict[str, Any] = pruned.setting.as_json()
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


def by_criterion(populations: Sequence[Pruned]) -> dict[str, list[Pruned]]:
    """Return the populations by criterion: magnitude, which others are held against, then the order of the study."""
    found: dict[str, list[Pruned]] = {
        DEFAULT_CRITERION: [each for each in populations if each.setting.criterion == DEFAULT_CRITERION]
    }
    for each in populations:
        if each.setting.criterion != DEFAULT_CRITERION:
            found.setdefault(each.setting.criterion, []).append(each)
    return {criterion: group for criterion, group in found.items() if group}


def percent(share: float) -> str:
    """Return a sparsity as text: ``95.6 %``."""
    return f"{100 * share:.6g} %"


def lambda_name(value: float) -> str:
    """Return λ as text: ``0``, ``1e-5``, ``0.1``, ``100``."""
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    if 0 < value < 0.01 and np.isclose(float(f"{value:.0e}"), value, rtol=ROUNDING):
        return f"{mantissa}e{int(exponent)}"
    return f"{value:g}"


def setting_name(setting: Setting) -> str:
    """Return criterion, λ and rounds as text: ``qm, λ = 1e-3, 14 rounds``."""
    parts = [setting.criterion]
    parts += [f"λ = {lambda_name(setting.regularisation)}"] if setting.regularisation is not None else []
    parts += [f"{setting.rounds} rounds"] if setting.rounds > 1 else []
    return ", ".join(parts)


# ------------------------------------------------------------------------------------------------- numbers over seeds


def by_seed(populations: Sequence[Pruned], key: str) -> Floats:
    """Return a number of every seed, [S]: populations of the same setting are averaged; without what does not exist."""
    found: dict[int, list[float]] = {}
    for each in populations:
        for seed, value in zip(each.seeds, each.values(key).tolist(), strict=True):
            if np.isfinite(value):
                found.setdefault(seed, []).append(value)
    return np.array([np.mean(values) for values in found.values()])


Ends = tuple[float | None, float | None, float | None]


def centre(values: Floats, *, log: bool) -> Ends:
    """Return the mean and the ends of its 95 % interval by Student's t; with ``log`` those of the logarithms.

    A mean of logarithms, as e to its power, is the geometric mean; None where a value is not above 0.
    """
    if not len(values) or (log and values.min() <= 0):
        return None, None, None
    if log:
        return tuple(None if end is None else float(np.exp(end)) for end in centre(np.log(values), log=False))  # type: ignore[return-value]
    low, high = t_interval(values) or (None, None)
    return float(values.mean()), low, high


def line(name: str, x: Sequence[float | str], ends: Sequence[Ends], *, dashed: bool = False) -> Line:
    """Return a line through means with their intervals."""
    y, low, high = zip(*ends, strict=True)
    some = any(end is not None for end in low)
    return Line(name, tuple(x), y, low if some else (), high if some else (), dashed=dashed)


def listed(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def seeds(populations: Sequence[Pruned]) -> str:
    """Say how many seeds the populations have: ``5 seeds``, ``3 to 5 seeds``."""
    counts = sorted({len(each.seeds) for each in populations})
    ends = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{ends} seed{'s' * (counts[-1] > 1)}"
