"""Predictions that were made elsewhere, written to the store as what their members say."""

from __future__ import annotations

from typing import Any

from prunekit.outline import SPLIT
from prunekit.predictions import PredictedMembers, together
from prunekit.store import Store, digest, is_whole
from prunekit.study import Study


def record_predictions(study: Study, store: Store) -> int:
    """Write the predictions of ``study`` that the store lacks; return how many members that are.

    Raises InputError, before anything is written, where their examples or labels are not those of the recipe's data.
    """
    lacking = [
        (member, file)
        for population in study.populations.values()
        if study.is_predicted(population.name)
        for member, file in zip(population.members, population.files, strict=True)
        if not is_whole(store.check_observation, member.key, SPLIT)
    ]
    if not lacking:
        return 0
    members = _laid_out(study)
    unused = {file.path: list(file.unused) for file in study.predictions}
    for member, file in lacking:
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
        names: dict[str, Any] = {"example_id": list(members.ids), "label": members.labels}
        store.save_observation(member.key, SPLIT, {**names, **members.columns[file.path]}, record)
    return len(lacking)


def _laid_out(study: Study) -> PredictedMembers:
    """Return all predictions over the examples of the data, where the recipe names any."""
    data = study.recipe.data
    with study.source.blaming(("populations",)):
        if data is None:
            return together(study.predictions)
        test = data.load().test
        return together(study.predictions, classes=study.data.classes, ids=test.ids, labels=test.labels)
