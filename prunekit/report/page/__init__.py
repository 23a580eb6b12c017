"""A report as one HTML page that holds everything itself, made to be sent to somebody who was not there."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import prunekit
from prunekit.protocols import Comparison, Measure
from prunekit.report.arrays import LoadedStudy
from prunekit.report.build import Report
from prunekit.report.cells import LEVEL, MARK, is_marked
from prunekit.report.files import check_file, replacing
from prunekit.report.page.answer import MOST_IN_FULL, answer_of_all, answers
from prunekit.report.page.asked import described, facts, population_table
from prunekit.report.page.gallery import Gallery, build_gallery
from prunekit.report.page.limits import limits
from prunekit.report.page.parts import ShownFigure, ShownTable, shown_table
from prunekit.report.page.pictures import drawable, pictures
from prunekit.tables import Summary

HERE = Path(__file__).parent


def write_page(study: LoadedStudy, report: Report, comparisons: Sequence[Comparison], path: Path) -> None:
    """Write the page of a report on ``comparisons``, whole or not at all.

    Raises InputError where ``path`` cannot be written.
    """
    check_file("--html", path)
    page = to_html(study, report, comparisons)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def to_html(study: LoadedStudy, report: Report, comparisons: Sequence[Comparison]) -> str:
    """Return the page: one document that fetches nothing. All text from data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(_context(study, report, comparisons))


@dataclass(frozen=True)
class Section:
    """What one measure says."""

    measure: str
    heading: str
    explanation: str
    tables: list[ShownTable]
    figures: list[ShownFigure]
    left_out: int
    """Figures that the page has no room for."""


def _context(study: LoadedStudy, report: Report, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    names = [each.comparison for each in report.sentences]
    populations = study.columns.populations
    said = [table for summary in report.by_measure.values() for table in summary.tables]
    overview = [shown_table(table, names) for table in report.tables if table not in said]
    drawn = pictures(report, names)
    sections = [_section(measure, report.by_measure[measure.name], names, drawn) for measure in study.measures]
    sections = [section for section in sections if section.tables or section.figures]
    gallery = _gallery(study, report, comparisons)
    contents = {"asked": "What was asked", "answer": "The answer"}
    contents |= {"overview": "Overview"} if overview else {}
    contents |= {"gallery": "Examples that changed"} if gallery else {}
    contents |= {f"measure-{section.measure}": section.heading for section in sections}
    contents |= {"limits": "What the numbers cannot say", "made": "How it was made"}
    return {
        "version": prunekit.__version__,
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
        "title": report.title,
        "name": study.name,
        "about": study.about,
        "facts": facts(study, comparisons),
        "compared": "; ".join(described(comparisons)) if len(names) <= MOST_IN_FULL else "",
        "contents": contents,
        "comparisons": names,
        "populations": shown_table(population_table(study), names),
        "answers": answers(report, comparisons, populations),
        "overall": answer_of_all(report, comparisons, populations) if len(names) > MOST_IN_FULL else None,
        "headline_notes": [*_headline_notes(report)],
        "overview": overview,
        "gallery": gallery,
        "gallery_data": _script_data(gallery.data) if gallery else "",
        "sections": sections,
        "limits": list(limits(study, report, comparisons)),
        "notes": report.notes,
        "readings": report.readings,
        "recipe": _yaml(study.about.recipe),
    }


def _headline_notes(report: Report) -> Iterator[str]:
    headlines = [summary.headline for summary in report.by_measure.values() if summary.headline]
    yield from (headline.note for headline in headlines if headline.note)
    if any(is_marked(number) for headline in headlines for number in headline.comparisons):
        yield f"{MARK} more than seed noise alone gives (p ≤ {LEVEL:g}, each on its own)"


def _section(measure: Measure, summary: Summary, names: Sequence[str], drawn: Mapping[str, ShownFigure]) -> Section:
    """A measure under the title of its first table, which then needs none, or under its own name."""
    tables = [shown_table(table, names) for table in summary.tables]
    heading = measure.name.replace("_", " ").capitalize()
    if tables:
        heading = tables[0].name.split(":")[0]
        tables[0] = replace(tables[0], title="" if tables[0].name == heading else tables[0].name)
    wanted = drawable(summary.figures)
    figures = [drawn[figure.name] for figure in wanted if figure.name in drawn]
    explanation = inspect.cleandoc(type(measure).__doc__ or "").split("\n\n")[0].removeprefix(f"{heading}: ")
    return Section(
        measure.name, heading, explanation[:1].upper() + explanation[1:], tables, figures, len(wanted) - len(figures)
    )


def _gallery(study: LoadedStudy, report: Report, comparisons: Sequence[Comparison]) -> Gallery | None:
    """Return the examples that changed; None where no measure names any."""
    if not any(summary.exemplars for summary in report.by_measure.values()):
        return None
    return build_gallery(study.columns, comparisons, report.exemplars, study.images)


def _script_data(data: Mapping[str, Any]) -> str:
    """Return JSON that ends no script element, whatever text is in it."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _yaml(recipe: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=100) if recipe else ""
