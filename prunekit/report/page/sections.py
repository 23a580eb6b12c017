"""What measures say, each in a section of its own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prunekit.comparison import Comparison
from prunekit.protocols import Measure
from prunekit.report.build import Report
from prunekit.report.page.parts import ShownFigure, ShownTable, shown_table
from prunekit.report.page.pictures import drawable
from prunekit.tables import Summary


@dataclass(frozen=True)
class Section:
    """Tables and figures under one heading."""

    tables: list[ShownTable]
    figures: list[ShownFigure]
    measure: str = ""
    heading: str = ""
    explanation: str = ""
    left_out: int = 0
    """Figures that the page has no room for."""


def common_section(
    report: Report, comparisons: Sequence[Comparison], drawn: Mapping[str, ShownFigure]
) -> Section | None:
    """Return what no measure says alone; None where there is nothing."""
    said = {id(table) for summary in report.by_measure.values() for table in summary.tables}
    tables = [shown_table(table, comparisons) for table in report.tables if id(table) not in said]
    of_measures = {figure.name for summary in report.by_measure.values() for figure in summary.figures}
    figures = [figure for name, figure in drawn.items() if name not in of_measures]
    return Section(tables, figures) if tables or figures else None


def measure_sections(
    measures: Sequence[Measure], report: Report, comparisons: Sequence[Comparison], drawn: Mapping[str, ShownFigure]
) -> Iterator[Section]:
    """Yield the section of every measure that has something to show, in their order."""
    for measure in measures:
        summary = report.by_measure[measure.name]
        if summary.tables or drawable(summary.figures):
            yield _section(measure, summary, comparisons, drawn)


def _section(
    measure: Measure, summary: Summary, comparisons: Sequence[Comparison], drawn: Mapping[str, ShownFigure]
) -> Section:
    """A measure under the title of its first table, which then needs none, or under its own name."""
    tables = [shown_table(table, comparisons) for table in summary.tables]
    heading = measure.name.replace("_", " ").capitalize()
    if tables:
        heading = tables[0].name.split(":")[0]
        tables[0] = replace(tables[0], title="" if tables[0].name == heading else tables[0].name)
    wanted = drawable(summary.figures)
    figures = [drawn[figure.name] for figure in wanted if figure.name in drawn]
    about = inspect.cleandoc(type(measure).__doc__ or "").split("\n\n")[0].removeprefix(f"{heading}: ")
    return Section(tables, figures, measure.name, heading, about[:1].upper() + about[1:], len(wanted) - len(figures))
