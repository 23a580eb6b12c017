"""What every registered measure keeps to."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers_lineage import past_of
from helpers_umap import stand_in

from prunekit.comparison import Comparison
from prunekit.figures import Figure
from prunekit.observations import checked_columns
from prunekit.observed import Layer, Representation
from prunekit.registry import registry
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.report.build import as_json
from prunekit.report.cells import full_name, shown
from prunekit.study import columns_of
from prunekit.tables import Summary

MEASURES = registry.names("measure")


BANK = np.random.default_rng(98).random((40, 6), dtype=np.float32)
"""Features of training images."""


class Member:
    """A member with features and logits of its own; of ten seeds in a row all were pruned or none, and fine-tuned."""

    def __init__(self, seed, examples, classes):
        self._seed = seed
        rng = np.random.default_rng(seed)
        self._logits = rng.normal(size=(examples, classes)).astype(np.float32)
        self._features = rng.random((examples, 6)).astype(np.float32)

    def logits(self):
        return self._logits

    def features(self):
        return self._features

    def labels(self):
        return np.arange(len(self._logits)) % self._logits.shape[1]

    def bank_labels(self):
        return np.arange(len(BANK)) % self._logits.shape[1]

    def representations(self, probes, *, pool):
        for probe in ("stem", "groups.0"):
            yield Representation(probe, BANK, self._features)

    def past(self):
        return past_of(self._seed, sparse=self._seed // 10 % 2 == 1)

    def loss(self, part):
        return 0.1 + 0.01 * self._seed

    def accuracy(self, part):
        return None if part == "test" else 0.9 - 0.001 * self._seed

    def layers(self):
        zeros = int(256 * self._features[0, 0])
        return Layer("encoder", "conv", 256, zeros, 9_000), Layer("head", "linear", 60, 0, 60)


REQUIRED = {"subgroups": {"groups": "{examples}.csv"}}
"""Options that a measure cannot do without."""


@pytest.fixture(autouse=True)
def _no_compilation(monkeypatch):
    """Keep UMAP's library, which is compiled for a minute when first used, out of tests of what is around it."""
    stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def _groups(tmp_path, monkeypatch):
    """Put files that say to which groups examples belong into the working folder."""
    monkeypatch.chdir(tmp_path)
    for examples in (1, 2, 30):
        rows = "".join(f"{i},{i % 2}\n" for i in range(examples))
        (tmp_path / f"{examples}.csv").write_text(f"example_id,parity\n{rows}")


def make(name, examples=30):
    options = {key: value.format(examples=examples) for key, value in REQUIRED.get(name, {}).items()}
    return registry.find("measure", name)[0].plugin(**options)


def study_of(measure, members=4, examples=30, classes=3):
    """Observe made-up members and put their columns into a study."""
    populations = {}
    for offset, name in enumerate(("dense", "sparse", "control")):
        observed = [Member(10 * offset + k, examples, classes) for k in range(members)]
        columns = {
            "prediction": np.stack([m.logits().argmax(1) for m in observed]).astype(np.int64),
            "confidence": np.stack([m.logits().max(1) for m in observed]),
            "loss": np.stack([-m.logits().max(1) for m in observed]),
        }
        seen = [measure.observe(m) for m in observed[: measure.most_members]]
        columns |= {column: np.stack([each[column] for each in seen]) for column in seen[0]}
        noted = {measure.name: [measure.note(m) for m in observed[: measure.most_members]]} if measure.notes else {}
        sparsity = 0.9 if name == "sparse" else 0.0
        populations[name] = ArrayPopulation(name, tuple(range(members)), sparsity, columns, noted=noted)
    labels = np.random.default_rng(99).integers(0, classes, examples)
    return ArrayStudy(
        tuple(f"class {c}" for c in range(classes)), tuple(map(str, range(examples))), labels, populations
    )


COMPARISONS = [Comparison("dense", "sparse", "control", True), Comparison("control", "sparse", None, False)]
STUDIES = {
    "several members": {},
    "one member": {"members": 1},
    "one class": {"classes": 1},
    "one example": {"examples": 1},
    "a class without examples": {"examples": 2, "classes": 5},
}


def test_there_are_measures():
    assert {"accuracy", "pie", "q_score"} <= set(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_observed_columns_are_those_that_are_declared_with_a_number_per_example(name):
    measure = make(name)
    assert list(checked_columns(measure, measure.observe(Member(0, 7, 3)), 7)) == list(measure.columns)


def test_no_two_measures_observe_a_column_of_the_same_name():
    columns = [column for name in MEASURES for column in make(name).columns]
    assert len(set(columns)) == len(columns)


@pytest.mark.parametrize("comparisons", [COMPARISONS, COMPARISONS[:1], []], ids=["two", "one", "none"])
@pytest.mark.parametrize("case", STUDIES)
@pytest.mark.parametrize("name", MEASURES)
def test_a_summary_is_complete_and_serialisable(name, case, comparisons):
    measure = make(name, STUDIES[case].get("examples", 30))
    study = study_of(measure, **STUDIES[case])
    with np.errstate(all="raise"):
        summary = measure.summarise(study, comparisons)
    assert isinstance(summary, Summary)
    assert set(summary.populations) <= set(study.populations)
    for said in (summary.comparisons, summary.clauses, summary.whom, summary.certainty, summary.exemplars):
        assert len(said) in {0, len(comparisons)}
    if (headline := summary.headline) is not None:
        assert set(headline.populations) <= set(study.populations)
        assert len(headline.comparisons) in {0, len(comparisons)}
        for number in (*headline.populations.values(), *headline.comparisons):
            assert format(number.value, headline.format)
            assert number.p is None or 0 < number.smallest_p <= number.p <= 1
    clauses = [*summary.clauses, *summary.whom, *summary.certainty]
    assert all(isinstance(clause, str) and not clause.endswith(".") for clause in clauses)
    assert all(0 <= each.index < len(study.ids) for group in summary.exemplars for each in group)
    json.dumps([as_json(summary.populations), as_json(summary.comparisons)], allow_nan=False)


@pytest.mark.parametrize("name", MEASURES)
def test_tables_are_rectangular_with_distinct_columns_that_can_be_formatted(name):
    measure = make(name)
    for table in measure.summarise(study_of(measure), COMPARISONS).tables:
        names = [full_name(column) for column in table.columns]
        assert len(set(names)) == len(names)
        for row in table.rows:
            assert len(row) == len(names)
            for column, value in zip(table.columns, row, strict=True):
                assert isinstance(shown(value, column), str)


@pytest.mark.parametrize("name", MEASURES)
def test_published_numbers_have_columns_and_rows_to_stand_in(name):
    measure = make(name)
    study = study_of(measure)
    tables = measure.summarise(study, COMPARISONS).tables
    keys = [column.key for table in tables if table.about for column in table.columns if column.key]
    assert set(keys) == set(measure.published_keys)
    for table in tables:
        assert len(table.about) in {0, len(table.rows)}
        assert all(populations and set(populations) <= set(study.populations) for populations in table.about)


@pytest.mark.parametrize("name", MEASURES)
def test_figures_have_names_for_files_of_their_own_and_captions(name):
    measure = make(name)
    figures = measure.summarise(study_of(measure), COMPARISONS).figures
    names = [figure.name for figure in figures]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names)
    assert all(isinstance(figure, Figure) and figure.title and figure.caption for figure in figures)


@pytest.mark.parametrize("name", MEASURES)
def test_what_it_says_of_some_members_is_kept_apart_from_how_many_are_asked(name):
    measure = make(name)
    assert measure.most_members is None or measure.most_members > 0
    assert measure.summary_options <= set(type(measure).model_fields)
    assert bool(measure.columns or measure.notes) == (columns_of(measure, registry) is not None)
    measure.check()


@pytest.mark.parametrize("name", MEASURES)
def test_summaries_are_the_same_every_time(name):
    measure = make(name)
    first, again = (measure.summarise(study_of(measure), COMPARISONS) for _ in range(2))
    assert as_json(first.comparisons) == as_json(again.comparisons)
    assert [table.rows for table in first.tables] == [table.rows for table in again.tables]


def test_measures_are_found_and_imported_without_torch():
    code = """import sys
from prunekit.registry import registry
print(len(list(registry.entries("measure"))) > 0, "torch" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
