"""What pruning in rounds does to the weights and the loss: linear against exponential. Nothing here is a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from prunekit import CurvePanel, Curves, Line

from ._over_seeds import centre, line
from ._populations import Pruned, by_criterion, by_seed, by_sparsity, comparable, seeds, with_figures
from ._setting import percent
from ._statistics import Floats

MOST_CRITERIA = 3
"""Criteria that a figure shows, with a line for each schedule."""


def round_figures(populations: Sequence[Pruned]) -> list[Curves]:
    """Return linear against exponential, for each sparsity: ΔL by number of rounds, then round by round.

    A criterion with several λ is shown with the one whose mean ΔL is smallest. None where there is one schedule.
    """
    figures: list[Curves] = []
    sparsities, left_out = with_figures(comparable(populations))
    for sparsity, group in sparsities.items():
        where = f".{100 * sparsity:.6g}" if len(sparsities) > 1 else ""
        lines, more = _lines(group)
        if lines:
            also = f" {more} more criteri{'on has' if more == 1 else 'a have'} no line." if more else ""
            figures += _by_number(lines, sparsity, where, also + left_out)
            figures += _round_by_round(lines, sparsity, where, also + left_out)
    return figures


def round_findings(populations: Sequence[Pruned]) -> list[str]:
    """Say, for each sparsity and schedule, in how many runs the most rounds give a smaller ΔL than one.

    Runs of the same criterion, λ and seed are held against each other; none is said where there are no such runs.
    """
    said = []
    sparsities = by_sparsity(comparable(populations))
    for sparsity, group in sparsities.items():
        where = f"With {percent(sparsity)} of the weights pruned, " if len(sparsities) > 1 else ""
        for schedule in dict.fromkeys(each.setting.schedule for each in group if each.setting.rounds > 1):
            most = max(each.setting.rounds for each in group if each.setting.schedule == schedule)
            ratios = _ratios(group, schedule, most)
            runs = np.concatenate([*ratios, np.empty(0)])
            if len(runs):
                smaller = f"{np.count_nonzero(runs < 1)} of {len(runs)} runs"
                said.append(
                    f"{where}ΔL is smaller after {most} {schedule} rounds than after one in {smaller} ({len(ratios)} "
                    f"setting{'s' * (len(ratios) > 1)}), in the median {np.median(runs):.2g} times as large."
                )
    return said


def _ratios(populations: Sequence[Pruned], schedule: str, most: int) -> list[Floats]:
    """Return ΔL after the most rounds as a share of ΔL after one: of each criterion, variant and λ, of each seed."""
    found = []
    for many in populations:
        if (many.setting.schedule, many.setting.rounds) != (schedule, most):
            continue
        once = [each for each in populations if each.setting.rounds == 1 and _scored(each) == _scored(many)]
        for one in once[:1]:
            of_one = dict(zip(one.seeds, one.values("delta").tolist(), strict=True))
            pairs = [
                (value, of_one.get(seed, np.nan)) for seed, value in zip(many.seeds, many.values("delta"), strict=True)
            ]
            ratios = np.array([value / other for value, other in pairs if other > 0 and np.isfinite(value)])
            found += [ratios] if len(ratios) else []
    return found


def _scored(pruned: Pruned) -> tuple[str, float | None, str]:
    return pruned.setting.criterion, pruned.setting.regularisation, pruned.setting.variant


Best = Mapping[int, Pruned]
"""By number of rounds: the population of the λ whose mean ΔL is smallest."""


def _lines(populations: Sequence[Pruned]) -> tuple[dict[tuple[str, str], Best], int]:
    """Return what is compared by criterion and schedule, and how many more criteria could be.

    Criteria that follow several schedules for several rounds are compared, those with λ first.
    """
    found: dict[tuple[str, str], Best] = {}
    criteria = by_criterion(populations)
    several = [criterion for criterion, group in criteria.items() if len(_schedules(group)) > 1]
    several.sort(key=lambda each: criteria[each][0].setting.regularisation is None)
    for criterion in several[:MOST_CRITERIA]:
        group = criteria[criterion]
        for schedule in _schedules(group):
            mine = [each for each in group if each.setting.schedule == schedule or each.setting.rounds == 1]
            mine.sort(key=lambda each: each.setting.rounds)
            rounds = groupby(mine, key=lambda each: each.setting.rounds)
            best = {count: min(some, key=_mean_delta) for count, some in rounds}
            found[criterion, schedule] = best
    return found, max(0, len(several) - MOST_CRITERIA)


def _schedules(populations: Sequence[Pruned]) -> list[str]:
    """Return the schedules that are followed for several rounds."""
    return sorted({each.setting.schedule for each in populations if each.setting.rounds > 1})


def _mean_delta(pruned: Pruned) -> float:
    value = pruned.mean("delta")
    return np.inf if value is None else value


def _name(key: tuple[str, str]) -> str:
    return ", ".join(key)  # criterion, schedule


def _at_best(populations: Sequence[Pruned]) -> str:
    """Say on the axis that λ was chosen, where there are some: a file has no caption."""
    return ", λ of smallest ΔL" if any(each.setting.regularisation is not None for each in populations) else ""


def _by_number(lines: Mapping[tuple[str, str], Best], sparsity: float, where: str, also: str) -> list[Curves]:
    """Return ΔL and ‖Δθ‖² by number of rounds."""
    rounds = sorted({count for best in lines.values() for count in best})
    if len(rounds) < 2:
        return []
    panels = []
    for key, name in (("delta", "ΔL"), ("squared_change", "‖Δθ‖²")):
        drawn = []
        for each, best in lines.items():
            ends = [centre(by_seed([best[n]] if n in best else [], key), log=True) for n in rounds]
            if any(y is not None for y, _, _ in ends):
                drawn.append(line(_name(each), [str(n) for n in rounds], ends))
        if drawn:
            panels.append(CurvePanel(name, tuple(drawn), log=True))
    if not panels:
        return []
    everything = [pruned for best in lines.values() for pruned in best.values()]
    return [
        Curves(
            name=f"loss_change.schedules{where}",
            title="Schedules: ΔL by number of rounds",
            caption=f"{' and '.join(panel.y_name for panel in panels)} by number of rounds π with {percent(sparsity)} "
            f"of the weights pruned, geometric means over {seeds(everything)}, with 95 % intervals over seeds. Of each "
            f"criterion and π the λ with the smallest mean ΔL.{also}",
            x_name="rounds π" + _at_best(everything),
            panels=tuple(panels),
        )
    ]


def _round_by_round(lines: Mapping[tuple[str, str], Best], sparsity: float, where: str, also: str) -> list[Curves]:
    """Return ‖Δθ‖² of every round, and ΔL after it where that was observed, of the largest number of rounds."""
    most = max(count for best in lines.values() for count in best)
    shown = {_name(key): best[most] for key, best in lines.items() if most in best}
    if most < 2 or len(shown) < 2:
        return []
    panels = []
    for name, key in (("‖Δθ‖² of the round", "squared_changes"), ("ΔL after the round", "deltas")):
        drawn = [found for title, pruned in shown.items() for found in _steps(title, pruned, key)]
        if drawn:
            panels.append(CurvePanel(name, tuple(drawn), log=True))
    if not panels:
        return []
    return [
        Curves(
            name=f"loss_change.rounds{where}",
            title=f"Schedules: round by round, {most} rounds",
            caption=f"{' and '.join(panel.y_name for panel in panels)} with {percent(sparsity)} of the weights pruned "
            f"in {most} rounds, geometric means over {seeds(list(shown.values()))}, with 95 % intervals over seeds. "
            f"Of each criterion the λ with the smallest mean ΔL.{also}",
            x_name="round" + _at_best(list(shown.values())),
            panels=tuple(panels),
        )
    ]


def _steps(name: str, pruned: Pruned, key: str) -> list[Line]:
    """Return a line over the rounds, or none where nothing was noted of them."""
    noted = [note[key] for note in pruned.notes if note[key]]
    if not noted:
        return []
    length = min(map(len, noted))
    members = np.array([[np.nan if value is None else value for value in each[:length]] for each in noted], np.float64)
    ends = [centre(_there(members[:, i]), log=True) for i in range(length)]
    if all(y is None for y, _, _ in ends):
        return []
    return [line(name, [float(i + 1) for i in range(length)], ends)]


def _there(values: Floats) -> Floats:
    found: Floats = values[np.isfinite(values)]
    return found
