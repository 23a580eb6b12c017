"""Where in its past a member was pruned, and how: what the measures of Laurent et al. 2020 share. Nothing is a plugin.

Of a member that was pruned several times without training in between, as by a lottery, the last pruning stage counts:
what it was given to prune is the network before, which then is sparse already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prunekit import ObservedMember, PastStage

from ._statistics import known

DEFAULT_CRITERION = "magnitude"
DEFAULT_REGULARISATION = {"lm": 0.0, "qm": 0.0, "obd": 0.0}
"""λ of the criteria that have one, where a recipe leaves it at its default."""


@dataclass(frozen=True)
class Setting:
    """How a member was pruned."""

    criterion: str
    regularisation: float | None
    """λ; None of a criterion that has none."""
    schedule: str
    rounds: int
    """π: updates without training in between; of a stage that a recipe repeats, the repetitions."""
    sparsity: float
    """What was asked for, in [0, 1); counted where the stage does not say."""

    @classmethod
    def of(cls, stage: PastStage, pruned_before: int = 0) -> Setting:
        """Return the setting of a pruning stage, whose lineage has ``pruned_before`` others before it."""
        criterion, options = _named(stage.options.get("criterion", DEFAULT_CRITERION))
        schedule, plan = _named(stage.options["schedule"])
        regularisation = options.get("regularisation", DEFAULT_REGULARISATION.get(criterion))
        reached = round(stage.updates[-1]["sparsity"], 4) if stage.updates else 0.0
        return cls(
            criterion,
            None if regularisation is None else float(regularisation),
            schedule,
            int(plan.get("rounds") or max(len(stage.updates), pruned_before + 1)),
            float(plan.get("sparsity", reached)),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def _named(plugin: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return name and options of a plugin as a recipe says it."""
    return (plugin, {}) if isinstance(plugin, str) else (plugin["name"], plugin)


@dataclass(frozen=True)
class Pruning:
    """The last pruning stage of a member."""

    setting: Setting
    stage: PastStage
    pruned: ObservedMember
    """As the stage left it."""
    original: ObservedMember | None
    """What was pruned; None where nothing came before: pruning at initialisation."""
    tuned: ObservedMember | None
    """The member itself, if it was trained afterwards."""
    training: tuple[PastStage, ...]
    """The stages that trained it afterwards."""

    @property
    def squared_change(self) -> list[float | None]:
        """‖Δθ‖² of every update: Σθ² of the weights that it set to zero; None where that was not recorded."""
        changes = [update.get("squared_change") for update in self.stage.updates]
        return [None if change is None else known(change) for change in changes]


def last_pruning(member: ObservedMember) -> Pruning | None:
    """Return the last stage that pruned a member and did not train it; None where there is none.

    Weights that vanish while a stage trains belong to no such stage: there is no network right after the pruning.
    """
    past = member.past()
    pruning = [i for i, stage in enumerate(past) if stage.kind == "prune"]
    if not pruning:
        return None
    i = pruning[-1]
    training = tuple(stage for stage in past[i + 1 :] if stage.kind == "train")
    return Pruning(
        setting=Setting.of(past[i], len(pruning) - 1),
        stage=past[i],
        pruned=past[i].after() if past[i + 1 :] else member,
        original=past[i - 1].after() if i else None,
        tuned=member if training else None,
        training=training,
    )


def training_loss(member: ObservedMember | None) -> float | None:
    """Return the mean cross-entropy of the training images, un-augmented; None where there is none, or no number."""
    loss = None if member is None else member.loss("train")
    return None if loss is None else known(loss)


def validation_error(member: ObservedMember | None) -> float | None:
    """Return the share of the validation images that are not classified as labelled; None where there are none."""
    accuracy = None if member is None else member.accuracy("validation")
    return None if accuracy is None else known(1 - accuracy)


def difference(after: float | None, before: float | None) -> float | None:
    """Return after − before; None where either does not exist."""
    return None if after is None or before is None else after - before


def size(change: float | None) -> float | None:
    """Return a change without its sign."""
    return None if change is None else abs(change)


def losses(pruning: Pruning) -> dict[str, Any]:
    """Return L before and L after pruning, the change, and ΔL = |change|, each None where it does not exist."""
    before, after = training_loss(pruning.original), training_loss(pruning.pruned)
    change = difference(after, before)
    return {"before": before, "after": after, "change": change, "delta": size(change)}
