"""The store → a study as arrays. Looks at observations alone: no network, no torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from prunekit.comparison import Comparison
from prunekit.errors import InputError, describe_problem
from prunekit.observations import BASE
from prunekit.observed import Place
from prunekit.plans import is_predicted, shown_seeds
from prunekit.protocols import Measure
from prunekit.registry import Registry, registry
from prunekit.report.arrays import About, ArrayPopulation, ArrayStudy, LoadedStudy, Published
from prunekit.report.images import ExampleImages
from prunekit.report.stored import NAMES, StoredColumns, saying_what_to_do
from prunekit.stages import plugin
from prunekit.store import Store
from prunekit.tables import Number

if TYPE_CHECKING:
    from prunekit.pool import Listener

ALL = "all"
"""Stands for every measure."""

NOT_GIVEN = "(not given)"
"""The true class of examples of which nobody said it."""

Records = dict[str, dict[int, dict[str, Any]]]
"""What was recorded of the finished members, by population and seed."""


def load_study(
    out: Path,
    study: str | None = None,
    *,
    measures: Sequence[Any] = (),
    files: Sequence[Path] = (),
    jobs: int | None = None,
    listener: Listener | None = None,
) -> LoadedStudy:
    """Return a stored study, by name or identity; the one run last without.

    ``measures``, each a name or a mapping with a name, come to those of the recipe, or take the place of one of the
    same name; ``all`` stands for every one that needs no option. ``files`` (Python) register those that are not
    installed. What they observe and the store lacks is computed first, from stored weights. Members that are not
    finished are left out, and a note says so. Raises InputError where nothing was run, where there is no such measure,
    or where an observation is damaged, naming the file.
    """
    store = Store(out)
    with saying_what_to_do():
        plan = store.find_study(study)
    known = registry.with_files([*map(Path, plan["plugins"]), *files])
    named = {measure.name: measure for measure in (plugin("measure", block, known) for block in plan["measures"])}
    added = [_added(block, known) for block in _expanded(measures, named, known)]
    if added:
        from prunekit.observing import observe

        with saying_what_to_do():
            observe(store, plan, added, known, jobs=jobs, listener=listener)
    named |= {measure.name: measure for measure in added}
    with saying_what_to_do():
        return _load(store, plan, list(named.values()), known)


def _expanded(blocks: Sequence[Any], present: Collection[str], known: Registry) -> Iterator[Any]:
    """Yield the blocks, ``all`` as every measure that is not there yet and can do without options."""
    said = [block.get("name") if isinstance(block, dict) else block for block in blocks]
    for block in blocks:
        if block != ALL:
            yield block
            continue
        for entry in known.entries("measure"):
            needs_options = any(field.is_required() for field in entry.plugin.model_fields.values())
            if not needs_options and entry.name not in {*present, *said}:
                yield entry.name


def _added(block: Any, known: Registry) -> Measure:
    """Return the measure that ``block`` names. Raises InputError."""
    try:
        measure: Measure = plugin("measure", block, known)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f" {key}:" for key in problem["loc"])
        raise InputError(f"--measure {block}:{where} {describe_problem(problem)}") from None
    measure.check()
    return measure


def _load(store: Store, plan: dict[str, Any], measures: list[Measure], known: Registry) -> LoadedStudy:
    split = plan["data"]["split"]
    records = {name: _records(store, block["members"], split) for name, block in plan["populations"].items()}
    shown = _shown(store, plan, records)
    first = next(iter(shown))
    seeds = sorted({seed for members in shown.values() for seed in members})
    keys = {name: [plan["populations"][name]["members"][str(seed)][-1] for seed in shown[name]] for name in shown}
    stored = {name: StoredColumns(store, keys[name], split, measures, known) for name in shown}
    places = _places(plan)
    populations = {
        name: ArrayPopulation(
            name,
            tuple(members),
            _sparsity(plan["populations"][name], members),
            stored[name],
            place=places.get(name),
            noted=stored[name].notes,
        )
        for name, members in shown.items()
    }
    labelled = all(record.get("labelled", True) for members in shown.values() for record in members.values())
    classes = next(iter(shown[first].values()))["classes"]
    left_out = dict(_left_out(plan, measures, stored, labelled))
    examples = store.load_observation(keys[first][0], split, columns=NAMES)

    def relate(reference: str, pruned: str) -> Comparison:
        return _comparison(plan, reference, pruned, set(populations))

    return LoadedStudy(
        name=plan["study"],
        data={
            "name": plan["data"]["name"],
            "split": split,
            "examples": len(examples["label"]),
        },
        unit="images" if plan["data"].get("images", True) else "examples",
        columns=ArrayStudy(
            classes=(*classes, *([] if labelled else [NOT_GIVEN])),
            ids=tuple(examples["example_id"]),
            labels=examples["label"].astype(np.int64) if labelled else np.full(len(examples["label"]), len(classes)),
            populations=populations,
            labelled=labelled,
        ),
        comparisons=[
            relate(each["reference"], each["pruned"])
            for each in plan["comparisons"]
            if {each["reference"], each["pruned"]} <= populations.keys()
        ],
        measures=[measure for measure in measures if measure.name not in left_out],
        notes=[
            *_notes(plan, records, shown),
            *(_stray_notes(plan, classes, examples["label"], stored) if labelled else ()),
            *_left_out_notes(left_out),
        ],
        readings=plan.get("readings", []),
        places=places,
        about=_about(store, plan, records, seeds),
        images=ExampleImages(store, plan, tuple(examples["example_id"])),
        published=_published(plan.get("published")),
        relate=relate,
    )


def _shown(store: Store, plan: dict[str, Any], records: Records) -> Records:
    """Return the records of the populations that have begun, of the seeds that are finished in all of them.

    Raises InputError where there are none, and where members were observed on different examples.
    """
    seeds = shown_seeds(plan, records)
    if not seeds:
        raise InputError(f"{store.root}: no member of {plan['study']} is finished yet: `prunekit run` the recipe first")
    if not all(seeds.values()):
        raise InputError(f"{store.root}: no seed of {plan['study']} is finished in all populations yet")
    shown = {name: {seed: records[name][seed] for seed in seeds[name]} for name in seeds}
    ids = next(record["ids"] for members in shown.values() for record in members.values())
    for name, members in shown.items():
        for seed, record in members.items():
            if record["ids"] != ids:
                raise InputError(f"{store.root}: {name} seed {seed} was observed on other examples than the rest")
    return shown


def _sparsity(block: Mapping[str, Any], members: Mapping[int, dict[str, Any]]) -> float:
    """Return the mean share of zeros, counted; of predictions what the recipe says, NaN where it says nothing."""
    counted = [zeros for record in members.values() if (zeros := record["zeros"]) is not None]
    if counted:
        return float(np.mean([each["zeros"] / each["total"] for each in counted]))
    said = block.get("sparsity")
    return float("nan") if said is None else float(said)


def _left_out(
    plan: dict[str, Any], measures: Sequence[Measure], stored: Mapping[str, StoredColumns], labelled: bool
) -> Iterator[tuple[str, str]]:
    """Yield the measures that have nothing to go by, and why."""
    predicted = [name for name in stored if is_predicted(plan, name)]
    unobserved = {measure for name in stored if name not in predicted for measure in stored[name].unobserved}
    lacking: dict[str, list[str]] = {"label": [] if labelled else list(stored)}
    for column in BASE:
        lacking[column] = [name for name, columns in stored.items() if column not in columns]
    for measure in measures:
        without = {column: names for column in measure.needs if (names := lacking.get(column))}
        if predicted and measure.needs_networks:
            yield measure.name, f"{_given(predicted)} as predictions, and there is no network to look at"
        elif without:
            column, names = next(iter(without.items()))
            yield measure.name, f"{_given(names)} without the {column} of the examples"
        elif measure.name in unobserved:
            yield (
                measure.name,
                "some of the members that it looks at were not observed; "
                f"`prunekit report --measure {measure.name}` does it",
            )


def _stray_notes(
    plan: dict[str, Any], classes: Sequence[str], labels: NDArray[Any], stored: Mapping[str, StoredColumns]
) -> Iterator[str]:
    """Yield a note per class that no example is of and that was read from predictions: it may be none at all."""
    if plan["data"].get("images", True):
        return
    for number in sorted(set(range(len(classes))) - set(labels.tolist())):
        said = [name for name, columns in stored.items() if (columns["prediction"] == number).any()]
        yield f"no example is of the class {classes[number]!r}, which members of {' and '.join(said)} predict"


def _left_out_notes(left_out: Mapping[str, str]) -> Iterator[str]:
    """Yield a note per reason."""
    for reason in dict.fromkeys(left_out.values()):
        yield f"{', '.join(name for name in left_out if left_out[name] == reason)}: left out: {reason}"


def _given(populations: Sequence[str]) -> str:
    return f"{' and '.join(populations)} {'were' if len(populations) > 1 else 'was'} given"


def _about(store: Store, plan: dict[str, Any], records: Records, seeds: list[int]) -> About:
    recipe = store.load_recipe(plan["identity"])
    model = recipe.get("model")
    return About(
        description=plan["description"],
        recipe=recipe,
        model="" if model is None else model if isinstance(model, str) else model.get("import", model["name"]),
        seeds=tuple(seeds),
        machines=tuple(
            f"{device} {name}, torch {torch}, prunekit {prunekit}"
            for device, name, torch, prunekit in _machines(records, "prunekit")
        ),
    )


def _records(store: Store, members: dict[str, list[str]], split: str) -> dict[int, dict[str, Any]]:
    """Return what was recorded of the finished members, by seed."""
    found = {int(seed): store.find_observation(keys[-1], split) for seed, keys in members.items()}
    return {seed: record for seed, record in found.items() if record is not None}


def _comparison(plan: dict[str, Any], reference: str, pruned: str, finished: set[str]) -> Comparison:
    blocks = plan["populations"]
    control = blocks[pruned]["control"]
    # Members of one seed share their initial weights and the order of their batches, if not a trained ancestor.
    paired = blocks[reference]["initial"] == blocks[pruned]["initial"]
    for each in plan["comparisons"]:
        if (each["reference"], each["pruned"]) == (reference, pruned) and each.get("paired") is not None:
            paired = each["paired"]
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
        name: {measure: _numbers(said) for measure, said in numbers.items()}
        for name, numbers in block["populations"].items()
    }
    return Published(block["source"], populations)


def _numbers(said: Any) -> Number | dict[str, Number]:
    if isinstance(said, dict):
        return {key: Number(*(n if isinstance(n, list) else [n])) for key, n in said.items()}
    return Number(*(said if isinstance(said, list) else [said]))


def _notes(plan: dict[str, Any], records: Records, shown: Records) -> list[str]:
    """Return what a reader must know before the numbers."""
    notes = []
    for name, members in records.items():
        asked = len(plan["populations"][name]["members"])
        if len(members) < asked:
            notes.append(f"{name}: {len(members)} of {asked} members are finished")
    if notes:
        counts = {len(members) for members in shown.values()}
        which = f"the {counts.pop()} seeds" if len(counts) == 1 else "those"
        notes.append(f"the report covers {which} that are finished in every population shown")
    for name, members in records.items():
        if unused := sorted({column for record in members.values() for column in record.get("unused", ())}):
            notes.append(f"{name}: not looked at in its files: {', '.join(unused)}")
    for name, members in records.items():
        emptied = [layer for record in members.values() for layer in record["emptied"]]
        for layer in dict.fromkeys(emptied):
            notes.append(f"{name}: nothing is left of {layer} in {emptied.count(layer)} of {len(members)} members")
    machines = _machines(records)
    if len(machines) > 1:
        listed = "; ".join(f"{device} {name}, torch {torch}" for device, name, torch in machines)
        notes.append(
            f"the members were made on {len(machines)} kinds of machine ({listed}): bits may differ between them"
        )
    return notes


def _machines(records: Records, *more: str) -> list[tuple[str, ...]]:
    """Return what the members were made on, each once: device, its name, torch, and what else was recorded."""
    made = [made for members in records.values() for record in members.values() for made in record["made_on"]]
    return sorted({tuple(each[key] for key in ("device", "name", "torch", *more)) for each in made})
