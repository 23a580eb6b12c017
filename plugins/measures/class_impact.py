"""Which classes pruning costs more than others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import Column, Comparison, Measure, StudyColumns, Summary, Table, register

from . import _impact
from ._impact import Accuracies, Impact, Words
from ._statistics import known
from .accuracy import member_accuracies

WORDS = Words("recall", "class", "classes")


def class_precisions(
    predictions: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.float64]:
    """Return the share of each member's predictions of a class that are right, [M, C] in [0, 1].

    Of predicted labels [M, N] and true ones [N]; NaN where a member never predicts the class.
    """
    right = predictions == labels
    return np.concatenate(
        [_impact.group_accuracies(mine[None], said, classes) for mine, said in zip(right, predictions, strict=True)]
    )


@register("class_impact", source="Hooker et al. 2019, arXiv 1911.05248; Benjamini and Hochberg 1995")
class ClassImpact(Measure):
    """Change of recall and precision by class, and whether the recall changed otherwise than the accuracy overall.

    Per class Welch's t-test between the members of two populations, each member's recall less the mean accuracy of its
    population (Hooker et al.), and again less its own accuracy; adjusted for the number of classes. A class counts as
    changed where both p are at most 0.05.
    """

    needs = ("label",)

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Test every class in every comparison, with the control's change beside the pruned population's."""
        classes = len(study.classes)
        predictions = {name: population["prediction"] for name, population in study.populations.items()}
        accuracies = {
            name: Accuracies(
                member_accuracies(each, study.labels),
                _impact.group_accuracies(each == study.labels, study.labels, classes),
            )
            for name, each in predictions.items()
        }
        precisions = {
            name: _over_members(class_precisions(each, study.labels, classes)) for name, each in predictions.items()
        }

        def impact(reference: str, pruned: str) -> Impact:
            return Impact.between(WORDS, study.classes, accuracies[reference], accuracies[pruned])

        summary = Summary(readings=[_impact.reading(WORDS, comparisons)] if comparisons else [])
        for each in comparisons:
            pruned = impact(each.reference, each.pruned)
            control = impact(each.reference, each.control) if each.control is not None else None
            precision = precisions[each.pruned] - precisions[each.reference]
            summary.comparisons.append(_as_json(pruned, precision, control))
            summary.tables.append(_table(study, each, pruned, precision, control))
            summary.whom.append(_impact.whom(pruned))
            summary.figures.append(_impact.bars(pruned, each, self.name))
        return summary


def _over_members(precisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean, [C], over the members that predict the class; NaN where none does."""
    some = ~np.isnan(precisions)
    total, members = np.where(some, precisions, 0.0).sum(axis=0), some.sum(axis=0)
    mean: NDArray[np.float64] = np.divide(total, members, out=np.full(len(members), np.nan), where=members > 0)
    return mean


def _as_json(impact: Impact, precision: NDArray[np.float64], control: Impact | None) -> dict[str, Any]:
    classes = {
        name: {
            "recall_change": known(impact.change[i]),
            "precision_change": known(precision[i]),
            **impact.entry(i),
            "control": None if control is None else control.entry(i),
        }
        for i, name in enumerate(impact.names)
    }
    return {"classes": classes, **impact.totals()}


def _table(
    study: StudyColumns,
    comparison: Comparison,
    impact: Impact,
    precision: NDArray[np.float64],
    control: Impact | None,
) -> Table:
    images = np.bincount(study.labels, minlength=len(study.classes)).tolist()
    return Table(
        title=f"Class impact: {comparison.name}",
        columns=(
            Column("Class"),
            Column("Examples", ",d"),
            Column("Recall change, points", "+z.1f", comparison.pruned),
            Column("Precision change, points", "+z.1f", comparison.pruned),
            *_impact.columns(comparison.pruned),
            *(_impact.columns(comparison.control) if comparison.control else ()),
        ),
        rows=[
            (
                name,
                images[i],
                _impact.points(impact.change[i]),
                _impact.points(precision[i]),
                *impact.cells(i),
                *(control.cells(i) if control else ()),
            )
            for i, name in enumerate(study.classes)
        ],
        note=f"{_impact.note(impact)} Precision: mean over the members that predict the class at all.",
        comparison=comparison,
    )
