"""What the stored plan of a study says (:func:`prunekit.outline.describe`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any


def shown_seeds(plan: Mapping[str, Any], finished: Mapping[str, Collection[int]]) -> dict[str, list[int]]:
    """Return which seeds of each population a report shows, ascending, of those that are finished.

    Populations that begin alike, or whose members a comparison says are pairs, show the seeds that are finished in all
    of them; those that were made elsewhere, apart from each other, have members of their own. Populations of which
    nothing is finished are left out.
    """
    begun = {name: set(seeds) for name, seeds in finished.items() if seeds}
    begins = {name: json.dumps(plan["populations"][name]["initial"]) for name in begun}
    for each in plan["comparisons"]:
        if each.get("paired") and {each["reference"], each["pruned"]} <= begins.keys():  # the k-th of both, or neither
            one, other = begins[each["reference"]], begins[each["pruned"]]
            begins = {name: one if begin == other else begin for name, begin in begins.items()}
    alike: dict[str, list[str]] = {}
    for name, begin in begins.items():
        alike.setdefault(begin, []).append(name)
    common = {name: set.intersection(*(begun[each] for each in names)) for names in alike.values() for name in names}
    return {name: sorted(common[name]) for name in begun}


def begins_elsewhere(plan: Mapping[str, Any], population: str) -> bool:
    """Return whether members begin with files that were made elsewhere, and not with a seed."""
    initial = plan["populations"][population].get("initial")
    return isinstance(initial, dict) and "given" in initial


def is_predicted(plan: Mapping[str, Any], population: str) -> bool:
    """Return whether a population was given as predictions: there are no networks to look at."""
    return bool(plan["populations"][population].get("given") == "predictions")
