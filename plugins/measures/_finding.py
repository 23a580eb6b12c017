"""Whether one number of a run tells another: Spearman's ρ, in words, in a table. Nothing here is a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prunekit import Column, PointGroup, Scatter, Table

from ._populations import Pruned, by_criterion, by_sparsity, comparable, with_figures
from ._rank import COVERAGE, Correlation, correlate
from ._setting import percent

FEWEST = 3
"""Settings from which on a correlation over runs says more than how seeds differ."""
WEAK, MODERATE = 0.3, 0.6
"""|ρ| below which a number explains another weakly, moderately."""
DELTA, BEFORE, AFTER = "delta", "gap_before", "gap_after"
NAMES = {DELTA: "ΔL", BEFORE: "the gap before fine-tuning", AFTER: "the gap after fine-tuning"}
AXES = {DELTA: "ΔL", BEFORE: "gap before fine-tuning, points", AFTER: "gap after fine-tuning, points"}
TITLES = {
    DELTA: "Does ΔL explain the gap after fine-tuning?",
    BEFORE: "Does the gap before fine-tuning explain the one after?",
}
PAIRS = ((DELTA, AFTER), (BEFORE, AFTER))
ALL = "all"
ROUGH = range(2, 5)
"""Seeds over which an interval is so rough that a sentence says so."""


@dataclass(frozen=True, eq=False)
class Relation:
    """How one number of a run goes with another."""

    x: str
    y: str
    sparsity: float
    criterion: str
    """``all``, or what one is called."""
    settings: int
    """Populations that have both numbers."""
    found: Correlation


def relation(populations: Sequence[Pruned], x: str, y: str, criterion: str = ALL) -> Relation:
    """Return Spearman's ρ over all runs of populations of one sparsity; no ρ of fewer than three settings."""
    one, other = (np.concatenate([each.values(key) for each in populations] or [np.empty(0)]) for key in (x, y))
    seeds = np.array([seed for each in populations for seed in each.seeds], dtype=np.int64)
    settings = sum(bool(np.any(np.isfinite(each.values(x)) & np.isfinite(each.values(y)))) for each in populations)
    found = correlate(one, other, seeds)
    if settings < FEWEST:
        found = Correlation(None, None, found.runs, found.seeds)
    sparsity = populations[0].setting.sparsity if populations else 0.0
    return Relation(x, y, sparsity, criterion, settings, found)


def relations(populations: Sequence[Pruned]) -> list[Relation]:
    """Return both relations of every sparsity, over all criteria and over each: those of which some run has both.

    Populations that were pruned several times are left out.
    """
    found = []
    for group in by_sparsity(comparable(populations)).values():
        criteria = by_criterion(group)
        for criterion, mine in {ALL: group, **(criteria if len(criteria) > 1 else {})}.items():
            found += [relation(mine, x, y, criterion) for x, y in PAIRS]
    return [each for each in found if each.found.runs]


def findings(found: Sequence[Relation]) -> list[str]:
    """Say whether ΔL explains the gap after fine-tuning, for each sparsity at which there is a ρ over all criteria."""
    of_all = [each for each in found if each.criterion == ALL and (each.x, each.y) == (DELTA, AFTER)]
    several = len({each.sparsity for each in of_all}) > 1
    said = []
    for each in of_all:
        text = sentence(each)
        said += (
            [f"With {percent(each.sparsity)} of the weights pruned, {text}." if several else f"{text}."] if text else []
        )
    return said


def sentence(relation: Relation) -> str:
    """Say in one sentence, without its full stop, what a ρ and its interval allow; "" where there is no ρ."""
    rho, interval = relation.found.rho, relation.found.interval
    if rho is None:
        return ""
    x, y = NAMES[relation.x], NAMES[relation.y]
    numbers = f"{rho_text(relation.found)} over {_counts(relation)}"
    if interval is None:
        return f"{x} and {y}: {numbers}; so few seeds do not say how sure that is"
    if interval[0] <= 0 <= interval[1]:
        return f"{x} is not known to explain {y}: {numbers}"
    how = "weakly" if abs(rho) < WEAK else "moderately" if abs(rho) < MODERATE else "strongly"
    sign = "" if rho > 0 else ", the larger the one, the smaller the other"
    few = "; an interval over so few seeds is too narrow" if relation.found.seeds in ROUGH else ""
    return f"{x} explains {y} {how}{sign}: {numbers}{few}"


def rho_text(found: Correlation) -> str:
    """Return ``ρ = 0.21 [−0.05, 0.44]``."""
    if found.rho is None:
        return "no ρ"
    text = f"ρ = {_signed(found.rho)}"
    return text if found.interval is None else f"{text} [{_signed(found.interval[0])}, {_signed(found.interval[1])}]"


def _signed(value: float) -> str:
    return f"{value:z.2f}".replace("-", "−")


def _counts(relation: Relation) -> str:
    seeds, settings, runs = relation.found.seeds, relation.settings, relation.found.runs
    of = f"{seeds} seed{'s' * (seeds > 1)} × {settings} settings"
    return of if runs == seeds * settings else f"{of} ({runs} runs)"


def relation_tables(found: Sequence[Relation]) -> list[Table]:
    """Tabulate both relations, over all criteria and over each."""
    tables: list[Table] = []
    several = len({each.sparsity for each in found}) > 1
    for x, title in TITLES.items():
        mine = [each for each in found if each.x == x]
        columns = (
            *([Column("Sparsity", ".2%")] if several else []),
            Column("Criterion"),
            *(Column(name, "d") for name in ("Settings", "Seeds", "Runs")),
            *(Column(name, "z.2f") for name in ("ρ", "95 % from", "to")),
        )
        if mine:
            rows: list[tuple[Any, ...]] = [(*([each.sparsity] if several else []), *_row(each)) for each in mine]
            tables.append(Table(title, columns, rows, note=_note(mine) if not tables else "ρ and intervals as above."))
    return tables


def _row(relation: Relation) -> tuple[Any, ...]:
    found = relation.found
    low, high = found.interval or (None, None)
    return relation.criterion, relation.settings, found.seeds, found.runs, found.rho, low, high


def _note(found: Sequence[Relation]) -> str:
    counts = sorted({each.found.seeds for each in found})
    text = (
        "Spearman's ρ over all runs of a sparsity, a run being a setting and a seed; the 95 % interval draws seeds "
        "with all of their runs (percentile bootstrap), as the runs of one seed are not independent."
    )
    if counts and counts[0] in COVERAGE:
        held = COVERAGE[counts[0]]
        text += f" Over {counts[0]} seeds it is rough and too narrow: in simulations it held the truth in about {held} "
        text += "of 10 studies."
    elif counts and counts[0] < min(COVERAGE):
        text += f" Over {counts[0]} seed{'s' * (counts[0] > 1)} it says next to nothing."
    if any(each.found.rho is None for each in found):
        text += f" No ρ where there are fewer than {FEWEST} settings, or all runs are the same."
    return text


def scatters(populations: Sequence[Pruned], name: str) -> list[Scatter]:
    """Return both relations of every sparsity as points, a colour for each criterion; none of fewer than three runs."""
    figures = []
    sparsities, left_out = with_figures(comparable(populations))
    for sparsity, group in sparsities.items():
        where = f".{100 * sparsity:.6g}" if len(sparsities) > 1 else ""
        for x, y in PAIRS:
            found = relation(group, x, y)
            if found.found.runs >= FEWEST:
                figures.append(_scatter(group, found, f"{name}.{x}{where}", left_out))
    return figures


def _scatter(populations: Sequence[Pruned], relation: Relation, name: str, left_out: str) -> Scatter:
    x, y = relation.x, relation.y
    scale = {DELTA: 1, BEFORE: 100, AFTER: 100}
    groups = [
        PointGroup(criterion, *(scale[key] * np.concatenate([each.values(key) for each in mine]) for key in (x, y)))
        for criterion, mine in by_criterion(populations).items()
    ]
    said = sentence(relation)
    return Scatter(
        name=name,
        title=f"{NAMES[y].removeprefix('the ').capitalize()} against {NAMES[x].removeprefix('the ')}",
        caption=f"Each point is one of {relation.found.runs} runs with {percent(relation.sparsity)} of the weights "
        "pruned. "
        + (f"{said[:1].upper()}{said[1:]}. " if said else "")
        + ("The line is where both gaps are the same." if x == BEFORE else "ΔL on a logarithmic scale.")
        + left_out,
        groups=tuple(groups),
        x_name=AXES[x],
        y_name=AXES[y],
        log_x=x == DELTA,
        diagonal=x == BEFORE,
        note=f"{rho_text(relation.found)}, {_counts(relation)}" if relation.found.rho is not None else "",
    )
