"""A file that says to which groups examples belong."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunekit import InputError, did_you_mean

from ..datasets._hints import existing  # noqa: TID252  (a plain function of another kind of plugin)

ID = "example_id"


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of the examples of a study: a column of the file."""

    name: str
    groups: tuple[str, ...]
    """The values of the column, in the order of the alphabet."""
    group_of: NDArray[np.int64]
    """[N]: which of ``groups`` each example is in; −1: in none."""


@dataclass(frozen=True)
class GroupsFile:
    """What the file says, row by row."""

    path: Path
    lines: dict[str, int]
    """Where each example stands, by id; in the order of the file."""
    columns: dict[str, list[str]]
    """Values by name of the column; an empty one stands for no group."""

    def groupings(self, ids: Sequence[str]) -> tuple[Grouping, ...]:
        """Return a grouping per column, of the examples ``ids`` [N].

        Raises InputError unless the file has a row for each of them, and none for others.
        """
        known = set(ids)
        unknown = [each for each in self.lines if each not in known]
        if unknown:
            raise InputError(
                f"{self.path}:{self.lines[unknown[0]]}: the study has no example {unknown[0]!r}"
                f"{did_you_mean(unknown[0], ids)}; {len(unknown):,} of {len(self.lines):,} rows are of examples that "
                "it does not have"
            )
        missing = [each for each in ids if each not in self.lines]
        if missing:
            raise InputError(
                f"{self.path}: {len(missing):,} of {len(ids):,} examples of the study have no row, the first is "
                f"{missing[0]!r}: give it one (an empty value keeps it out of all groups of a column)"
            )
        row = {each: i for i, each in enumerate(self.lines)}
        order = [row[each] for each in ids]
        return tuple(_grouping(name, np.array(values)[order]) for name, values in self.columns.items())


def read_groups(path: str) -> GroupsFile:
    """Return what the CSV file at ``path`` says (``~`` is the home folder).

    Raises InputError, naming the line, unless it is a table in UTF-8 with a column ``example_id``, in which every
    example stands once, and other columns that are not empty.
    """
    file = existing(path, "file")
    rows = _rows(file)
    if not rows:
        raise InputError(f"{file}: is empty: expected a column {ID} and columns of groups")
    (first, header), *rows = rows
    header = [name.strip() for name in header]
    _check_header(f"{file}:{first}", header)
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{file}:{line}: expected {len(header)} values, as in the header, not {len(row)}")
    if not rows:
        raise InputError(f"{file}: has a header and no rows: expected one per example")
    columns = dict(zip(header, (list(column) for column in zip(*(row for _, row in rows), strict=True)), strict=True))
    lines = _lines(file, columns.pop(ID), [line for line, _ in rows])
    columns = {name: [value.strip() for value in values] for name, values in columns.items()}
    for name, values in columns.items():
        if not any(values):
            raise InputError(f"{file}: the column {name!r} is empty in every row: there are no groups in it")
    return GroupsFile(file, lines, columns)


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, each with its line."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: is not in UTF-8: save it in that encoding") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{file}:{reader.line_num}: is no CSV: {error}") from None


def _check_header(where: str, header: list[str]) -> None:
    if ID not in header:
        raise InputError(f"{where}: expected a column {ID}{did_you_mean(ID, header)}")
    for i, name in enumerate(header):
        if not name or name in header[:i]:
            raise InputError(f"{where}: " + (f"the column {name!r} stands twice" if name else "a column has no name"))
    if len(header) == 1:
        raise InputError(f"{where}: expected a column beside {ID}, whose values are the groups")


def _lines(file: Path, ids: list[str], lines: list[int]) -> dict[str, int]:
    """Return the line of each id, or raise InputError where one stands twice."""
    found: dict[str, int] = {}
    again = [(each, line) for each, line in zip(ids, lines, strict=True) if found.setdefault(each, line) != line]
    if again:
        each, line = again[0]
        raise InputError(
            f"{file}:{line}: {ID} {each!r} stands in line {found[each]} already; {len(again):,} of {len(ids):,} rows "
            "repeat an example"
        )
    return found


def _grouping(name: str, values: NDArray[np.str_]) -> Grouping:
    inside = values != ""
    groups, chosen = np.unique(values[inside], return_inverse=True)
    group_of = np.full(len(values), -1, dtype=np.int64)
    group_of[inside] = chosen
    return Grouping(name, tuple(groups.tolist()), group_of)
