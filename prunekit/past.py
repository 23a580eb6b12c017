"""The finished stages of a member, read from the store: what :class:`prunekit.observed.PastStage` asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from prunekit.errors import InputError
from prunekit.observed import ObservedMember
from prunekit.stages import PruneStage, TrainStage, stage_kind
from prunekit.store import Store

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class StoredPastStage:
    """A finished stage of a member's lineage."""

    key: str
    parent: str | None
    """Key of the stage before it; None where it is the first."""
    options: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    updates: Sequence[Mapping[str, Any]]
    store: Store
    member: Callable[[Weights], ObservedMember]
    """Returns a member with these weights."""
    weights_of: Callable[[str | None], Weights]
    """Returns the weights at the end of the stage with that key; of None those that the member began with."""

    @classmethod
    def read(
        cls,
        store: Store,
        key: str,
        member: Callable[[Weights], ObservedMember],
        weights_of: Callable[[str | None], Weights],
    ) -> StoredPastStage:
        """Read what is known of a stage. Raises DamagedError where that is missing or altered."""
        record, history = store.find_stage(key), store.load_history(key)
        updates = [{"squared_change": None, **update} for update in history["updates"]]
        return cls(key, record["parent"], record["stage"], history["epochs"], updates, store, member, weights_of)

    @property
    def kind(self) -> Literal["train", "prune", "rewind"]:
        """What the stage does."""
        found = stage_kind(self.options)
        return "train" if found is TrainStage else "prune" if found is PruneStage else "rewind"

    @cached_property
    def _ended(self) -> ObservedMember:
        """The member as it was when the stage ended, which all measures that look at it share."""
        return self.member(self.weights_of(self.key))

    def after(self, round: int | None = None) -> ObservedMember:
        """Return the member as it was when the stage ended; of a stage that only prunes, after a round, from 0."""
        if round is None or (self.kind == "prune" and round == len(self.updates) - 1):
            return self._ended
        if self.kind != "prune" or not 0 <= round < len(self.updates):
            raise InputError(f"a stage that {self.kind}s has no round {round} (it made {len(self.updates)} updates)")
        rounds = self.store.load_rounds(self.key)
        if not rounds:
            raise InputError("what each round pruned was not recorded: prune again with this version of prunekit")
        weights = dict(self.weights_of(self.parent))
        for name, pruned_by in rounds.items():
            gone = (pruned_by >= 0) & (pruned_by <= round)
            weights[name] = weights[name].masked_fill(gone.to(weights[name].device), 0)
        return self.member(weights)
