"""From a study and its comparisons to one report: a document, tables, sentences. Knows no measure by name."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunekit.comparison import Comparison
from prunekit.errors import InputError, PrunekitError
from prunekit.figures import Exemplar, Figure
from prunekit.observed import PopulationColumns, StudyColumns
from prunekit.protocols import Measure
from prunekit.registry import line_in, registry
from prunekit.report.arrays import LoadedStudy, Published
from prunekit.report.cells import PUBLISHED
from prunekit.report.overview import as_table, overviews
from prunekit.report.overview_figure import as_figure
from prunekit.report.published import as_json as published_as_json
from prunekit.report.published import with_published
from prunekit.tables import Headline, Summary, Table

MOST_IN_FULL = 4
"""Comparisons up to which a reader sees everything of each at once."""


@dataclass(frozen=True)
class Sentence:
    """What a comparison comes to."""

    comparison: str
    """``dense → sparse``."""
    text: str
    whom: str = ""
    """On whom it fell more than on others; "" where no measure has a word on it."""
    certainty: str = ""
    """How sure that is; "" where no measure has a word on it."""


@dataclass(frozen=True)
class Report:
    """What every renderer shows."""

    title: str
    document: dict[str, Any]
    """JSON: study, data, overview, published, populations, comparisons, findings, readings, notes. No NaN; what does
    not exist is None."""
    tables: tuple[Table, ...]
    by_measure: Mapping[str, Summary]
    """What every measure of the study said, in their order; ``tables`` and ``figures`` hold theirs, too."""
    figures: tuple[Figure, ...]
    exemplars: tuple[tuple[Exemplar, ...], ...]
    """The examples that changed, per comparison, the largest change of votes first; () where no measure names any."""
    sentences: tuple[Sentence, ...]
    readings: tuple[str, ...]
    notes: tuple[str, ...]
    findings: tuple[str, ...] = ()
    """What the measures find of the study as a whole, in their order."""

    @property
    def headlines(self) -> list[Headline]:
        """The headline numbers of the measures that have one, in the order of the measures."""
        return [summary.headline for summary in self.by_measure.values() if summary.headline is not None]


def build_report(study: LoadedStudy, comparisons: Sequence[Comparison], *, published: bool = False) -> Report:
    """Let every measure of ``study`` summarise it, and put their words and numbers together.

    Every measure of the study and every installed one has a key: what it did not say is None. With ``published`` the
    recipe's published numbers stand beside; raises InputError where it has none of what is compared.
    """
    summaries = {measure.name: _summary(measure, study.columns, comparisons) for measure in study.measures}
    sentences = [
        _sentence(study.columns.populations, comparison, i, summaries.values())
        for i, comparison in enumerate(comparisons)
    ]
    readings = _readings(study, summaries)
    findings = tuple(finding for summary in summaries.values() for finding in summary.findings)
    headlines = _headlines(summaries)
    beside = (study.published or Published("", {})) if published else None
    if beside is not None:
        for measure, summary in summaries.items():
            summary.tables = [with_published(table, measure, beside) for table in summary.tables]
    overview = overviews(study, comparisons, headlines, beside)
    tables = [as_table(each, headlines, beside) for each in overview]
    tables += [table for summary in summaries.values() for table in summary.tables]
    if published and not any(row[0] == PUBLISHED for table in tables for row in table.rows):
        raise InputError(
            f"--published: the recipe of {study.name!r} has no published numbers of what is compared "
            "(its key `published` holds them; once they stand there, `prunekit run` it again: nothing is redone)"
        )
    figures: list[Figure] = [figure for each in overview if (figure := as_figure(each, headlines)) is not None]
    figures += [figure for summary in summaries.values() for figure in summary.figures]
    document = {
        "study": study.name,
        "data": dict(study.data),
        "overview": [each.as_json() for each in overview],
        "published": None if beside is None else published_as_json(beside),
        "populations": _of_populations(study, summaries),
        "comparisons": _of_comparisons(study, comparisons, summaries, sentences),
        "findings": list(findings),
        "readings": list(readings),
        "notes": list(study.notes),
    }
    return Report(
        title=_title(study),
        document=as_json(document),
        tables=tuple(tables),
        by_measure=summaries,
        figures=tuple(figures),
        exemplars=tuple(_exemplars(summaries.values(), len(comparisons))),
        sentences=tuple(sentences),
        readings=readings,
        notes=tuple(study.notes),
        findings=findings,
    )


def _unsaid(study: LoadedStudy) -> dict[str, Any]:
    return dict.fromkeys([*(measure.name for measure in study.measures), *registry.names("measure")])


def _of_populations(study: LoadedStudy, summaries: Mapping[str, Summary]) -> dict[str, dict[str, Any]]:
    """Return what every measure says of every population."""
    found: dict[str, dict[str, Any]] = {
        name: {"members": len(population.seeds), "sparsity": population.sparsity, **_unsaid(study)}
        for name, population in study.columns.populations.items()
    }
    for measure, summary in summaries.items():
        for name, value in summary.populations.items():
            found[name][measure] = value
    return found


def _of_comparisons(
    study: LoadedStudy,
    comparisons: Sequence[Comparison],
    summaries: Mapping[str, Summary],
    sentences: Sequence[Sentence],
) -> list[dict[str, Any]]:
    """Return what every measure says of every comparison, and what it comes to."""
    found: list[dict[str, Any]] = [
        {"reference": each.reference, "pruned": each.pruned, "control": each.control, **_unsaid(study)}
        for each in comparisons
    ]
    for measure, summary in summaries.items():
        for entry, value in zip(found, summary.comparisons, strict=bool(summary.comparisons)):
            entry[measure] = value
    for entry, sentence in zip(found, sentences, strict=True):
        entry |= {"sentence": sentence.text, "whom": sentence.whom or None, "certainty": sentence.certainty or None}
    return found


def _title(study: LoadedStudy) -> str:
    return f"{study.name}: {study.subject}"


def _summary(measure: Measure, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
    """Ask a measure, and hold it to one value and one clause per comparison, or none at all."""
    try:
        summary: object = measure.summarise(study, comparisons)
    except PrunekitError:
        raise
    except Exception as error:
        file = getattr(sys.modules.get(type(measure).__module__), "__file__", None) or "?"
        where = f"{file}{line_in(error, Path(file))}"
        raise PrunekitError(f"{where}: the measure {measure.name!r} fails: {type(error).__name__}: {error}") from error
    if not isinstance(summary, Summary):
        raise PrunekitError(f"the measure {measure.name!r} gave a {type(summary).__name__}: expected a Summary")
    headline = summary.headline.comparisons if summary.headline else ()
    everything: dict[str, Sequence[Any]] = {
        "values": summary.comparisons,
        "clauses": summary.clauses,
        "clauses on whom": summary.whom,
        "clauses on certainty": summary.certainty,
        "groups of exemplars": summary.exemplars,
        "numbers": headline,
    }
    for what, said in everything.items():
        if said and len(said) != len(comparisons):
            raise PrunekitError(
                f"the measure {measure.name!r} gave {len(said)} {what} for {len(comparisons)} comparisons: "
                "expected one each, or none"
            )
    return summary


def _headlines(summaries: Mapping[str, Summary]) -> dict[str, Headline]:
    """Return those of comparisons, then those of populations."""
    found = {measure: summary.headline for measure, summary in summaries.items() if summary.headline is not None}
    return dict(sorted(found.items(), key=lambda each: not each[1].comparisons))


def _readings(study: LoadedStudy, summaries: Mapping[str, Summary]) -> tuple[str, ...]:
    measured = [reading for summary in summaries.values() for reading in summary.readings]
    return tuple(dict.fromkeys([*study.readings, *measured]))


def _exemplars(summaries: Collection[Summary], comparisons: int) -> Iterator[tuple[Exemplar, ...]]:
    """Yield what changed in each comparison: what the first measure that names examples says."""
    named = next((summary.exemplars for summary in summaries if summary.exemplars), None)
    yield from named if named is not None else [()] * comparisons


def _sentence(
    populations: Mapping[str, PopulationColumns], comparison: Comparison, i: int, summaries: Collection[Summary]
) -> Sentence:
    before, after = (populations[name].sparsity for name in (comparison.reference, comparison.pruned))
    said = [s.clauses[i] for s in summaries if s.clauses and s.clauses[i]] or ["no measure has a word on it"]
    start = f"{percent(after)} of the weights pruned"
    if before > 0:
        start += f" ({percent(before)} in {comparison.reference})"
    return Sentence(
        comparison=comparison.name,
        text=f"{start[0].upper()}{start[1:]}: {'; '.join(said)}.",
        whom=_joined(summary.whom[i] for summary in summaries if summary.whom),
        certainty=_joined(summary.certainty[i] for summary in summaries if summary.certainty),
    )


def _joined(clauses: Iterable[str]) -> str:
    """Return one sentence of the clauses that say something; "" where none does."""
    text = "; ".join(clause for clause in clauses if clause)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def percent(share: float) -> str:
    """Return ``90 %`` for 0.9: four digits, more where they would say none or all and it is not quite so.

    NaN, of which nobody said how much it is, is an unknown share.
    """
    if np.isnan(share):
        return "an unknown share"
    text = f"{100 * share:.4g}"
    return f"{100 * share:.12g} %" if text in ("0", "100") else f"{text} %"


def as_json(value: Any) -> Any:
    """Return ``value`` in JSON's own types; a number that is not finite becomes None.

    Raises TypeError where JSON has no such type.
    """
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"a report holds text, numbers, lists and mappings: got a {type(value).__name__}")
