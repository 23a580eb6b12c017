"""What runs over one store tell each other: which stages each is at, and the plan of a study that they share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import BaseFileLock, FileLock

from prunekit.files import write_whole
from prunekit.plans import begins_elsewhere
from prunekit.store import DamagedError, Store


@dataclass(frozen=True)
class Work:
    """What one process is at."""

    name: str
    study: str
    """Identity of the study."""
    keys: frozenset[str]
    """Keys of all stages that it makes or starts from."""


def alone(store: Store) -> BaseFileLock:
    """Return the lock of a whole store: who changes a plan, or deletes, does it alone."""
    return FileLock(store.root / "lock")


def lock_of_stage(store: Store, key: str) -> BaseFileLock:
    """Return the lock that :meth:`Store.locked` holds."""
    return FileLock(store.stage_folder(key) / "lock")


@contextmanager
def at_work(store: Store, study: str, keys: Iterable[str]) -> Iterator[Work]:
    """Say that this process is at these stages, until it is done or ends in any other way: nobody deletes them."""
    work = Work(uuid4().hex, study, frozenset(keys))
    record = _folder(store) / f"{work.name}.json"
    lock = _lock_of(record)
    with alone(store):
        _forget_the_dead(store)
        record.parent.mkdir(exist_ok=True)
        lock.acquire()
        write_whole(record, json.dumps({"study": study, "keys": sorted(work.keys)}).encode())
    try:
        yield work
    finally:
        record.unlink(missing_ok=True)
        lock.release()
        record.with_suffix(".lock").unlink(missing_ok=True)


def at_work_now(store: Store) -> list[Work]:
    """Return what all processes are at, this one among them."""
    found = []
    for record in sorted(_folder(store).glob("*.json")):
        try:
            said = json.loads(record.read_bytes())
        except FileNotFoundError:  # it has ended meanwhile
            continue
        if is_held(_lock_of(record)):
            found.append(Work(record.stem, said["study"], frozenset(said["keys"])))
    return found


def lineages(plan: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of all stages that the members of a study end with or go through."""
    blocks = plan["populations"].values()
    return frozenset(key for block in blocks for keys in block["members"].values() for key in keys)


def save_plan(store: Store, work: Work, recipe: Mapping[str, Any], plan: Mapping[str, Any], *, exactly: bool) -> None:
    """Write the plan of the study that ``work`` is at.

    It keeps the members that the stored plan has beyond its own, which other runs may have made. ``exactly``: it does
    not, unless another process is at the study.
    """
    with alone(store):
        if exactly and not any(each.study == work.study and each != work for each in at_work_now(store)):
            store.save_study(work.study, recipe, plan)
        else:
            store.save_study(work.study, *_widened(recipe, plan, _stored(store, work.study)))


def _stored(store: Store, study: str) -> Mapping[str, Any] | None:
    try:
        return store.find_plan(study)
    except DamagedError:  # then it is written anew
        return None


def _widened(
    recipe: Mapping[str, Any], plan: Mapping[str, Any], stored: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return recipe and plan with the further members of the stored plan, where that was made of the same."""
    if stored is None or stored["populations"].keys() != plan["populations"].keys():
        return recipe, plan
    populations = {}
    for name, block in plan["populations"].items():
        if begins_elsewhere(plan, name):  # its members are its files
            populations[name] = block
            continue
        members, before = block["members"], stored["populations"][name]["members"]
        if any(before.get(seed, keys) != keys for seed, keys in members.items()):
            return recipe, plan  # of other data, or other versions of plugins
        every = {**before, **members}
        populations[name] = {**block, "members": {seed: every[seed] for seed in sorted(every, key=int)}}
    made = [len(block["members"]) for name, block in populations.items() if not begins_elsewhere(plan, name)]
    seeds = {"seeds": max(made)} if made else {}
    return {**recipe, **seeds}, {**plan, "populations": populations}


def _folder(store: Store) -> Path:
    return store.root / "running"


def _lock_of(record: Path) -> BaseFileLock:
    return FileLock(record.with_suffix(".lock"))


def is_held(lock: BaseFileLock) -> bool:
    """Return whether another process holds a lock; of one that cannot be opened, that it does."""
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except OSError:  # a Timeout is one
        return True


def _forget_the_dead(store: Store) -> None:
    """Remove what processes left that were killed."""
    for lock in _folder(store).glob("*.lock"):
        if not is_held(FileLock(lock)):
            lock.with_suffix(".json").unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
