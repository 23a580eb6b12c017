"""The finished stages of a member, read from the store: what :class:`prunekit.observed.PastStage` asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prunekit.errors import InputError
from prunekit.observed import ObservedMember, StageKind
from prunekit.snapshots import Weights
from prunekit.stages import KIND_NAMES, stage_kind
from prunekit.store import Store


@dataclass(frozen=True)
class StoredPastStage:
    """A finished stage of a member's lineage."""

    key: str
    parent: str | None
    """Key of the stage before it; None where it is the first."""
    options: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    updates: Sequence[Mapping[str, Any]]
    selected: int | None
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
        epochs, selected = history["epochs"], history.get("selected")
        return cls(key, record["parent"], record["stage"], epochs, updates, selected, store, member, weights_of)

    @property
    def kind(self) -> StageKind:
        """What the stage does."""
        found = stage_kind(self.options)
        assert found is not None  # it was validated before it was done
        return KIND_NAMES[found]

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
        if not self._rounds:
            raise InputError(
                "what each round pruned was not recorded, by an older version of prunekit: remove the folder "
                f"{self.store.stage_folder(self.key)} and run the recipe again"
            )
        weights, last = dict(self._before), self.updates[round]["iteration"]
        for name, pruned_by in self._rounds.items():
            gone = (pruned_by >= 0) & (pruned_by <= last)
            weights[name] = weights[name].masked_fill(gone.to(weights[name].device), 0)
        return self.member(weights)

    @cached_property
    def _before(self) -> Weights:
        """The weights that the stage began with."""
        return self.weights_of(self.parent)

    @cached_property
    def _rounds(self) -> Weights:
        """By name, the round that pruned each weight; {} where none was recorded."""
        return self.store.load_rounds(self.key)
