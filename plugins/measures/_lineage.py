"""Where in its past a member was pruned, and what was there before: what the measures of Laurent et al. 2020 share.

Nothing here is a plugin. Stages that prune in a row, with nothing trained or rewound between them, are one pruning. Of
a member that was pruned several times, as by a lottery, which trains in between, the last pruning counts: what it was
given is sparse already, so that its ΔL cannot be held against that of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from prunekit import ObservedMember, PastStage

from ._setting import Setting
from ._statistics import known

MOST_IMAGES = 10**7
"""Validation images up to which a share of them is told from every other."""


@dataclass(frozen=True)
class Pruning:
    """The last pruning of a member."""

    setting: Setting
    stages: tuple[PastStage, ...]
    """Those that pruned in a row."""
    before: ObservedMember | None
    """What they were given; None where that was not trained before: pruning at initialisation."""
    pruned: ObservedMember
    """What they left."""
    original: ObservedMember | None
    """What was there before anything at all was pruned; None where that was not trained before."""
    tuned: ObservedMember | None
    """The member itself, if it was trained afterwards."""
    training: tuple[PastStage, ...]
    """The stages that trained it afterwards."""
    sole: bool
    """Whether nothing else pruned the member, no stage that trains either: only then ``before`` is ``original``."""

    @property
    def squared_changes(self) -> list[float | None]:
        """‖Δθ‖² of every update: Σθ² of the weights that it set to zero; None where that was not recorded."""
        changes = [update.get("squared_change") for stage in self.stages for update in stage.updates]
        return [None if change is None else known(change) for change in changes]


def last_pruning(member: ObservedMember) -> Pruning | None:
    """Return the last stages that pruned a member and did not train it; None where there are none.

    Weights that vanish while a stage trains belong to no such stage: there is no network right after the pruning.
    """
    past = member.past()
    pruning = [i for i, stage in enumerate(past) if stage.kind == "prune"]
    if not pruning:
        return None
    end = pruning[-1]
    begin = end
    while begin > 0 and past[begin - 1].kind == "prune":
        begin -= 1
    everything = [i for i, stage in enumerate(past) if stage.kind == "prune" or "prune" in stage.options]
    training = tuple(stage for stage in past[end + 1 :] if stage.kind == "train")
    return Pruning(
        setting=Setting.of(past[begin : end + 1]),
        stages=tuple(past[begin : end + 1]),
        before=_before(past, begin),
        pruned=past[end].after() if past[end + 1 :] else member,
        original=_before(past, everything[0]),
        tuned=member if training else None,
        training=training,
        sole=everything == list(range(begin, end + 1)),
    )


def _before(past: Sequence[PastStage], i: int) -> ObservedMember | None:
    """Return the member as it was before a stage; None where it was not trained until then, or rewound to its start."""
    trained = False
    for stage in past[:i]:
        trained = stage.kind == "train" or (trained and stage.options.get("rewind") != "start")
    return past[i - 1].after() if trained else None


def training_loss(member: ObservedMember | None) -> float | None:
    """Return the mean cross-entropy of the training images, un-augmented; None where there is none, or no number."""
    loss = None if member is None else member.loss("train")
    return None if loss is None else known(loss)


def validation_error(member: ObservedMember | None) -> float | None:
    """Return the share of the validation images that are not classified as labelled; None where there are none."""
    accuracy = None if member is None else member.accuracy("validation")
    return None if accuracy is None else known(1 - accuracy)


def gap(after: float | None, before: float | None) -> float | None:
    """Return an error less another, None where either does not exist; the same number of images is the same gap.

    Shares of images are taken as the fractions that they are: differences of their floating-point numbers differ in the
    last digits, and would rank apart.
    """
    if after is None or before is None:
        return None
    one, other = (Fraction(error).limit_denominator(MOST_IMAGES) for error in (after, before))
    return float(one - other)


def difference(after: float | None, before: float | None) -> float | None:
    """Return after − before; None where either does not exist."""
    return None if after is None or before is None else after - before


def size(change: float | None) -> float | None:
    """Return a change without its sign."""
    return None if change is None else abs(change)


def losses(pruning: Pruning) -> dict[str, Any]:
    """Return L before and L after pruning, the change, and ΔL = |change|, each None where it does not exist."""
    before, after = training_loss(pruning.before), training_loss(pruning.pruned)
    change = difference(after, before)
    return {"before": before, "after": after, "change": change, "delta": size(change)}


def noted(pruning: Pruning) -> dict[str, Any]:
    """Return what every note says of a pruning."""
    return {"pruning": pruning.setting.as_json(), "sole": pruning.sole}
