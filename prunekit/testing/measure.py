"""What a measure keeps to."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np

from prunekit.errors import InputError, PrunekitError
from prunekit.figures import Figure
from prunekit.protocols import Measure
from prunekit.report.arrays import ArrayStudy
from prunekit.report.build import as_json
from prunekit.report.cells import full_name, shown
from prunekit.tables import Summary
from prunekit.testing.contract import DoesNotApply, Suite
from prunekit.testing.studies import COMPARISONS, POPULATIONS, study_of

suite = Suite("measure")


def _study(measure: Measure, **shape: Any) -> ArrayStudy:
    """Return a made-up study with what ``measure`` observes of it, unless it refuses its options or the members."""
    try:
        measure.check()
        return study_of(measure, **shape)
    except InputError as error:
        raise DoesNotApply(f"it refuses a made-up study: {error}") from error
    except PrunekitError as error:
        raise AssertionError(str(error)) from error


def _summary(measure: Measure, study: ArrayStudy | None = None, comparisons: int = len(COMPARISONS)) -> Summary:
    """Return what ``measure`` says of a study; 0/0 and the like are errors."""
    study = study or _study(measure)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        return measure.summarise(study, COMPARISONS[:comparisons])


@suite.states
def it_observes_the_columns_that_it_declares(measure: Measure) -> None:
    """A number or a bool for every example, under names of its own; what it notes of a member is JSON."""
    assert measure.most_members is None or measure.most_members > 0, f"most_members is {measure.most_members}"
    _study(measure)


@suite.states
def it_says_which_options_its_observations_do_not_look_at(measure: Measure) -> None:
    """``summary_options`` are options."""
    unknown = sorted(measure.summary_options - set(type(measure).model_fields))
    assert not unknown, f"`summary_options` names {unknown[0]!r}, which is no option"


@suite.states
def it_summarises_several_members(measure: Measure) -> None:
    """With two comparisons, with one, and with none."""
    _check_summaries(measure)


@suite.states
def it_summarises_one_member(measure: Measure) -> None:
    """Of each population: there is no spread."""
    _check_summaries(measure, members=1)


@suite.states
def it_summarises_one_class(measure: Measure) -> None:
    """All predictions and labels are the same."""
    _check_summaries(measure, classes=1)


@suite.states
def it_summarises_ties(measure: Measure) -> None:
    """All logits are equal."""
    _check_summaries(measure, tied=True)


@suite.states
def it_summarises_populations_that_do_not_differ(measure: Measure) -> None:
    """There are no PIEs, and nothing that changed."""
    _check_summaries(measure, unchanged=True)


@suite.states
def it_summarises_a_class_without_examples(measure: Measure) -> None:
    """There are more classes than examples."""
    _check_summaries(measure, classes=40)


@suite.states
def it_summarises_one_example(measure: Measure) -> None:
    """Some statistics need two."""
    _check_summaries(measure, examples=1)


def _check_summaries(measure: Measure, **shape: Any) -> None:
    study = _study(measure, **shape)
    for comparisons in range(len(COMPARISONS) + 1):
        where = f"of {comparisons} comparisons" + "".join(f", {name} {value}" for name, value in shape.items())
        _check(_summary(measure, study, comparisons), comparisons, len(study.ids), where)


def _check(summary: Summary, comparisons: int, examples: int, where: str) -> None:
    """Hold a summary to be complete and serialisable."""
    assert isinstance(summary, Summary), f"{where}: it gives a {type(summary).__name__}, not a Summary"
    unknown = sorted(set(summary.populations) - set(POPULATIONS))
    assert not unknown, f"{where}: it speaks of a population {unknown[0]!r}, which the study does not have"
    for name in ("comparisons", "clauses", "whom", "certainty", "exemplars"):
        said = len(getattr(summary, name))
        assert said in {0, comparisons}, f"{where}: `{name}` has {said} entries: expected one per comparison, or none"
    for clause in (*summary.clauses, *summary.whom, *summary.certainty):
        assert isinstance(clause, str), f"{where}: {clause!r} is no text"
        assert not clause.endswith("."), f"{where}: {clause!r} ends with a full stop: it becomes part of a sentence"
    for each in (each for group in summary.exemplars for each in group):
        assert 0 <= each.index < examples, f"{where}: there is no example {each.index}"
    if (headline := summary.headline) is not None:
        said = len(headline.comparisons)
        assert said in {0, comparisons}, f"{where}: the headline has {said} entries: expected one per comparison"
        for number in (*headline.populations.values(), *headline.comparisons):
            assert format(number.value, headline.format)
            p, smallest = number.p, number.smallest_p
            possible = p is None or (smallest is not None and 0 < smallest <= p <= 1)
            assert possible, f"{where}: p is {p} where the smallest possible is {smallest}"
    try:
        json.dumps([as_json(summary.populations), as_json(summary.comparisons)], allow_nan=False)
    except TypeError as error:
        raise AssertionError(f"{where}: {error}") from error


@suite.states
def its_tables_are_rectangular(measure: Measure) -> None:
    """Columns have names of their own and formats that fit; rows are about populations of the study."""
    for table in _summary(measure).tables:
        names = [full_name(column) for column in table.columns]
        assert len(set(names)) == len(names), f"table {table.title!r}: two columns are called the same"
        for row in table.rows:
            assert len(row) == len(names), f"table {table.title!r}: a row of {len(row)} cells for {len(names)} columns"
            for column, value in zip(table.columns, row, strict=True):
                assert isinstance(shown(value, column), str)
        assert len(table.about) in {0, len(table.rows)}, f"table {table.title!r}: `about` has another length than rows"
        known = set(POPULATIONS)
        assert all(named and set(named) <= known for named in table.about), f"table {table.title!r}: `about` is odd"


@suite.states
def published_numbers_have_columns_to_stand_in(measure: Measure) -> None:
    """``published_keys`` are the keys of the columns of its tables."""
    keys = {column.key for table in _summary(measure).tables if table.about for column in table.columns if column.key}
    named = set(measure.published_keys)
    assert keys == named, f"its tables have the keys {sorted(keys)}, `published_keys` names {sorted(named)}"


@suite.states
def its_figures_have_captions_and_names_for_files(measure: Measure) -> None:
    """Each has a title, a caption and a name of its own."""
    figures = _summary(measure).figures
    names = [figure.name for figure in figures]
    assert len(set(names)) == len(names), "two figures have the same name"
    for figure in figures:
        assert isinstance(figure, Figure), f"{figure!r} is no figure"
        assert re.fullmatch(r"[\w.-]+", figure.name), f"the figure {figure.name!r} has no name for a file"
        assert figure.title, f"the figure {figure.name!r} has no title"
        assert figure.caption, f"the figure {figure.name!r} has no caption"


@suite.states
def a_summary_is_the_same_every_time(measure: Measure) -> None:
    """Numbers and tables, to the bit: what it draws, it draws from a seed."""
    study = _study(measure)
    first, again = (_summary(measure, study) for _ in range(2))
    for part in ("populations", "comparisons"):
        same = as_json(getattr(first, part)) == as_json(getattr(again, part))
        assert same, f"a second summary has other numbers in `{part}`"
    assert [table.rows for table in first.tables] == [table.rows for table in again.tables], "other tables"


@suite.states
def its_module_imports_no_torch(measure: Measure) -> None:
    """A report starts at once: read in a process of its own."""
    file = inspect.getfile(type(measure))
    module = type(measure).__module__
    read = f"from prunekit.registry import registry; registry.with_files([{file!r}])"
    if not module.startswith("_prunekit_plugin_"):
        read = f"import {module}"
    script = f"import sys; {read}; sys.exit('torch' in sys.modules)"
    path = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert not done.stderr, f"its module cannot be imported: {done.stderr.decode(errors='replace').splitlines()[-1]}"
    assert done.returncode == 0, f"importing {module if 'import ' + module == read else file} imports torch"
