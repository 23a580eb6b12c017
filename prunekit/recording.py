"""Predictions that were made elsewhere, written to the store as what their members say."""

from __future__ import annotations

from typing import Any

from prunekit.outline import SPLIT
from prunekit.predictions import together
from prunekit.store import DamagedError, Store, digest
from prunekit.study import Study


def record_predictions(study: Study, store: Store) -> int:
    """Write the predictions of ``study`` that the store lacks; return how many members that are.

    Raises InputError, before anything is written, where their examples or labels are not those of the recipe's data.
    """
    if not study.predictions:
        return 0
    data = study.recipe.data
    test = None if data is None else data.load().test
    with study.source.blaming(("populations",)):
        members = together(
            study.predictions,
            classes=None if test is None else study.data.classes,
            ids=None if test is None else test.ids,
            labels=None if test is None else test.labels,
        )
    unused = {file.path: list(file.unused) for file in study.predictions}
    written = 0
    for population in study.populations.values():
        if not study.is_predicted(population.name):
            continue
        for member, file in zip(population.members, population.files, strict=True):
            if _has(store, member.key):
                continue
            record = {
                "seed": member.seed,
                "file": str(file.path),
                "examples": len(members.ids),
                "ids": digest(list(members.ids)),
                "classes": list(members.classes),
                "labelled": members.labelled,
                "unused": unused[file.path],
                "zeros": None,
                "made_on": [],
                "emptied": [],
            }
            columns: dict[str, Any] = {
                "example_id": list(members.ids),
                "label": members.labels,
                **members.columns[file.path],
            }
            store.save_observation(member.key, SPLIT, columns, record)
            written += 1
    return written


def _has(store: Store, key: str) -> bool:
    try:
        return store.check_observation(key, SPLIT) is not None
    except DamagedError:
        return False
