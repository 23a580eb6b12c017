"""Members with a past, in place of those that an engine trains."""

from __future__ import annotations

import numpy as np

from prunekit.observed import Place
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.testing.pasts import Stage, Then, pruned, trained

__all__ = ["LAMBDAS", "Stage", "Then", "laurent", "noted", "pruned", "study_of", "trained"]


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
