"""Numbers against λ, the step-size constraint of Laurent et al. 2020, by criterion. Nothing here is a plugin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunekit import CurvePanel, Curves, Line

from ._over_seeds import Ends, centre, line
from ._populations import MOST_PANELS, Pruned, by_criterion, by_seed, comparable, listed, seeds, shortened, with_figures
from ._setting import DEFAULT_CRITERION, lambda_name, percent


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

    A criterion of which no population has a λ is a dashed level; pruning by magnitude is the same whatever π is. None
    where no criterion has two λ. ``said`` says in a sentence what the populations of a figure show.
    """
    figures = []
    sparsities, left_out = with_figures(comparable(populations))
    for sparsity, of_sparsity in sparsities.items():
        schedules = _by_schedule(of_sparsity)
        for schedule, group in schedules.items():
            panels = _panels(group, quantities)
            if not panels:
                continue
            parts = ([percent(sparsity)] if len(sparsities) > 1 else []) + ([schedule] if len(schedules) > 1 else [])
            figures.append(
                Curves(
                    name=".".join([name, *(part.replace(" %", "") for part in parts)]),
                    title=f"{title}: {', '.join(parts)}" if parts else title,
                    caption=_caption(group, quantities, panels, sparsity) + said(group) + left_out,
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
    for criterion, group in by_criterion(populations).items():
        for setting in (each.setting for each in group):
            if setting.regularisation is not None and schedule in (None, setting.schedule):
                lambdas.setdefault((setting.rounds, criterion), set()).add(setting.regularisation)
    return sorted({rounds for (rounds, _), values in lambdas.items() if len(values) > 1})


def _panels(populations: Sequence[Pruned], quantities: Sequence[Quantity]) -> list[CurvePanel]:
    rounds = _rounds(populations)[-MOST_PANELS:]
    shown = [each.setting.regularisation for each in populations if each.setting.rounds in rounds]
    lambdas = sorted({value for value in shown if value is not None})
    panels = []
    for count in rounds:
        for quantity in quantities:
            lines = []
            for criterion, group in by_criterion(populations).items():
                mine = [each for each in group if each.setting.rounds == count]
                mine = mine or (group if group[0].setting.criterion == DEFAULT_CRITERION else [])
                lines += _line(criterion, mine, lambdas, quantity, level=_is_level(group))
            if lines:
                heading = f"{count} round{'s' * (count > 1)}"
                panels.append(CurvePanel(quantity.name, tuple(lines), title=heading, log=quantity.log))
    return panels


def _is_level(populations: Sequence[Pruned]) -> bool:
    """Return whether no population of a criterion has a λ: one without among others has a default that is not known."""
    return all(each.setting.regularisation is None for each in populations)


def _line(
    criterion: str, populations: Sequence[Pruned], lambdas: Sequence[float], quantity: Quantity, *, level: bool
) -> list[Line]:
    """Return the line of a criterion, or none where it has no numbers."""

    def ends(chosen: Sequence[Pruned]) -> Ends:
        return centre(quantity.factor * by_seed(chosen, quantity.key), log=quantity.log)

    if level:
        found = [ends(populations)] * len(lambdas)
    else:
        found = [ends([each for each in populations if each.setting.regularisation == value]) for value in lambdas]
    names = [lambda_name(value) for value in lambdas]
    return [line(criterion, names, found, dashed=level)] if any(y is not None for y, _, _ in found) else []


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
    settings = [each.setting for each in populations]
    same = Counter((each.criterion, each.regularisation, each.rounds, each.variant) for each in settings)
    if max(same.values()) > 1:
        text += " Populations of the same setting are averaged."
    if levels := list(dict.fromkeys(line.name for line in lines if line.dashed)):
        text += f" Dashed: {listed(levels)}, which {'has' if len(levels) == 1 else 'have'} no λ."
    groups = [group for group in by_criterion(populations).values() if not _is_level(group)]
    if unknown := [each.name for group in groups for each in group if each.setting.regularisation is None]:
        text += f" Not shown: {shortened(unknown)}, whose λ is the default of the criterion, which is not known here."
    if (left := len(_rounds(populations)) - MOST_PANELS) > 0:
        text += f" {left} smaller number{'s' * (left > 1)} of rounds {'has' if left == 1 else 'have'} no panel."
    return text
