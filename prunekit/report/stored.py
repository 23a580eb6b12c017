"""The columns of a stored population, read when one is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import InputError
from prunekit.protocols import Measure
from prunekit.registry import Registry
from prunekit.store import DamagedError, Store
from prunekit.study import columns_of

NAMES = ("example_id", "label")
"""Columns that are the same for all members."""


@contextmanager
def saying_what_to_do() -> Iterator[None]:
    """Say of what is damaged how it is made anew. Raises InputError in place of DamagedError."""
    try:
        yield
    except DamagedError as error:
        raise InputError(f"{error}: `prunekit run` the recipe again and it is redone") from None


@dataclass(frozen=True)
class _Observer:
    """A measure that observed something of members; None: what every member has."""

    measure: str | None
    file: str | None
    """What its observations are called in the store."""
    keys: Sequence[str]


class StoredColumns(Mapping[str, NDArray[Any]]):
    """Columns [M, N] of a population, read when one is first asked for: those of a measure all together."""

    def __init__(self, store: Store, keys: list[str], split: str, measures: Sequence[Measure], known: Registry) -> None:
        self._store, self._split = store, split
        self._observers = [_Observer(None, None, keys)]
        for measure in measures:
            if (name := columns_of(measure, known)) is not None:
                self._observers.append(_Observer(measure.name, name, keys[: measure.most_members]))
        self._read: dict[str, NDArray[Any]] = {}

    @cached_property
    def _records(self) -> list[tuple[_Observer, list[dict[str, Any]]]]:
        """Return what was recorded of the members that each observes; only what was observed of all of them."""
        found = []
        for observer in self._observers:
            with saying_what_to_do():
                records = [self._store.find_observation(key, self._split, observer.file) for key in observer.keys]
            complete = [record for record in records if record is not None]
            if len(complete) == len(records):
                found.append((observer, complete))
        return found

    @cached_property
    def _files(self) -> dict[str, tuple[_Observer, list[str]]]:
        """Where each column is, and what is read with it."""
        files: dict[str, tuple[_Observer, list[str]]] = {}
        for observer, records in self._records:
            common = set.intersection(*(set(record["columns"]) for record in records)) - {*NAMES}
            columns = [column for column in records[0]["columns"] if column in common]
            files |= {column: (observer, columns if observer.file else [column]) for column in columns}
        return files

    @property
    def unobserved(self) -> list[str]:
        """The measures that lack something of a member, so that none of their columns is here."""
        observed = {observer.measure for observer, _ in self._records}
        measures = (observer.measure for observer in self._observers)
        return [measure for measure in measures if measure is not None and measure not in observed]

    @property
    def notes(self) -> dict[str, list[Mapping[str, Any]]]:
        """What measures noted of the members, [M] by the name of the measure."""
        return {
            observer.measure: [record["note"] for record in records]
            for observer, records in self._records
            if observer.measure is not None and "note" in records[0]
        }

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._read:
            observer, columns = self._files[column]
            with saying_what_to_do():
                members = [self._store.load_observation(k, self._split, observer.file, columns) for k in observer.keys]
            self._read |= {name: np.stack([member[name] for member in members]) for name in columns}
        return self._read[column]

    def __contains__(self, column: object) -> bool:
        return column in self._files  # Mapping's own would read it

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
