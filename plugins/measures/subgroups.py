"""Which groups of examples, named in a file, pruning costs more than others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import Column, Comparison, Measure, StudyColumns, Summary, Table, register

from . import _impact
from ._chance import permutation_test
from ._groups import Grouping, read_groups
from ._impact import Accuracies, Impact, Words
from ._statistics import Floats, known
from ._votes import Ties
from .accuracy import member_accuracies
from .pie import pruning_identified_exemplars

WORDS = Words("accuracy", "group", "groups")
Numbers = dict[str, list[Any]]
"""Numbers of every group, [G], by what they are."""


@register("subgroups", source="tests as in Hooker et al. 2019, arXiv 1911.05248; Benjamini and Hochberg 1995")
class Subgroups(Measure):
    """Accuracy and PIEs by group of examples, with the same tests as of ``class_impact``.

    Their p is adjusted for the groups of all groupings together.
    """

    needs = ("label",)

    groups: str = Field(min_length=1)
    """A CSV file in UTF-8. Its column ``example_id`` names the examples of the split that is observed, each once;
    every other column is a grouping, its values the groups; an empty value: in none of them. A relative path starts
    from the working folder; ``~`` is the home folder."""
    ties: Ties = "smallest"
    """Which class index wins of labels with as many votes, for PIEs."""
    permutations: int = Field(default=1000, gt=0)
    """Permutations of the members that give the PIEs to expect by chance."""

    def check(self) -> None:
        """Raise InputError, naming file and line, unless the file is as above; ids are compared in a report."""
        read_groups(self.groups)

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Test every group in every comparison. Raises InputError where the file has other ids than the study."""
        groupings = read_groups(self.groups).groupings(study.ids)
        names = [f"{each.name} = {group}" for each in groupings for group in each.groups]
        accuracies = {
            name: _accuracies(population["prediction"], study.labels, groupings)
            for name, population in study.populations.items()
        }

        def impact(reference: str, pruned: str) -> Impact:
            return Impact.between(WORDS, names, accuracies[reference], accuracies[pruned])

        summary = Summary(readings=[_impact.reading(WORDS, comparisons)] if comparisons else [])
        for each in comparisons:
            pruned = impact(each.reference, each.pruned)
            control = impact(each.reference, each.control) if each.control is not None else None
            numbers = {
                "examples": _sums(groupings, np.ones(len(study.ids))).astype(int).tolist(),
                "reference": accuracies[each.reference].groups.mean(axis=0).tolist(),
                "pruned": accuracies[each.pruned].groups.mean(axis=0).tolist(),
                **self._pies(study, each, groupings),
            }
            summary.comparisons.append(_as_json(groupings, numbers, pruned, control))
            summary.tables.append(_table(each, numbers, pruned, control))
            summary.whom.append(_impact.whom(pruned))
            summary.figures.append(_impact.bars(pruned, each, self.name))
        return summary

    def _pies(self, study: StudyColumns, comparison: Comparison, groupings: Sequence[Grouping]) -> Numbers:
        """Return the PIEs of a comparison, and how many to expect by chance."""
        one, two = study.populations[comparison.reference], study.populations[comparison.pruned]
        votes = one["prediction"], two["prediction"]
        paired = comparison.paired and one.seeds == two.seeds
        chance = permutation_test(*votes, paired=paired, ties=self.ties, permutations=self.permutations)
        pies = pruning_identified_exemplars(*votes, self.ties)
        return {
            "pies": _sums(groupings, pies).astype(int).tolist(),
            "expected_pies": _sums(groupings, chance.expected_by_example).tolist(),
        }


def _accuracies(
    predictions: NDArray[np.integer], labels: NDArray[np.integer], groupings: Sequence[Grouping]
) -> Accuracies:
    """Return how often members are right, in the groups of all groupings side by side."""
    right = predictions == labels
    groups = [_impact.group_accuracies(right, each.group_of, len(each.groups)) for each in groupings]
    return Accuracies(member_accuracies(predictions, labels), np.concatenate(groups, axis=1))


def _sums(groupings: Sequence[Grouping], values: NDArray[Any]) -> Floats:
    """Return the sum of ``values`` [N] over each group, [G]."""
    sums = []
    for each in groupings:
        inside = each.group_of >= 0
        sums.append(np.bincount(each.group_of[inside], weights=values[inside], minlength=len(each.groups)))
    return np.concatenate(sums)


def _as_json(groupings: Sequence[Grouping], numbers: Numbers, impact: Impact, control: Impact | None) -> dict[str, Any]:
    entries = iter(
        {
            **{key: values[i] for key, values in numbers.items()},
            "change": known(impact.change[i]),
            **impact.entry(i),
            "control": None if control is None else control.entry(i),
        }
        for i in range(len(impact.names))
    )
    found = {each.name: {group: next(entries) for group in each.groups} for each in groupings}
    return {"groupings": found, **impact.totals()}


def _table(comparison: Comparison, numbers: Numbers, impact: Impact, control: Impact | None) -> Table:
    return Table(
        title=f"Accuracy and PIEs by group: {comparison.name}",
        columns=(
            Column("Group"),
            Column("Examples", ",d"),
            Column(comparison.reference, ".1%", "Accuracy"),
            Column(comparison.pruned, ".1%", "Accuracy"),
            *_impact.columns(comparison.pruned),
            *(_impact.columns(comparison.control) if comparison.control else ()),
            Column("Found", ",d", "PIEs"),
            Column("By chance", ",.1f", "PIEs"),
        ),
        rows=[
            (
                name,
                *(numbers[key][i] for key in ("examples", "reference", "pruned")),
                *impact.cells(i),
                *(control.cells(i) if control else ()),
                *(numbers[key][i] for key in ("pies", "expected_pies")),
            )
            for i, name in enumerate(impact.names)
        ],
        note=f"{_impact.note(impact)} PIEs: examples whose modal label changes, beside the mean number when it does "
        "not matter which population a member belongs to.",
        comparison=comparison,
    )
