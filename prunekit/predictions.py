"""Predictions that were made elsewhere: one table per member, whatever framework made it. Imports no torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import InputError, did_you_mean

REQUIRED = ("example_id", "prediction")
COLUMNS = (*REQUIRED, "confidence", "label")
"""What a file may say of an example; other columns are not looked at."""
UNKNOWN = -1
"""The label of examples whose true class nobody said."""


@dataclass(frozen=True, eq=False)
class PredictionFile:
    """What one member says of every example, as its file has it."""

    path: Path
    ids: tuple[str, ...]
    """[N], each once."""
    prediction: tuple[str, ...]
    """[N]: names or numbers of classes."""
    label: tuple[str, ...] | None
    confidence: NDArray[np.float32] | None
    """[N] in [0, 1]."""
    unused: tuple[str, ...]
    """Columns that say nothing here."""


@dataclass(frozen=True, eq=False)
class PredictedMembers:
    """Members that were given as predictions: the same examples in the same order, classes as numbers."""

    ids: tuple[str, ...]
    """[N]."""
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N]; ``UNKNOWN`` where nobody said."""
    columns: Mapping[Path, Mapping[str, NDArray[Any]]]
    """By file: prediction int64 [N], perhaps confidence float32 [N]."""

    @property
    def labelled(self) -> bool:
        """Whether the true classes are known."""
        return bool(np.all(self.labels != UNKNOWN))


def read_predictions(path: Path) -> PredictionFile:
    """Read a table with the columns example_id, prediction and perhaps confidence and label: CSV, Parquet or npz.

    Classes are names or whole numbers. Raises InputError, naming the file, where it cannot be read, lacks a column, has
    an empty cell, repeats an id, or where a confidence is none.
    """
    if path.suffix not in _READERS:
        raise InputError(f"{path}: expected predictions in one of {', '.join(_READERS)}, not {path.suffix!r}")
    try:
        table = _READERS[path.suffix](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, EOFError, TypeError, NotImplementedError, BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    for name in table:
        if len(table) == 1 and (separator := next((each for each in (";", "\t", "|") if each in name), None)):
            raise InputError(f"{path}: its columns are separated by {separator!r}: expected commas")
    for name in REQUIRED:
        if name not in table:
            raise InputError(f"{path}: has no column {name!r}{did_you_mean(name, table.keys() - set(REQUIRED))}")
    texts = {name: _texts(path, name, table[name]) for name in ("example_id", "prediction", "label") if name in table}
    if not texts["example_id"]:
        raise InputError(f"{path}: holds no example")
    _refuse_repeated(path, texts["example_id"])
    return PredictionFile(
        path=path,
        ids=texts["example_id"],
        prediction=texts["prediction"],
        label=texts.get("label"),
        confidence=_confidences(path, table["confidence"]) if "confidence" in table else None,
        unused=tuple(name for name in table if name not in COLUMNS),
    )


def together(
    files: Sequence[PredictionFile],
    *,
    classes: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> PredictedMembers:
    """Lay the predictions of all members out over the same examples.

    ``classes``, ``ids`` and ``labels`` are those of the data, where a recipe names any. Otherwise classes are what the
    files name (whole numbers in their order, names alphabetically), examples are in the order of the first file, and
    labels are those of the files that have any. Raises InputError where files speak of different examples or labels.
    """
    numbers = _class_numbers(files, classes)
    names = tuple(classes) if classes is not None else tuple(dict.fromkeys(_named(numbers)))
    order = tuple(ids) if ids is not None else files[0].ids
    whose = "the data" if ids is not None else str(files[0].path)
    place = {example: i for i, example in enumerate(order)}
    columns, found = {}, None if labels is None else (whose, labels)
    for file in files:
        rows = _rows(file, place, whose)
        mine: dict[str, NDArray[Any]] = {"prediction": _numbered(file.prediction, numbers)[rows]}
        columns[file.path] = mine
        if file.confidence is not None:
            mine["confidence"] = file.confidence[rows]
        if file.label is not None:
            said = _numbered(file.label, numbers)[rows]
            if found is not None:
                _refuse_other_labels(file, said, *found, order, names)
            found = found or (str(file.path), said)
    unknown = np.full(len(order), UNKNOWN, dtype=np.int64)
    return PredictedMembers(order, names, unknown if found is None else found[1], columns)


# ----------------------------------------------------------------------------------------------------------- reading


def _read_csv(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import csv

    text = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
    return _columns(csv.read_csv(path, convert_options=text))


def _read_parquet(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for name in set(COLUMNS) & set(table.column_names):
        if pa.types.is_nested(table[name].type):
            raise ValueError(f"{name} is a column of {table[name].type}: expected a value per example")
    return _columns(table)


def _columns(table: Any) -> dict[str, Any]:
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError("a column stands twice")
    return {name: table[name].to_pylist() if name in COLUMNS else () for name in table.column_names}


def _read_npz(path: Path) -> dict[str, Any]:
    arrays = np.load(path, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("holds a single array: expected one for each column (numpy.savez)")
    with arrays:
        found = {name: arrays[name] for name in arrays.files if name in COLUMNS}
        others = dict.fromkeys((name for name in arrays.files if name not in COLUMNS), ())
    for name, values in found.items():
        if values.ndim != 1 or len(values) != len(next(iter(found.values()))):
            shapes = ", ".join(f"{each} {list(array.shape)}" for each, array in found.items())
            raise ValueError(f"{name} is an array of shape {list(values.shape)}: expected [examples] of all ({shapes})")
    return {name: values.tolist() for name, values in found.items()} | others


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}


def _texts(path: Path, name: str, values: Sequence[Any]) -> tuple[str, ...]:
    """Return ids or classes as text; 3.0 from a column of floats is left to :func:`_class_numbers`."""
    texts = tuple(_text(value) for value in values)
    if "" in texts:
        raise InputError(f"{path}: {name} is empty in row {texts.index('') + 1}")
    return texts


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    return value.decode() if isinstance(value, bytes) else str(value).strip()


def _confidences(path: Path, values: Sequence[Any]) -> NDArray[np.float32]:
    for i, value in enumerate(values):
        try:
            fits = 0 <= float(value) <= 1
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise InputError(f"{path}: confidence is {value!r} in row {i + 1}: expected a probability from 0 to 1")
    return np.asarray(values, dtype=np.float64).astype(np.float32)


def _refuse_repeated(path: Path, ids: tuple[str, ...]) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    again = [(i, each) for i, each in enumerate(ids) if first.setdefault(each, i) != i]
    i, example = again[0]
    raise InputError(
        f"{path}: {len({each for _, each in again}):,} example ids stand more than once, first {example!r} "
        f"(rows {first[example] + 1} and {i + 1})"
    )


# --------------------------------------------------------------------------------------------------------- aligning


def _class_numbers(files: Sequence[PredictionFile], classes: Sequence[str] | None) -> dict[str, int]:
    """Return the number of every class by each of the texts that stand for it, in the order of the classes.

    What a text stands for does not depend on other texts, where the classes are those of the data: it is a name, or,
    where no name is a number itself, counts the classes from 0.
    """
    texts = {text for file in files for text in (*file.prediction, *(file.label or ()))}
    if classes is None:
        return _numbers_of_classes(texts)
    known = {name: i for i, name in enumerate(classes)}
    whole: dict[int | None, int] = {number: i for name, i in known.items() if (number := _whole(name)) is not None}
    counted = whole or {i: i for i in range(len(classes))}
    found = {text: known.get(text, counted.get(number)) for text, number in ((text, _whole(text)) for text in texts)}
    if others := [text for text, number in found.items() if number is None]:
        other = min(others)
        file = next(file for file in files if other in (*file.prediction, *(file.label or ())))
        raise InputError(f"{file.path}: the data have no class {other!r}{did_you_mean(other, known)}")
    return {text: number for text, number in found.items() if number is not None}


def _numbers_of_classes(texts: Collection[str]) -> dict[str, int]:
    """Number classes of which nothing but ``texts`` is known: whole numbers in their order, names alphabetically."""
    whole = {text: number for text in texts if (number := _whole(text)) is not None}
    if len(whole) < len(texts):
        return {name: i for i, name in enumerate(sorted(texts))}
    places = {number: i for i, number in enumerate(sorted(set(whole.values())))}
    return {text: places[whole[text]] for text in sorted(texts, key=lambda text: (whole[text], text))}


def _whole(text: str) -> int | None:
    """Return the whole number that a text is, as ``3`` and ``3.0`` are."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if np.isfinite(number) and number == int(number) else None


def _named(numbers: Mapping[str, int]) -> Iterable[str]:
    """Yield the name of every class, in their order: whole numbers in their shortest form."""
    whole = all(_whole(text) is not None for text in numbers)
    for text in numbers:
        yield str(_whole(text)) if whole else text


def _numbered(texts: Sequence[str], numbers: Mapping[str, int]) -> NDArray[np.int64]:
    return np.fromiter((numbers[text] for text in texts), dtype=np.int64, count=len(texts))


def _rows(file: PredictionFile, place: Mapping[str, int], whose: str) -> NDArray[np.int64]:
    """Return the row of every example in ``file``, in the order of ``place``."""
    mine = {example: row for row, example in enumerate(file.ids)}
    missing, others = [each for each in place if each not in mine], [each for each in mine if each not in place]
    if missing or others:
        found = [
            f"{len(some):,} {are}, first {some[0]!r}"
            for some, are in ((missing, "are missing"), (others, "are none of them"))
            if some
        ]
        raise InputError(f"{file.path}: its examples are not those of {whose}: of the ids {'; '.join(found)}")
    return np.fromiter((mine[example] for example in place), dtype=np.int64, count=len(place))


def _refuse_other_labels(
    file: PredictionFile,
    said: NDArray[np.int64],
    whose: str,
    labels: NDArray[np.int64],
    ids: Sequence[str],
    names: Sequence[str],
) -> None:
    differ = np.flatnonzero(said != labels)
    if len(differ):
        i = int(differ[0])
        raise InputError(
            f"{file.path}: {len(differ):,} labels are not those of {whose}, first that of {ids[i]!r}: "
            f"{names[said[i]]!r} here, {names[labels[i]]!r} there"
        )
