"""Members with a past, in place of those that an engine trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prunekit.observed import Place
from prunekit.report.arrays import ArrayPopulation, ArrayStudy


@dataclass(frozen=True)
class Then:
    """A member as it was: its training loss, and its validation accuracy."""

    train: float | None = 0.5
    validation: float | None = 0.8
    before: tuple[Any, ...] = ()

    def past(self):
        return self.before

    def loss(self, part):
        assert part == "train"
        return self.train

    def accuracy(self, part):
        assert part == "validation"
        return self.validation


@dataclass(frozen=True)
class Stage:
    """A finished stage, and what it left."""

    kind: str
    left: Then = field(default_factory=Then)
    options: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[dict[str, Any], ...] = ()
    updates: tuple[dict[str, Any], ...] = ()
    selected: int | None = None
    rounds: tuple[Then, ...] = ()

    def after(self, round=None):
        return self.left if round is None else self.rounds[round]


def trained(loss=0.1, accuracy=0.9, epochs=((0.3, 0.8), (0.1, 0.9))):
    """Return a training stage with a loss and an accuracy by epoch."""
    rows = tuple({"epoch": i + 1, "loss": row[0], "accuracy": row[1]} for i, row in enumerate(epochs))
    return Stage("train", Then(loss, accuracy), {"objective": "cross_entropy", "epochs": len(rows)}, rows)


def pruned(loss=0.6, accuracy=0.7, criterion="magnitude", schedule=None, changes=(2.0,), losses=()):
    """Return a pruning stage that pruned in as many rounds as there are ``changes``, ‖Δθ‖² each."""
    schedule = schedule or {"name": "one_shot", "sparsity": 0.9}
    options = {"schedule": schedule} | ({} if criterion == "magnitude" else {"criterion": criterion})
    last = len(changes)
    updates = tuple(
        {"iteration": i, "epoch": 0, "sparsity": 0.9 * (i + 1) / last, "squared_change": change}
        for i, change in enumerate(changes)
    )
    return Stage("prune", Then(loss, accuracy), options, updates=updates, rounds=tuple(map(Then, losses)))


def past_of(seed, *, sparse: bool):
    """Return a past of training, of pruning perhaps, and of fine-tuning."""
    cut = pruned(0.6 + 0.01 * seed, 0.7, changes=(2.0 + seed,))
    return (trained(), *((cut,) if sparse else ()), trained(0.2, 0.85))


# -------------------------------------------------------------------------------------------------------- whole studies

LAMBDAS = (0.0, 1e-5, 1e-3, 0.1)


def noted(measure, pasts, *, sparsity=0.956):
    """Return a population of members with these pasts, as ``measure`` notes them."""
    notes = [measure.note(Then(past[-1].left.train, past[-1].left.validation, tuple(past))) for past in pasts]
    share = sparsity if notes and notes[0]["pruning"] else 0.0
    return notes, share


def study_of(measure, populations, sparsity=0.956):
    """Return a study of populations, each a list of pasts, one per seed."""
    found = {}
    for name, pasts in populations.items():
        notes, share = noted(measure, pasts, sparsity=sparsity)
        found[name] = ArrayPopulation(
            name, tuple(range(len(pasts))), share, {}, Place("λ", name, "") if share else None, {measure.name: notes}
        )
    return ArrayStudy(("a", "b"), ("0", "1"), np.zeros(2, np.int64), found)


def laurent(seeds=3, rounds=(1, 14), schedules=("exponential",), lambdas=LAMBDAS, others=("snip", "grasp", "synflow")):
    """Return pasts by population as a study after Laurent et al. 2020 would have them, the same every time."""
    rng = np.random.default_rng(0)
    dense = [trained(0.002 * rng.lognormal(0, 0.1), 0.982 + 0.001 * rng.normal()) for _ in range(seeds)]
    found = {"dense": [(stage,) for stage in dense]}
    settings = [("magnitude", None)]
    settings += [(criterion, value) for criterion in ("lm", "qm", "obd") for value in lambdas]
    settings += [(criterion, None) for criterion in others]
    for criterion, value in settings:
        for count in rounds if value is not None else (1,):
            for schedule in schedules if count > 1 else ("one_shot",):
                name = "_".join([criterion, *([f"{value:g}"] if value is not None else []), str(count), schedule])
                found[name] = [_run(rng, seed, dense[seed], criterion, value, count, schedule) for seed in range(seeds)]
    return found


def _run(rng, seed, dense, criterion, value, count, schedule):
    """Return the past of a run: more rounds preserve the loss, a middling λ is best, the gap after hardly cares."""
    level = {"magnitude": 1.2, "lm": 2.2, "qm": 0.4, "obd": 0.5, "snip": 2.0, "grasp": 2.3, "synflow": 1.8}[criterion]
    if value is not None:
        level *= (1 + abs(np.log10(max(value, 1e-6)) + 3) / 4) * (0.15 if count > 1 else 1)
        level *= 0.7 if schedule == "exponential" else 1
    change = level * rng.lognormal(0, 0.2)
    before = min(0.85, 0.3 * change**0.7)
    after = 0.02 + 0.002 * np.log1p(change) + 0.003 * rng.normal() + 0.001 * seed
    steps = np.diff(1 - (1 - 0.956) ** (np.arange(count + 1) / count)) if schedule == "exponential" else np.ones(count)
    changes = 30 * level * steps * rng.lognormal(0, 0.1, count)
    losses = dense.left.train + change * (np.arange(1, count + 1) / count) ** 3
    options = {"name": schedule, "sparsity": 0.956} | ({"rounds": count} if schedule != "one_shot" else {})
    scored = criterion if value is None else {"name": criterion, "regularisation": value}
    accuracy = dense.left.validation
    cut = pruned(
        dense.left.train + change, accuracy - before, scored, options, tuple(changes.tolist()), tuple(losses.tolist())
    )
    left = 0.01 + 0.3 * change * np.exp(-0.4 * np.arange(20)) * rng.lognormal(0, 0.05, 20)
    rest = accuracy - after - before * np.exp(-0.5 * np.arange(1, 21))
    return dense, cut, trained(0.01, accuracy - after, tuple(zip(left.tolist(), rest.tolist(), strict=True)))
