"""What a store holds, what uses it, and how it is deleted: never what a study needs, nor what a process is at."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from prunekit.errors import InputError, did_you_mean
from prunekit.files import stats, stats_within
from prunekit.sharing import alone, at_work_now, is_held, lineages, lock_of_stage
from prunekit.store import DamagedError, Store

SHORTEST_KEY = 8
"""Characters of a key that must be said at least."""
_GONE = "deleted-"
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class StoredStudy:
    """A study whose plan is in the store."""

    identity: str
    changed: float
    """When it was run last, in seconds since 1970."""
    plan: Mapping[str, Any] | None
    """None where it is damaged."""
    asked: int
    finished: int
    """Members that are asked for, and those that were observed."""

    @property
    def name(self) -> str:
        """Its identity without the digest."""
        return self.identity.rpartition("-")[0]

    @cached_property
    def keys(self) -> frozenset[str]:
        """Keys of all stages that it needs."""
        return lineages(self.plan) if self.plan is not None else frozenset()


@dataclass(frozen=True)
class StoredResult:
    """What the store holds under one key: a stage, perhaps unfinished, and what was observed at its end."""

    key: str
    size: int
    """Bytes."""
    changed: float
    """When it was written last, in seconds since 1970."""
    finished: bool
    """Whether its stage is, or what was given as predictions was written."""


@dataclass(frozen=True)
class Inventory:
    """Everything that is in a store."""

    studies: Mapping[str, StoredStudy]
    """By identity, the one run last at the end."""
    results: Mapping[str, StoredResult]
    """By key."""
    busy: frozenset[str]
    """Keys of stages, and identities of studies, that a process is at."""

    def users(self, key: str) -> list[str]:
        """Return the identities of the studies that need a result."""
        return [study.identity for study in self.studies.values() if key in study.keys]

    def size(self, keys: Collection[str]) -> int:
        """Return the bytes of the results with these keys, as far as they are there."""
        return sum(self.results[key].size for key in keys if key in self.results)

    def freed_with(self, study: StoredStudy) -> set[str]:
        """Return the keys of the results that nothing but ``study`` needs."""
        others = (each.keys for each in self.studies.values() if each != study)
        return (set(study.keys) & self.results.keys()).difference(*others)

    @property
    def unused(self) -> set[str]:
        """The keys of the results that no study needs."""
        return set(self.results).difference(*(study.keys for study in self.studies.values()))


@dataclass(frozen=True)
class Deletion:
    """What is deleted, or would be."""

    studies: list[str]
    """Identities."""
    results: list[str]
    """Keys."""
    drafts: list[Path]
    """Files that processes left which were killed as they wrote."""
    size: int
    """Bytes of all of it."""
    kept: list[str]
    """What stays although it was asked for, and why."""


def take_stock(store: Store) -> Inventory:
    """Return what is in a store. Raises InputError where there is none."""
    if not any((store.root / part).is_dir() for part in ("studies", "stages", "observations")):
        raise InputError(f"{store.root}: there is no store: nothing was run there (name another folder with --out)")
    work = at_work_now(store)
    studies = [_study(store, identity, changed) for identity, changed in store.studies().items()]
    keys = {folder.name for part in ("stages", "observations") for folder in (store.root / part).glob("*")}
    return Inventory(
        studies={study.identity: study for study in studies if study is not None},
        results={key: _result(store, key) for key in sorted(keys)},
        busy=frozenset().union(*(each.keys | {each.study} for each in work)),
    )


def parse_age(text: str) -> float:
    """Read ``12h``, ``30d`` or ``8w`` as seconds. Raises InputError."""
    found = re.fullmatch(r"(\d+)([hdw])", text)
    if found is None:
        raise InputError(f"--older-than {text}: expected hours, days or weeks, such as 12h, 30d or 8w")
    return int(found[1]) * float(_SECONDS[found[2]])


def plan_deletion(
    store: Store,
    names: Sequence[str] = (),
    *,
    unused: bool = False,
    older_than: float | None = None,
    force: bool = False,
) -> Deletion:
    """Return what is to be deleted: studies, and results by key, both by ``names``; and all that no study needs.

    With a study goes what nothing else needs. ``older_than`` (seconds) leaves what was written since. ``force`` deletes
    results by key even where a study needs them, and any even where a damaged plan does not tell what it needs. Raises
    InputError where a name is not known, or names what is needed or at work, or where a plan that stays is damaged.
    """
    stock = take_stock(store)
    studies, keys = _named(store, stock, names)
    before = time.time() - older_than if older_than is not None else float("inf")
    young = [each for each in studies if each.changed > before]
    studies = [each for each in studies if each.changed <= before]
    for study in studies:
        if study.identity in stock.busy:
            raise InputError(f"{study.identity} is being run at the moment: it can be deleted when that has ended")
    needed = frozenset().union(*(each.keys for each in stock.studies.values() if each not in studies))
    for key in keys if not force else ():
        if key in needed:
            raise InputError(f"{key[:12]}: {_users(stock, key)} need it: --force deletes it all the same")
    wanted = {key for study in studies for key in study.keys & stock.results.keys()} - needed | set(keys)
    if unused:
        wanted |= stock.results.keys() - needed
    if wanted and not force:
        _refuse_damaged(stock, studies)
    left = {key: reason for key in wanted if (reason := _reason_to_keep(store, stock, stock.results[key], before))}
    drafts = list(_drafts(store, stock, wanted)) if unused else []
    results = sorted(wanted - left.keys())
    return Deletion(
        studies=[each.identity for each in studies],
        results=results,
        drafts=drafts,
        size=stock.size(results)
        + sum(_size_of(store.study_folder(each.identity)) for each in studies)
        + sum(_size_of(path) for path in drafts),
        kept=[
            *(f"{each.identity}: was run since" for each in young),
            *_shared(stock, studies, needed),
            *(f"{_results(list(left.values()).count(reason))}: {reason}" for reason in sorted(set(left.values()))),
        ],
    )


def delete(
    store: Store,
    names: Sequence[str] = (),
    *,
    unused: bool = False,
    older_than: float | None = None,
    force: bool = False,
) -> Deletion:
    """Delete what :func:`plan_deletion` returns, and return it. Whatever goes vanishes as a whole, or not at all."""
    if not store.root.is_dir():
        take_stock(store)  # which refuses it
    with alone(store):
        for left in store.root.glob(f"{_GONE}*"):  # by a deletion that was killed, or that is still at it
            _remove(left)
        deletion = plan_deletion(store, names, unused=unused, older_than=older_than, force=force)
        folders = [store.study_folder(identity) for identity in deletion.studies]  # first, as they name the results
        for key in deletion.results:
            folders += [store.root / "observations" / key, store.stage_folder(key)]
        gone = store.root / f"{_GONE}{uuid4().hex}"
        gone.mkdir()
        for path in [*folders, *deletion.drafts]:
            with suppress(FileNotFoundError):
                path.rename(gone / uuid4().hex)
    _remove(gone)
    return deletion


def _remove(folder: Path) -> None:
    """Remove a folder that nobody writes to; another process may be removing it too."""
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _study(store: Store, identity: str, changed: float) -> StoredStudy | None:
    """Return a study; None where it has been deleted by now."""
    try:
        plan = store.find_plan(identity)
    except DamagedError:
        return StoredStudy(identity, changed, None, 0, 0)
    if plan is None:
        return None
    ends = [keys[-1] for block in plan["populations"].values() for keys in block["members"].values()]
    finished = sum(store.has_observation(key, plan["data"]["split"]) for key in ends)
    return StoredStudy(identity, changed, plan, len(ends), finished)


def _result(store: Store, key: str) -> StoredResult:
    stage, observed = store.stage_folder(key), store.root / "observations" / key
    files = stats_within(stage) | stats_within(observed)
    size = sum(found.st_size for found in files.values())
    written = {path: found for path, found in files.items() if path.name != "lock"}  # which some write as they look
    changed = max((found.st_mtime for found in (written or stats([stage, observed])).values()), default=0)
    predictions = not stage.exists() and any(path.suffix == ".json" for path in files)
    return StoredResult(key, size, changed, predictions or store.has_stage(key))


def _size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 where nothing is there."""
    files = stats_within(path) if path.is_dir() else stats([path])
    return sum(found.st_size for found in files.values())


def _named(store: Store, stock: Inventory, names: Sequence[str]) -> tuple[list[StoredStudy], list[str]]:
    """Return the studies and the keys of the results that ``names`` say."""
    studies: list[StoredStudy] = []
    keys: list[str] = []
    for name in names:
        named = [each for each in stock.studies.values() if name in (each.identity, each.name)]
        begun = [key for key in stock.results if len(name) >= SHORTEST_KEY and key.startswith(name)]
        if len(named) > 1:
            listed = ", ".join(each.identity for each in named)
            raise InputError(f"{store.root}: {len(named)} studies are called {name!r}: say which of {listed}")
        if len(begun) > 1:
            raise InputError(f"{store.root}: {len(begun)} keys begin with {name!r}: say more of it")
        if not named and not begun:
            known = {each.identity for each in stock.studies.values()} | {each.name for each in stock.studies.values()}
            raise InputError(f"{store.root}: no study or key is called {name!r}{did_you_mean(name, known)}")
        studies += [each for each in named if each not in studies]
        keys += [] if named else begun
    return studies, keys


def _reason_to_keep(store: Store, stock: Inventory, result: StoredResult, before: float) -> str | None:
    if result.key in stock.busy or is_held(lock_of_stage(store, result.key)):
        return "in use by a process"
    return "written since" if result.changed > before else None


def _refuse_damaged(stock: Inventory, studies: Sequence[StoredStudy]) -> None:
    """Raise InputError where nobody can tell what a study needs that stays, when ``studies`` go."""
    for study in stock.studies.values():
        if study.plan is None and study not in studies:
            raise InputError(
                f"{study.identity}: its plan is damaged, so what it needs cannot be told: run its recipe again, delete"
                f" it (`prunekit store delete {study.identity}`), or say --force"
            )


def _users(stock: Inventory, key: str) -> str:
    """``dense seed 3 of tiny-1234abcd and 1 more member``."""
    members = [
        f"{population} seed {seed} of {study.identity}"
        for study in stock.studies.values()
        if study.plan is not None
        for population, block in study.plan["populations"].items()
        for seed, keys in block["members"].items()
        if key in keys
    ]
    more = f" and {len(members) - 1} more member{'s' * (len(members) > 2)}" if len(members) > 1 else ""
    return members[0] + more


def _shared(stock: Inventory, studies: Sequence[StoredStudy], needed: Collection[str]) -> Iterator[str]:
    """Say what of the studies stays, because others need it."""
    kept = {key for study in studies for key in study.keys & stock.results.keys() if key in needed}
    for other in stock.studies.values():
        if other not in studies and (shared := kept & other.keys):
            yield f"{_results(len(shared))}: {other.identity} needs {'it' if len(shared) == 1 else 'them'}"


def _results(count: int) -> str:
    return f"{count:,} result{'s' * (count != 1)}"


def _drafts(store: Store, stock: Inventory, deleted: Collection[str]) -> Iterator[Path]:
    """Yield what killed processes left: half-written files, checkpoints of finished stages, folders without a plan."""
    for part in ("stages", "observations"):
        for folder in (store.root / part).glob("*"):
            key = folder.name
            if key in deleted or key in stock.busy or is_held(lock_of_stage(store, key)):
                continue
            over = (".", "checkpoint") if part == "stages" and stock.results[key].finished else (".",)
            yield from (path for path in stats_within(folder) if path.name.startswith(over))
    for folder in (store.root / "studies").glob("*"):
        if folder.name not in stock.studies and folder.name not in stock.busy:
            yield folder
        elif folder.name not in stock.busy:
            yield from (path for path in stats_within(folder) if path.name.startswith("."))
