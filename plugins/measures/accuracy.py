"""How often the members are right, overall and per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import Column, Comparison, Headline, Measure, Number, StudyColumns, Summary, Table, register

from ._statistics import known, mean_interval, spread


def member_accuracies(predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the share of examples that each member gets right, [M] in [0, 1], of predicted labels [M, N].

    NaN where there are no examples. Raises ValueError unless there is one label per example and at least one member.
    """
    if predictions.ndim != 2 or len(predictions) == 0 or predictions.shape[1:] != labels.shape:
        raise ValueError(
            "expected predictions [members, examples] of at least one member and labels [examples]: "
            f"got {predictions.shape} and {labels.shape}"
        )
    if not len(labels):
        return np.full(len(predictions), np.nan)
    right: NDArray[np.float64] = np.mean(predictions == labels, axis=1)
    return right


def class_accuracies(
    predictions: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.float64]:
    """Return the accuracy per true class, mean over members, [C] in [0, 1]; NaN for a class without examples."""
    right = np.mean(predictions == labels, axis=0)
    images = np.bincount(labels, minlength=classes)
    total = np.bincount(labels, weights=right, minlength=classes)
    share: NDArray[np.float64] = np.divide(total, images, out=np.full(classes, np.nan), where=images > 0)
    return share


@register("accuracy")
class Accuracy(Measure):
    """Share of examples whose predicted label is the true one: mean ± std (ddof 1) over members, and per class."""

    needs = ("label",)

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate the accuracy of every population, and per class that of every comparison."""
        summary = Summary()
        rows: list[tuple[Any, ...]] = []
        per_class: dict[str, list[float | None]] = {}
        for name, population in study.populations.items():
            members = member_accuracies(population["prediction"], study.labels)
            mean, std = known(members.mean()), spread(members)
            by_class = class_accuracies(population["prediction"], study.labels, len(study.classes))
            per_class[name] = [known(value) for value in by_class]
            summary.populations[name] = {
                "mean": mean,
                "std": std,
                "interval": mean_interval(members),
                "members": [known(member) for member in members],
                "per_class": dict(zip(study.classes, per_class[name], strict=True)),
            }
            ends = known(members.min()), known(members.max())
            rows.append((name, len(members), population.sparsity, mean, std, *ends))
        summary.headline = Headline(
            "accuracy, %",
            ".2f",
            populations={name: _in_percent(each) for name, each in summary.populations.items()},
            note="accuracy: mean ± standard deviation (ddof 1) over members",
        )
        summary.tables = [_overall(rows), *(_per_class(study, each, per_class) for each in comparisons)]
        for comparison in comparisons:
            before, after = (summary.populations[x]["mean"] for x in (comparison.reference, comparison.pruned))
            some = before is not None  # without examples there is no accuracy, in neither population
            summary.comparisons.append({"difference": after - before if some else None})
            summary.clauses.append(_clause(before, after, summary.populations, comparison.control) if some else "")
        return summary


def _clause(before: float, after: float, populations: dict[str, Any], control: str | None) -> str:
    """Say where the accuracy went, and where fine-tuning alone takes it."""
    text = f"accuracy {100 * before:.1f} → {100 * after:.1f} %"
    if control is not None:
        text += f" ({100 * populations[control]['mean']:.1f} % with the fine-tuning alone, {control})"
    return text


def _in_percent(accuracy: dict[str, Any]) -> Number:
    mean, std, interval = (accuracy[key] for key in ("mean", "std", "interval"))
    return Number(
        None if mean is None else 100 * mean,
        spread=None if std is None else 100 * std,
        interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
    )


def _overall(rows: list[tuple[Any, ...]]) -> Table:
    return Table(
        title="Accuracy",
        columns=(
            Column("Population"),
            Column("Members", "d"),
            Column("Weights pruned", ".1%"),
            Column("Mean", ".2%"),
            Column("Std", ".2%"),
            Column("Lowest", ".2%"),
            Column("Highest", ".2%"),
        ),
        rows=rows,
        note="Mean and standard deviation (ddof 1) over members.",
    )


def _per_class(study: StudyColumns, comparison: Comparison, per_class: dict[str, list[float | None]]) -> Table:
    """Accuracy by true class: reference, pruned, what pruning changed, and the control."""
    shown = [comparison.reference, comparison.pruned, *([comparison.control] if comparison.control else [])]
    images = np.bincount(study.labels, minlength=len(study.classes)).tolist()
    before, after = per_class[comparison.reference], per_class[comparison.pruned]
    change = [None if x is None or y is None else 100 * (y - x) for x, y in zip(before, after, strict=True)]
    values = [list(study.classes), images, before, after, *(per_class[name] for name in shown[2:]), change]
    return Table(
        title=f"Accuracy by class: {comparison.name}",
        columns=(
            Column("Class"),
            Column("Examples", ",d"),
            *(Column(name, ".1%") for name in shown),
            Column("Change, points", "+z.1f"),
        ),
        rows=list(zip(*values, strict=True)),
        note=f"Change: {comparison.pruned} less {comparison.reference}.",
        comparison=comparison,
    )
