"""A report as one HTML page that holds everything itself, made to be sent to somebody who was not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import prunekit
from prunekit.comparison import Comparison
from prunekit.report.arrays import LoadedStudy
from prunekit.report.build import MOST_IN_FULL, Report
from prunekit.report.cells import MARK, MARKED, is_marked
from prunekit.report.files import check_file, replacing
from prunekit.report.page.answer import answer_of_all, answers
from prunekit.report.page.asked import described, facts, population_table, premise
from prunekit.report.page.gallery import Gallery, build_gallery
from prunekit.report.page.limits import limits
from prunekit.report.page.parts import shown_table
from prunekit.report.page.pictures import draw_figures
from prunekit.report.page.sections import common_section, measure_sections

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


def _context(study: LoadedStudy, report: Report, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    names = [each.comparison for each in report.sentences]
    populations = study.columns.populations
    drawn = draw_figures(report, comparisons)
    overview = common_section(report, comparisons, drawn)
    sections = list(measure_sections(study.measures, report, comparisons, drawn))
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
        "premise": premise(study),
        "compared": "; ".join(described(comparisons)) if len(names) <= MOST_IN_FULL else "",
        "contents": contents,
        "comparisons": names,
        "first": max(range(len(names)), key=lambda i: len(report.exemplars[i])) if len(names) > MOST_IN_FULL else 0,
        "populations": shown_table(population_table(study), comparisons),
        "answers": answers(report, comparisons, populations),
        "overall": answer_of_all(report, comparisons, populations) if len(names) > MOST_IN_FULL else None,
        "findings": report.findings,
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
    yield from (headline.note for headline in report.headlines if headline.note)
    if any(is_marked(number) for headline in report.headlines for number in headline.comparisons):
        yield f"{MARK} {MARKED}"


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

    return yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=88) if recipe else ""
