"""What every member says about every example, as one tidy table in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prunekit.errors import InputError
from prunekit.observed import PopulationColumns
from prunekit.protocols import Measure
from prunekit.registry import registry
from prunekit.report.arrays import LoadedStudy
from prunekit.report.files import check_file, replacing

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".parquet")


def check_path(path: Path) -> None:
    """Raise InputError unless ``path`` is a CSV or Parquet file in a folder that exists."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--examples {path}: expected a file that ends in {' or '.join(SUFFIXES)}")
    check_file("--examples", path)


def write_examples(study: LoadedStudy, path: Path) -> None:
    """Write one row per population, member (its seed) and example, in that order, as CSV or Parquet by suffix.

    Columns: example_id, label, population, member, prediction (class names as text), confidence, loss, those that the
    study's measures observe, in their order, and those of all other installed measures: a reader finds every column
    whatever the recipe measured. What was not observed is null (empty in CSV). The file appears whole or not at all.
    Raises InputError where ``path`` cannot be written.
    """
    check_path(path)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            _write_csv(study, temporary)
        else:
            _write_parquet(study, temporary)


def _write_csv(study: LoadedStudy, path: Path) -> None:
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    with path.open("wb") as file:
        file.write((",".join(_schema(study).names) + "\n").encode())
        for table in _tables(study):
            csv.write_csv(table, file, options)


def _write_parquet(study: LoadedStudy, path: Path) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, _schema(study)) as writer:
        for table in _tables(study):
            writer.write_table(table)


def _numeric(study: LoadedStudy) -> list[str]:
    """Return the names of the columns of numbers."""
    installed = (entry.plugin for entry in registry.entries("measure"))
    measures = [type(measure) for measure in study.measures]
    measures += [plugin for plugin in installed if issubclass(plugin, Measure)]
    return list(dict.fromkeys(["confidence", "loss", *(name for measure in measures for name in measure.columns)]))


def _schema(study: LoadedStudy) -> pa.Schema:
    import pyarrow as pa

    kinds = {"example_id": pa.string(), "label": pa.string(), "population": pa.string(), "member": pa.int64()}
    kinds |= {"prediction": pa.string(), **dict.fromkeys(_numeric(study), pa.float64())}
    return pa.schema(list(kinds.items()))


def _tables(study: LoadedStudy) -> Iterator[pa.Table]:
    """Yield the rows, a population at a time."""
    import pyarrow as pa

    schema, numeric, arrays = _schema(study), _numeric(study), study.columns
    classes, ids = pa.array(arrays.classes, pa.string()), pa.array(arrays.ids, pa.string())
    for population in arrays.populations.values():
        members, examples = len(population.seeds), len(arrays.ids)
        example = pa.array(np.tile(np.arange(examples), members))
        label = pa.array(np.tile(arrays.labels, members), mask=np.full(members * examples, not arrays.labelled))
        columns = [
            ids.take(example),
            classes.take(label),
            pa.repeat(population.name, members * examples),
            pa.array(np.repeat(np.asarray(population.seeds, dtype=np.int64), examples)),
            classes.take(pa.array(population["prediction"].ravel())),
            *(_numbers(population, name, members * examples) for name in numeric),
        ]
        yield pa.table(columns, schema=schema)


def _numbers(population: PopulationColumns, name: str, rows: int) -> pa.Array:
    """Return a column as float64; nulls where it was not observed, perhaps of later members, or is no number."""
    import pyarrow as pa

    found = np.full(rows, np.nan)
    try:
        values = population[name]
    except (InputError, KeyError):
        return pa.nulls(rows, pa.float64())
    found[: values.size] = values.ravel()
    return pa.array(found, from_pandas=True)
