"""How a member was pruned, and what that is called in tables and figures. Nothing here is a plugin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prunekit import PastStage

from ._statistics import ROUNDING

DEFAULT_CRITERION = "magnitude"
DEFAULT_REGULARISATION = {"lm": 0.0, "qm": 0.0, "obd": 0.0}
"""λ of the criteria of Laurent et al. where a recipe leaves it at its default. That of others is not known."""


@dataclass(frozen=True)
class Setting:
    """How a member was pruned."""

    criterion: str
    """``a then b`` where stages in a row differ in it."""
    regularisation: float | None
    """λ; None of a criterion that has none, or that is not of Laurent et al. and left at its default."""
    schedule: str
    """``a then b`` where stages in a row differ in it."""
    rounds: int
    """π: updates without training in between, whether in one stage or in several in a row."""
    sparsity: float
    """In [0, 1): what was asked for; counted, to four digits, where no stage says or the last round was not made."""
    variant: str = ""
    """All else that a recipe says of stage, criterion and schedule: ``within: layer, examples: 10``; "" if nothing."""

    @classmethod
    def of(cls, stages: Sequence[PastStage]) -> Setting:
        """Return the setting of stages that prune in a row, of which there is at least one."""
        plans = list(dict.fromkeys(_Plan.of(stage) for stage in stages))
        lambdas = {plan.regularisation for plan in plans}
        updates = [update for stage in stages for update in stage.updates]
        reached = round(updates[-1]["sparsity"], 4) if updates else 0.0
        asked = plans[-1].sparsity if _finished(stages[-1], plans[-1]) else None
        return cls(
            criterion=" then ".join(dict.fromkeys(plan.criterion for plan in plans)),
            regularisation=lambdas.pop() if len(lambdas) == 1 else None,
            schedule=" then ".join(dict.fromkeys(plan.schedule for plan in plans)),
            rounds=len(updates),
            sparsity=reached if asked is None else asked,
            variant=plans[0].rest if len(plans) == 1 else " then ".join(plan.whole for plan in plans),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class _Plan:
    """What a recipe says of a stage that prunes, whichever of its rounds the stage makes."""

    criterion: str
    regularisation: float | None
    schedule: str
    rounds: int
    sparsity: float | None
    rest: str

    @classmethod
    def of(cls, stage: PastStage) -> _Plan:
        criterion, scored = _named(stage.options.get("criterion", DEFAULT_CRITERION))
        schedule, plan = _named(stage.options["schedule"])
        regularisation = scored.get("regularisation", DEFAULT_REGULARISATION.get(criterion))
        there = isinstance(regularisation, int | float)
        rest = [
            *_texts(stage.options, ("criterion", "schedule", "round")),
            *_texts(scored, ("name", "regularisation") if there else ("name",)),
            *_texts(plan, ("name", "rounds", "sparsity")),
        ]
        sparsity = plan.get("sparsity")
        return cls(
            criterion,
            float(regularisation) if there else None,
            schedule,
            int(plan.get("rounds", 1)),
            None if sparsity is None else float(sparsity),
            ", ".join(rest),
        )

    @property
    def whole(self) -> str:
        """All of it but the names, as text."""
        found = {"regularisation": self.regularisation, "sparsity": self.sparsity, "rounds": self.rounds}
        return ", ".join([*_texts(found, ()), *([self.rest] if self.rest else [])])


def _named(plugin: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return name and options of a plugin as a recipe says it."""
    return (plugin, {}) if isinstance(plugin, str) else (plugin["name"], plugin)


def _texts(options: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """Return options as a recipe says them, without those that are known."""
    there = {key: value for key, value in options.items() if key not in known and value is not None}
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}".replace('"', "") for key, value in there.items()]


def _finished(stage: PastStage, plan: _Plan) -> bool:
    """Return whether the stage made the last round of its schedule."""
    return bool(stage.options.get("round", plan.rounds) == plan.rounds)


def percent(share: float) -> str:
    """Return a sparsity as text: ``95.6 %``."""
    return f"{100 * share:.6g} %"


def lambda_name(value: float) -> str:
    """Return λ as text: ``0``, ``1e-5``, ``0.1``, ``100``."""
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    if 0 < value < 0.01 and np.isclose(float(f"{value:.0e}"), value, rtol=ROUNDING):
        return f"{mantissa}e{int(exponent)}"
    return f"{value:g}"


def setting_name(setting: Setting, criterion: str) -> str:
    """Return what the criterion is called, λ and rounds as text: ``qm, λ = 1e-3, 14 rounds``."""
    parts = [criterion]
    parts += [f"λ = {lambda_name(setting.regularisation)}"] if setting.regularisation is not None else []
    parts += [f"{setting.rounds} rounds"] if setting.rounds > 1 else []
    return ", ".join(parts)
