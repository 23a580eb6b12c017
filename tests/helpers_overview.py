"""Made-up studies along an axis, with the headline numbers that a test gives them."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from prunekit.comparison import Comparison
from prunekit.observed import Place
from prunekit.protocols import Measure
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, LoadedStudy
from prunekit.report.build import build_report
from prunekit.report.cells import shown
from prunekit.report.terminal import print_report
from prunekit.tables import Headline, Number, Summary


class Told(Measure):
    """Has the headline numbers that a test gives it."""

    name = "told"
    numbers: dict[str, Number]
    of_comparisons: bool = True

    def summarise(self, study, comparisons):
        if self.of_comparisons:
            return Summary(headline=Headline("PIE", ",d", comparisons=[self.numbers[c.pruned] for c in comparisons]))
        return Summary(headline=Headline("accuracy, %", ".2f", populations=self.numbers))


class Kept(Told):
    """The same, of populations."""

    name = "kept"
    of_comparisons: bool = False


def study_of(places, references=("dense",), measures=(), missing=(), published=None, reference_of=None):
    """Return a study in which every placed population is compared with a reference, the first by default."""
    names = [*references, *(name for name in places if name not in missing)]
    populations = {name: ArrayPopulation(name, (0, 1), 0.0, {"prediction": np.zeros((2, 3), int)}) for name in names}
    return LoadedStudy(
        name="grid",
        data={"name": "made-up", "split": "test", "examples": 3},
        columns=ArrayStudy(("cat",), ("a", "b", "c"), np.zeros(3, int), populations),
        comparisons=[
            Comparison((reference_of or {}).get(name, references[0]), name, None, True)
            for name in names[len(references) :]
        ],
        measures=list(measures),
        places=places,
        published=published,
    )


def numbered(names, start=1, **options):
    return {name: Number(start + i, **options) for i, name in enumerate(names)}


TWO = {
    "a-0.9": Place("s", 0.9, "A"),
    "a-0.3": Place("s", 0.3, "A"),
    "b-0.3": Place("s", 0.3, "B"),
    "b-0.9": Place("s", 0.9, "B"),
}


def overview(study, comparisons=None, **options):
    """Return the overview's headings and rows as text."""
    report = build_report(study, study.comparisons if comparisons is None else comparisons, **options)
    (table,) = [table for table in report.tables if table.title.startswith("Overview")]
    rows = [[shown(value, column) for value, column in zip(row, table.columns, strict=True)] for row in table.rows]
    return table, [(column.group, column.name) for column in table.columns], rows


def printed(report, width=120):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_report(report, console)
    return console.file.getvalue()
