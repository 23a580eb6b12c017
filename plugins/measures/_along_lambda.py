"""Numbers against λ, the step-size constraint of Laurent et al. 2020, by criterion. Nothing here is a plugin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunekit import CurvePanel, Curves, Line

from ._lineage import DEFAULT_CRITERION
from ._settings import (
    MOST_PANELS,
    Ends,
    Pruned,
    by_criterion,
    by_seed,
    by_sparsity,
    centre,
    lambda_name,
    line,
    listed,
    percent,
    seeds,
)


@dataclass(frozen=True)
class Quantity:
    """A number that a figure shows."""

    key: str
    name: str
    log: bool = False
    factor: float = 1.0


def lambda_figures(
    populations: Sequence[Pruned],
    quantities: Sequence[Quantity],
    name: str,
    title: str,
    said: Callable[[Sequence[Pruned]], str],
) -> list[Curves]:
    """Return numbers against λ by criterion, a figure for each sparsity and schedule, a panel for each π and quantity.

    A criterion without λ is a dashed level; pruning by magnitude is the same whatever π is. None where no criterion has
    two λ. ``said`` says in a sentence what the populations of a figure show.
    """
    figures = []
    sparsities = by_sparsity(populations)
    for sparsity in list(sparsities)[-MOST_PANELS:]:
        schedules = _by_schedule(sparsities[sparsity])
        for schedule, group in schedules.items():
            panels = _panels(group, quantities)
            if not panels:
                continue
            parts = ([percent(sparsity)] if len(sparsities) > 1 else []) + ([schedule] if len(schedules) > 1 else [])
            figures.append(
                Curves(
                    name=".".join([name, *(part.replace(" %", "") for part in parts)]),
                    title=f"{title}: {', '.join(parts)}" if parts else title,
                    caption=_caption(group, quantities, panels, sparsity) + said(group),
                    x_name="regularisation λ",
                    panels=tuple(panels),
                )
            )
    return figures


def _by_schedule(populations: Sequence[Pruned]) -> dict[str, list[Pruned]]:
    """Return the populations by schedule; in one round all are the same, and belong to each."""
    schedules = list(dict.fromkeys(each.setting.schedule for each in populations if each.setting.rounds > 1))
    once = [each for each in populations if each.setting.rounds == 1]
    if not schedules:
        return {"": once}
    magnitude = [each for each in populations if each.setting.criterion == DEFAULT_CRITERION]
    found = {}
    for schedule in schedules:
        mine = [each for each in populations if each in once or each in magnitude or each.setting.schedule == schedule]
        if _rounds(mine, schedule):
            found[schedule] = mine
    return found or {"": once}


def _rounds(populations: Sequence[Pruned], schedule: str | None = None) -> list[int]:
    """Return the numbers of rounds at which a criterion has several λ, ascending."""
    lambdas: dict[tuple[int, str], set[float]] = {}
    for setting in (each.setting for each in populations):
        if setting.regularisation is not None and schedule in (None, setting.schedule):
            lambdas.setdefault((setting.rounds, setting.criterion), set()).add(setting.regularisation)
    return sorted({rounds for (rounds, _), values in lambdas.items() if len(values) > 1})


def _panels(populations: Sequence[Pruned], quantities: Sequence[Quantity]) -> list[CurvePanel]:
    rounds = _rounds(populations)[-MOST_PANELS:]
    shown = [each.setting.regularisation for each in populations if each.setting.rounds in rounds]
    lambdas = sorted({value for value in shown if value is not None})
    names = [lambda_name(value) for value in lambdas]
    panels = []
    for count in rounds:
        for quantity in quantities:
            lines = []
            for criterion, group in by_criterion(populations).items():
                mine = [each for each in group if each.setting.rounds == count]
                mine = mine or (group if criterion == DEFAULT_CRITERION else [])
                lines += _line(criterion, mine, lambdas, names, quantity)
            if lines:
                heading = f"{count} round{'s' * (count > 1)}"
                panels.append(CurvePanel(quantity.name, tuple(lines), title=heading, log=quantity.log))
    return panels


def _line(
    criterion: str, populations: Sequence[Pruned], lambdas: Sequence[float], names: Sequence[str], quantity: Quantity
) -> list[Line]:
    """Return the line of a criterion, or none where it has no numbers."""

    def ends(chosen: Sequence[Pruned]) -> Ends:
        return centre(quantity.factor * by_seed(chosen, quantity.key), log=quantity.log)

    level = [each for each in populations if each.setting.regularisation is None]
    if level:
        found = [ends(level)] * len(lambdas)
    else:
        found = [ends([each for each in populations if each.setting.regularisation == value]) for value in lambdas]
    return [line(criterion, names, found, dashed=bool(level))] if any(y is not None for y, _, _ in found) else []


def _caption(
    populations: Sequence[Pruned], quantities: Sequence[Quantity], panels: Sequence[CurvePanel], sparsity: float
) -> str:
    lines = [line for panel in panels for line in panel.lines]
    some = " and ".join(dict.fromkeys(quantity.name for quantity in quantities))
    some = some[:1].upper() + some[1:]
    kinds = {quantity.log for quantity in quantities}
    means = {True: "geometric means", False: "means"}
    text = f"{some} against λ with {percent(sparsity)} of the weights pruned, "
    text += f"{' or '.join(means[kind] for kind in sorted(kinds, reverse=True))} over {seeds(populations)}."
    if any(line.low for line in lines):
        text += " Vertical bars: 95 % intervals over seeds."
    same = Counter((each.criterion, each.regularisation, each.rounds) for each in (p.setting for p in populations))
    if max(same.values()) > 1:
        text += " Populations of the same setting are averaged."
    if levels := list(dict.fromkeys(line.name for line in lines if line.dashed)):
        text += f" Dashed: {listed(levels)}, which {'has' if len(levels) == 1 else 'have'} no λ."
    return text
