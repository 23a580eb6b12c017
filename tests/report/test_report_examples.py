"""One row per example, population and member, in a file."""

from __future__ import annotations

import csv
import errno

import numpy as np
import pyarrow.parquet as pq
import pytest

from prunekit.errors import InputError
from prunekit.plugins.measures.accuracy import Accuracy
from prunekit.plugins.measures.q_score import QScore
from prunekit.protocols import Measure
from prunekit.registry import registry
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, LoadedStudy
from prunekit.report.examples import check_path, write_examples
from prunekit.tables import Summary

HEADER = ["example_id", "label", "population", "member", "prediction", "confidence", "loss", "q", "z", "l1"]
OTHERS = [c for entry in registry.entries("measure") for c in entry.plugin.columns if c not in HEADER]
"""Columns of the other installed measures: this study has none of them."""


class Agreement(Measure):
    """A measure that somebody else wrote."""

    name = "agreement"
    columns = ("agrees", "rank")

    def summarise(self, study, comparisons):
        return Summary()


@pytest.fixture
def study():
    """Two populations of members 3 and 5 and three examples; the second was not observed for Q-Scores."""
    base = {
        "prediction": np.array([[0, 1, 1], [1, 1, 0]]),
        "confidence": np.array([[0.5, 0.25, 1.0], [0.75, 0.125, 0.5]], dtype=np.float32),
        "loss": np.array([[0.0, np.nan, 2.5], [1.0, 1.5, 0.5]]),
    }
    scores = {name: np.full((2, 3), value) for name, value in (("q", 0.5), ("z", 1.5), ("l1", 3.0))}
    populations = {
        "dense": ArrayPopulation("dense", (3, 5), 0.0, {**base, **scores}),
        "sparse": ArrayPopulation("sparse", (3, 5), 0.9, base),
    }
    arrays = ArrayStudy(('cat, "black"', "dog"), ("a,1", "b", "c"), np.array([0, 1, 1]), populations)
    return LoadedStudy("made-up", {"name": "made-up", "split": "test", "examples": 3}, arrays, [], [QScore()])


def expected(study):
    """Return the rows, by a loop."""
    rows, study = [], study.columns
    for name, population in study.populations.items():
        for m, seed in enumerate(population.seeds):
            for i, example in enumerate(study.ids):
                measured = [
                    float(population[c][m, i]) if c in population and not np.isnan(population[c][m, i]) else None
                    for c in HEADER[5:]
                ]
                prediction = study.classes[population["prediction"][m, i]]
                others = [None] * len(OTHERS)
                rows.append([example, study.classes[study.labels[i]], name, seed, prediction, *measured, *others])
    return rows


def test_csv_has_a_row_per_example_population_and_member(study, tmp_path):
    path = tmp_path / "examples.csv"
    write_examples(study, path)
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == [*HEADER, *OTHERS]
    assert rows == [
        ["" if value is None else str(value).removesuffix(".0") for value in row] for row in expected(study)
    ]


def test_parquet_has_the_same_with_nulls_for_what_was_not_observed(study, tmp_path):
    path = tmp_path / "examples.parquet"
    write_examples(study, path)
    table = pq.read_table(path)
    assert table.column_names == [*HEADER, *OTHERS]
    assert [list(row.values()) for row in table.to_pylist()] == expected(study)


def test_columns_of_measures_that_the_recipe_left_out_are_there_and_empty(study, tmp_path):
    path = tmp_path / "examples.csv"
    study.measures = [Accuracy()]
    for population in study.columns.populations.values():
        population.columns = {name: population.columns[name] for name in ("prediction", "confidence", "loss")}
    write_examples(study, path)
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert set(header) == {*HEADER, *OTHERS}
    assert {value for row in rows for value in row[7:]} == {""}


def test_columns_of_further_measures_follow_in_the_order_of_the_recipe(study, tmp_path):
    path = tmp_path / "examples.parquet"
    study.measures = [QScore(), Agreement()]
    study.columns.populations["sparse"].columns["agrees"] = np.array([[True, False, True], [False, False, True]])
    write_examples(study, path)
    table = pq.read_table(path)
    assert table.column_names == [*HEADER, "agrees", "rank", *OTHERS]
    assert table["agrees"].to_pylist() == [None] * 6 + [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    assert table["rank"].null_count == 12


def test_members_that_a_measure_did_not_observe_have_nulls(study, tmp_path):
    path = tmp_path / "examples.parquet"
    study.columns.populations["sparse"].columns["q"] = np.array([[1.0, 2.0, 3.0]])  # of the first member alone
    write_examples(study, path)
    assert pq.read_table(path)["q"].to_pylist() == [0.5] * 6 + [1.0, 2.0, 3.0, None, None, None]


@pytest.mark.parametrize("name", ["examples.txt", "examples", "examples.csv.gz"])
def test_other_suffixes_are_refused(study, tmp_path, name):
    with pytest.raises(InputError, match=r"expected a file that ends in \.csv or \.parquet"):
        check_path(tmp_path / name)


def test_a_folder_that_does_not_exist_or_is_no_file_is_refused(study, tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        write_examples(study, tmp_path / "nowhere" / "examples.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_examples(study, tmp_path / "folder.csv")


def test_a_folder_that_cannot_be_written_is_refused(study, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(InputError, match=r"examples\.csv: cannot be written: Read-only file system"):
        write_examples(study, tmp_path / "examples.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(study, tmp_path, suffix):
    path = tmp_path / f"examples.{suffix}"
    path.write_text("old")
    study.columns.populations["sparse"].columns["prediction"] = np.array([[0, 1, 9]] * 2)  # class 9 does not exist
    with pytest.raises(Exception, match="out of bounds"):
        write_examples(study, path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(path.name, "old")]


def test_the_file_is_readable_as_any_other_new_file(study, tmp_path):
    path = tmp_path / "examples.csv"
    write_examples(study, path)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
