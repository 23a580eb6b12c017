"""What changes from one population to another: modal labels, votes, and how much of it chance gives.

Arrays in, numbers out; nothing here is a plugin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunekit import Exemplar, Number, PopulationColumns

from ._chance import PermutationTest, count_interval, permutation_test
from ._votes import Ties, modal_labels, modal_shares, tied, vote_change


@dataclass(frozen=True)
class Tally:
    """What the members of a population predict, and which label wins."""

    name: str
    seeds: tuple[int, ...]
    predictions: NDArray[np.integer]
    modal: NDArray[np.int64]
    share: NDArray[np.float64]
    """[N]: of the members that predict the modal label."""
    ties: int

    @classmethod
    def of(cls, population: PopulationColumns, ties: Ties) -> Tally:
        predictions = population["prediction"]
        modal = modal_labels(predictions, ties)
        shares = modal_shares(predictions, modal)
        return cls(population.name, population.seeds, predictions, modal, shares, int(tied(predictions).sum()))


@dataclass(frozen=True)
class Change:
    """From a reference to another population: what changed, and by chance."""

    reference: Tally
    other: Tally
    paired: bool
    chance: PermutationTest
    interval: tuple[float, float] | None

    @classmethod
    def between(cls, reference: Tally, other: Tally, related: bool, ties: Ties, permutations: int) -> Change:
        paired = related and reference.seeds == other.seeds
        one, two = reference.predictions, other.predictions
        chance = permutation_test(one, two, paired=paired, ties=ties, permutations=permutations)
        return cls(reference, other, paired, chance, count_interval(one, two, paired=paired, ties=ties))

    @property
    def where(self) -> str:
        return f"{self.reference.name} → {self.other.name}"

    @property
    def expected(self) -> float | None:
        """The count that chance gives; None where the members can be dealt in no other way, as with one each."""
        return self.chance.expected if self.chance.permutations > 1 else None

    @property
    def members(self) -> str:
        return f"{len(self.reference.seeds)} + {len(self.other.seeds)} members"

    @property
    def alone(self) -> bool:
        """Whether there is but one member on either side: what changed is then no more than where they differ."""
        return len(self.reference.seeds) == len(self.other.seeds) == 1

    @property
    def pies(self) -> NDArray[np.bool_]:
        changed: NDArray[np.bool_] = self.reference.modal != self.other.modal
        return changed

    @property
    def number(self) -> Number:
        """The count, with the smaller p of the two tests, doubled for being two."""
        p, smallest = min(self.chance.p, self.chance.votes_p), self.chance.smallest_p
        return Number(
            self.chance.count,
            p=min(1.0, 2 * p),
            smallest_p=min(1.0, 2 * smallest),
            interval=self.interval,
            chance=self.expected,
        )

    def exemplars(self, classes: Sequence[str]) -> tuple[Exemplar, ...]:
        """Return the PIEs, those whose votes changed most first, then in the order of the examples."""
        found = np.flatnonzero(self.pies)
        one, other = self.reference, self.other
        moved = vote_change(one.predictions[:, found], other.predictions[:, found])
        order = np.argsort(-moved, kind="stable")
        return tuple(
            Exemplar(
                index=int(i),
                reference=classes[one.modal[i]],
                reference_share=float(one.share[i]),
                pruned=classes[other.modal[i]],
                pruned_share=float(other.share[i]),
                change=float(change),
            )
            for i, change in zip(found[order], moved[order], strict=True)
        )
