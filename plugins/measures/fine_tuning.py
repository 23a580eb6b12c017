"""How pruned networks recover, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from prunekit import (
    Column,
    Comparison,
    CurvePanel,
    Curves,
    Line,
    Measure,
    ObservedMember,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._lineage import Pruning, last_pruning, losses, noted, validation_error
from ._over_seeds import centre, line, mean
from ._populations import Pruned, as_json, by_criterion, by_name, pruned_populations, seeds, with_figures
from ._setting import percent, setting_name
from ._statistics import Floats, known

CURVES = {"losses": ("training loss", True, 1), "errors": ("validation error, %", False, 100)}
"""What is noted by epoch: name, whether its axis is logarithmic, factor."""
MOST_LINES = 7
"""Criteria in a figure: as many as there are colours."""


@register("fine_tuning", version=2, source="Laurent et al. 2020, arXiv 2006.12279, fig. 15")
class FineTuning(Measure):
    """Fine-tuning: training loss and validation error by epoch, after the last stage that only prunes.

    The training loss is what the stages minimised on their own batches, augmented, mean over an epoch. The final error
    is that of the weights that the last of them ended with: of the epoch that ``select`` chose. Beside them stands ΔL,
    which costs two passes over the training images per member.
    """

    notes = True

    def note(self, member: ObservedMember) -> dict[str, Any]:
        """Return losses and errors of every epoch, the final error, and ΔL; of others the validation error alone."""
        pruning = last_pruning(member)
        if pruning is None:
            return {"pruning": None, "error": validation_error(member)}
        return {**noted(pruning), "delta": losses(pruning)["delta"], **_by_epoch(pruning), "final": _final(pruning)}

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate where every population ends, and draw one population of each criterion by epoch."""
        pruned = pruned_populations(study, self.name)
        tuned = [each for each in pruned if _epochs(each)]
        summary = Summary(
            populations=by_name(study, self.name, pruned, _json_of, "error"),
            figures=list(_figures(tuned)),
        )
        if tuned:
            summary.tables.append(_table(tuned))
            summary.readings.append(
                "fine_tuning: the training loss by epoch is what the stages after the last pruning minimised on "
                "their own batches, augmented; the validation error is that of the network at the end of the epoch"
            )
        return summary


def _by_epoch(pruning: Pruning) -> dict[str, list[float | None]]:
    """Return training loss and validation error of the epochs of all stages that train after the pruning."""
    rows = [row for stage in pruning.training for row in stage.epochs]
    return {"losses": [_known(row["loss"]) for row in rows], "errors": [_error(row) for row in rows]}


def _final(pruning: Pruning) -> float | None:
    """Return the validation error of the epoch whose weights the last stage that trained ended with."""
    if not pruning.training:
        return None
    stage = pruning.training[-1]
    chosen = [row for row in stage.epochs if row["epoch"] == stage.selected] or stage.epochs[-1:]
    return _error(chosen[0]) if chosen else None


def _error(epoch: Mapping[str, Any]) -> float | None:
    accuracy = _known(epoch["accuracy"])
    return None if accuracy is None else 1 - accuracy


def _known(value: float | None) -> float | None:
    return None if value is None else known(value)


def _epochs(pruned: Pruned) -> int:
    """Return the epochs that all members have."""
    return min(len(note["losses"]) for note in pruned.notes)


def _by_member(pruned: Pruned, key: str) -> Floats:
    """Return a number by epoch, [M, E], not a number where it does not exist."""
    epochs = _epochs(pruned)
    rows = [[np.nan if value is None else value for value in note[key][:epochs]] for note in pruned.notes]
    return np.array(rows, dtype=np.float64).reshape(len(rows), epochs)


def _mean_by_epoch(pruned: Pruned, key: str) -> list[float | None]:
    return [mean(values) for values in _by_member(pruned, key).T]


def _json_of(pruned: Pruned) -> dict[str, Any]:
    curves = {key: _mean_by_epoch(pruned, key) for key in CURVES}
    return as_json(pruned, ("delta", "final")) | {"epochs": _epochs(pruned), **curves}


def _table(pruned: Sequence[Pruned]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for each in pruned:
        loss, error = (_by_member(each, key) for key in CURVES)
        lowest = np.fmin.reduce(error, axis=1)
        ends = mean(loss[:, 0]), mean(loss[:, -1])
        rows.append((each.name, _epochs(each), *ends, each.number("final"), mean(error[:, -1]), mean(lowest)))
    return Table(
        title="Fine-tuning",
        columns=(
            Column("Population"),
            Column("Epochs", "d"),
            Column("First", ".3g", group="Training loss"),
            Column("Last", ".3g", group="Training loss"),
            Column("Final", ".2%", group="Validation error"),
            Column("Last", ".2%", group="Validation error"),
            Column("Lowest", ".2%", group="Validation error"),
        ),
        rows=rows,
        note="Epochs after the last stage that only prunes: training loss of the first and the last one; validation "
        "error of the one whose weights the network has (final: the best one where the recipe selects it, else the "
        "last), of the last, and the lowest of any. Means over members, of the final error ± standard deviation "
        "(ddof 1).",
    )


# ------------------------------------------------------------------------------------------------------------ figures


def _figures(pruned: Sequence[Pruned]) -> Iterator[Curves]:
    """Yield a figure for each sparsity, a line for each criterion."""
    sparsities, left_out = with_figures(pruned)
    for sparsity, group in sparsities.items():
        shown = {setting_name(each.setting, name): each for name, each in _chosen(group).items()}
        panels = [panel for key in CURVES for panel in _panel(shown, key)]
        if not panels:
            continue
        several = len(sparsities) > 1
        yield Curves(
            name="fine_tuning" + (f".{100 * sparsity:.6g}" if several else ""),
            title="Fine-tuning by epoch" + (f": {percent(sparsity)}" if several else ""),
            caption=f"{' and '.join(panel.y_name for panel in panels).capitalize()} by epoch of the fine-tuning, with "
            f"{percent(sparsity)} of the weights pruned: mean over {seeds(list(shown.values()))} of each population, "
            f"of the loss the geometric one, with 95 % intervals. {_which(group)}{left_out}".strip(),
            x_name="epoch",
            panels=tuple(panels),
        )


def _chosen(pruned: Sequence[Pruned]) -> dict[str, Pruned]:
    """Return of each criterion the population with the smallest mean ΔL, the first one where there is none.

    One that was pruned several times is chosen where there is no other: its ΔL is that of a part.
    """
    best = {name: min(group, key=_order) for name, group in by_criterion(pruned).items()}
    return dict(list(best.items())[:MOST_LINES])


def _order(pruned: Pruned) -> tuple[bool, float]:
    value = pruned.mean("delta")
    return not pruned.sole, np.inf if value is None else value


def _which(pruned: Sequence[Pruned]) -> str:
    """Say how the lines were chosen."""
    criteria = by_criterion(pruned)
    text = ""
    if any(len(group) > 1 for group in criteria.values()):
        known_delta = any(each.mean("delta") is not None for each in pruned)
        text = "Of each criterion the setting with the smallest mean ΔL." if known_delta else "Of each criterion one."
    if len(criteria) > MOST_LINES:
        text += f" {len(criteria) - MOST_LINES} more criteria are in the table alone."
    return text


def _panel(shown: Mapping[str, Pruned], key: str) -> list[CurvePanel]:
    """Return the lines of all populations, or no panel where there are no numbers."""
    name, log, factor = CURVES[key]
    lines: list[Line] = []
    for title, pruned in shown.items():
        columns = factor * _by_member(pruned, key).T
        ends = [centre(values[np.isfinite(values)], log=log) for values in columns]
        if any(y is not None for y, _, _ in ends):
            lines.append(line(title, [float(i + 1) for i in range(len(ends))], ends))
    return [CurvePanel(name, tuple(lines), log=log)] if lines else []
