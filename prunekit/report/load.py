"""The store → a study as arrays. Looks at observations alone: no network, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import InputError
from prunekit.protocols import Comparison, Measure
from prunekit.registry import Registry, registry
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, LoadedStudy, Place, Published
from prunekit.stages import plugin
from prunekit.store import DamagedError, Store
from prunekit.study import columns_of
from prunekit.tables import Number

_NAMES = ("example_id", "label")


def load_study(out: Path, study: str | None = None) -> LoadedStudy:
    """Return a stored study, by name or identity; the one run last without.

    Members that are not finished are left out, and a note says so. Raises InputError where nothing was run, or where
    an observation is damaged, naming the file.
    """
    store = Store(out)
    with _saying_what_to_do():
        plan = store.find_study(study)
    known = registry.with_files([Path(file) for file in plan["plugins"]])
    measures = [plugin("measure", block, known) for block in plan["measures"]]
    with _saying_what_to_do():
        return _load(store, plan, measures, known)


@contextmanager
def _saying_what_to_do() -> Iterator[None]:
    try:
        yield
    except DamagedError as error:
        raise InputError(f"{error}: `prunekit run` the recipe again and it is redone") from None


def _load(store: Store, plan: dict[str, Any], measures: list[Measure], known: Registry) -> LoadedStudy:
    split = plan["data"]["split"]
    records = {name: _records(store, block["members"], split) for name, block in plan["populations"].items()}
    started = {name: members for name, members in records.items() if members}
    if not started:
        raise InputError(f"{store.root}: no member of {plan['study']} is finished yet: `prunekit run` the recipe first")
    seeds = sorted(set.intersection(*(set(members) for members in started.values())))
    if not seeds:
        raise InputError(f"{store.root}: no seed of {plan['study']} is finished in all populations yet")
    first = next(iter(started.values()))[seeds[0]]
    names = [columns_of(measure, known) for measure in measures]
    extra = [name for name in names if name]
    populations = {}
    for name, members in started.items():
        keys = [plan["populations"][name]["members"][str(seed)][-1] for seed in seeds]
        for seed in seeds:
            if members[seed]["ids"] != first["ids"]:
                raise InputError(f"{store.root}: {name} seed {seed} was observed on other examples than the rest")
        zeros = [members[seed]["zeros"] for seed in seeds]
        sparsity = float(np.mean([each["zeros"] / each["total"] for each in zeros]))
        populations[name] = ArrayPopulation(name, tuple(seeds), sparsity, StoredColumns(store, keys, split, extra))
    any_key = plan["populations"][next(iter(started))]["members"][str(seeds[0])][-1]
    examples = store.load_observation(any_key, split, columns=_NAMES)

    def relate(reference: str, pruned: str) -> Comparison:
        return _comparison(plan, reference, pruned, set(populations))

    return LoadedStudy(
        name=plan["study"],
        data={"name": plan["data"]["name"], "split": split, "examples": len(examples["label"])},
        columns=ArrayStudy(
            classes=tuple(first["classes"]),
            ids=tuple(examples["example_id"]),
            labels=examples["label"].astype(np.int64),
            populations=populations,
        ),
        comparisons=[
            relate(each["reference"], each["pruned"])
            for each in plan["comparisons"]
            if {each["reference"], each["pruned"]} <= populations.keys()
        ],
        measures=measures,
        notes=_notes(plan, records, seeds),
        readings=plan.get("readings", []),
        places=_places(plan),
        published=_published(plan.get("published")),
        relate=relate,
    )


def _records(store: Store, members: dict[str, list[str]], split: str) -> dict[int, dict[str, Any]]:
    """Return what was recorded of the finished members, by seed."""
    found = {int(seed): store.find_observation(keys[-1], split) for seed, keys in members.items()}
    return {seed: record for seed, record in found.items() if record is not None}


class StoredColumns(Mapping[str, NDArray[Any]]):
    """Columns [M, N] of a population, read when one is first asked for: those of a measure all together."""

    def __init__(self, store: Store, keys: list[str], split: str, measures: list[str]) -> None:
        self._store, self._keys, self._split, self._measures = store, keys, split, measures
        self._read: dict[str, NDArray[Any]] = {}

    @cached_property
    def _files(self) -> dict[str, tuple[str | None, list[str]]]:
        """Where each column is: the measure whose observation holds it (None: what every member has), and what is read
        with it. Only what all members have."""
        files: dict[str, tuple[str | None, list[str]]] = {}
        for measure in (None, *self._measures):
            with _saying_what_to_do():
                records = [self._store.find_observation(key, self._split, measure) for key in self._keys]
            if all(record is not None for record in records):
                columns = [column for column in (records[0] or {})["columns"] if column not in _NAMES]
                files |= {column: (measure, columns if measure else [column]) for column in columns}
        return files

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._read:
            measure, columns = self._files[column]
            with _saying_what_to_do():
                members = [self._store.load_observation(key, self._split, measure, columns) for key in self._keys]
            self._read |= {name: np.stack([member[name] for member in members]) for name in columns}
        return self._read[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _comparison(plan: dict[str, Any], reference: str, pruned: str, finished: set[str]) -> Comparison:
    blocks = plan["populations"]
    control = blocks[pruned]["control"]
    # Members of one seed share their initial weights and the order of their batches, if not a trained ancestor.
    paired = blocks[reference]["initial"] == blocks[pruned]["initial"]
    return Comparison(reference, pruned, control if control in finished - {reference} else None, paired)


def _places(plan: dict[str, Any]) -> dict[str, Place]:
    """Return where the populations stand that repeat; none in plans that were written before they could say."""
    found = {}
    for name, block in plan["populations"].items():
        if place := block.get("repetition"):
            axis, value = list(place["values"].items())[-1]
            found[name] = Place(axis, value if type(value) in (int, float, str) else json.dumps(value), place["group"])
    return found


def _published(block: dict[str, Any] | None) -> Published | None:
    if block is None:
        return None
    populations = {
        name: {measure: Number(*(n if isinstance(n, list) else [n])) for measure, n in numbers.items()}
        for name, numbers in block["populations"].items()
    }
    return Published(block["source"], populations)


def _notes(plan: dict[str, Any], records: dict[str, dict[int, dict[str, Any]]], seeds: list[int]) -> list[str]:
    """Return what a reader must know before the numbers."""
    notes = []
    for name, members in records.items():
        asked = len(plan["populations"][name]["members"])
        if len(members) < asked:
            notes.append(f"{name}: {len(members)} of {asked} members are finished")
    if notes:
        notes.append(f"the report covers the {len(seeds)} seeds that are finished in every population shown")
    for name, members in records.items():
        emptied = [layer for record in members.values() for layer in record["emptied"]]
        for layer in dict.fromkeys(emptied):
            notes.append(f"{name}: nothing is left of {layer} in {emptied.count(layer)} of {len(members)} members")
    machines = {
        (made["device"], made["name"], made["torch"])
        for members in records.values()
        for record in members.values()
        for made in record["made_on"]
    }
    if len(machines) > 1:
        listed = "; ".join(sorted(f"{device} {name}, torch {torch}" for device, name, torch in machines))
        notes.append(
            f"the members were made on {len(machines)} kinds of machine ({listed}): bits may differ between them"
        )
    return notes
