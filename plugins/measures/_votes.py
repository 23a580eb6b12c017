"""Members vote for labels: modal labels of one population, or of many groups of members at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ties = Literal["smallest", "largest"]
CELLS = 2**20
"""Groups × examples that are compared at once: large matrix products, yet a few megabytes."""


def ties_reading(ties: Ties) -> str:
    """Return what a report says of tied modal labels."""
    return f"modal label: ties go to the {ties} class index"


def vote_counts(predictions: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the votes for each label, [largest label + 1, N], of predicted labels [M, N].

    Raises ValueError unless ``predictions`` are whole numbers ≥ 0 of at least one member.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 2 or len(predictions) == 0:
        raise ValueError(f"predictions are [members, examples] with at least one member: got {predictions.shape}")
    if not np.issubdtype(predictions.dtype, np.integer) or predictions.min(initial=0) < 0:
        raise ValueError("predictions are class indices: whole numbers from 0")
    examples, classes = predictions.shape[1], int(predictions.max(initial=0)) + 1
    cells = predictions.astype(np.int64) * examples + np.arange(examples)
    return np.bincount(cells.ravel(), minlength=classes * examples).reshape(classes, examples)


def modal_labels(predictions: NDArray[np.integer], ties: Ties = "smallest") -> NDArray[np.int64]:
    """Return the label that most members predict, int64 [N], of predicted labels [M, N].

    Of labels with as many votes the ``smallest`` class index wins (Corti et al. 2022), or the ``largest`` (the code of
    Hooker et al. 2019). Raises ValueError on anything but whole numbers ≥ 0 of at least one member, or other ``ties``.
    """
    if ties not in ("smallest", "largest"):
        raise ValueError(f"ties go to the 'smallest' or the 'largest' class index, not to {ties!r}")
    votes = vote_counts(predictions)
    modal: NDArray[np.int64] = votes.argmax(axis=0)
    if ties == "largest":
        modal = len(votes) - 1 - votes[::-1].argmax(axis=0)
    return modal


def tied(predictions: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return for which examples, bool [N], two labels or more share the most votes."""
    votes = vote_counts(predictions)
    shared: NDArray[np.bool_] = np.count_nonzero(votes == votes.max(axis=0), axis=0) > 1
    return shared


def modal_shares(predictions: NDArray[np.integer], modal: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of members that predict the modal label, [N] in (0, 1]."""
    shares: NDArray[np.float64] = np.mean(np.asarray(predictions) == modal, axis=0)
    return shares


def vote_change(reference: NDArray[np.integer], pruned: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return how far the votes moved, [N] in [0, 1], between predicted labels [M, N] and [M', N].

    The total variation distance between the vote shares: the share of the votes that would have to move to another
    label; 0 where they are split alike, 1 where no label has votes of both. Raises ValueError where the numbers of
    examples differ, and as :func:`vote_counts` does.
    """
    one, other = vote_counts(reference), vote_counts(pruned)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"both populations predict the same examples: got {one.shape[1]} and {other.shape[1]}")
    labels = max(len(one), len(other))
    one, other = (np.pad(votes, ((0, labels - len(votes)), (0, 0))) for votes in (one, other))
    moved: NDArray[np.int64] = np.abs(one * len(pruned) - other * len(reference)).sum(axis=0)  # whole: ties are exact
    return moved / (2 * len(reference) * len(pruned))


@dataclass(frozen=True)
class Votes:
    """Who voted for what, laid out so that the votes of many groups of members are one matrix product per label.

    Examples that no group can decide otherwise are left out. Labels are ranked within each example, so that there are
    as many products as the most disputed example has labels, not as many as there are classes.
    """

    examples: NDArray[np.intp]
    """[n]: positions of the examples that groups may decide differently, those with most labels first."""
    ballots: tuple[NDArray[np.float32], ...]
    """Per rank of a label: [members + 1, n_k], 2^bits where the member voted for it. The last row, of somebody who
    stands in every group, breaks ties: it differs between ranks, and is too small to outweigh a vote."""
    bits: int

    @classmethod
    def of(cls, predictions: NDArray[np.integer], ties: Ties, smallest: int) -> Votes:
        """Lay out predicted labels [members, N] for groups of at least ``smallest`` of the members."""
        counts = vote_counts(predictions)
        first, winner = counts.max(axis=0), counts.argmax(axis=0)
        runner_up = np.where(np.arange(len(counts))[:, None] == winner, 0, counts).max(axis=0)
        absent = len(predictions) - smallest
        examples = np.flatnonzero(first - absent <= runner_up)
        received = counts[:, examples] > 0
        labels = received.sum(axis=0)
        order = np.argsort(-labels, kind="stable")
        examples, labels = examples[order], labels[order]
        rank_of = np.cumsum(received[:, order], axis=0, dtype=np.int32) - 1
        rank = np.take_along_axis(rank_of, predictions[:, examples], axis=0)
        ranks = int(labels.max(initial=0))
        bits = ranks.bit_length()
        ballots = []
        for k in range(ranks):
            mine = rank[:, : np.count_nonzero(labels > k)] == k
            preference = np.full((1, mine.shape[1]), k if ties == "largest" else ranks - 1 - k)
            ballots.append(np.concatenate([mine * 2**bits, preference]).astype(np.float32))
        return cls(examples, tuple(ballots), bits)

    def changed(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Compare R groups of members with R others, both bool [R, members].

        Returns on how many examples the modal labels differ, [R], and for each of ``examples`` how often, [n].
        """
        counts, often = np.zeros(len(one), dtype=np.int64), np.zeros(len(self.examples), dtype=np.int64)
        block = max(1, CELLS // max(1, len(self.examples)))
        for start in range(0, len(one), block):
            rows = slice(start, start + block)
            mine, theirs = np.split(self._winners(np.concatenate([one[rows], other[rows]])), 2)
            differ = mine != theirs
            counts[rows] = np.count_nonzero(differ, axis=1)
            often += np.count_nonzero(differ, axis=0)
        return counts, often

    def distances(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how far apart the vote shares of R groups and R others are, [R]: Σ |difference| over examples, labels.

        In units in which all numbers are whole, so that equal distances are equal to the last bit.
        """
        sizes = one.sum(axis=1, keepdims=True), other.sum(axis=1, keepdims=True)
        weights = (one * sizes[1] - other * sizes[0]).astype(np.float32)
        total = np.zeros(len(one))
        for ballot in self.ballots:
            block = max(1, CELLS // max(1, ballot.shape[1]))
            for start in range(0, len(one), block):
                rows = slice(start, start + block)
                total[rows] += np.abs(weights[rows] @ ballot[:-1]).sum(axis=1, dtype=np.float64)
        return total

    def _winners(self, groups: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return what names the modal label in each group, [R, n]: the preference of its rank."""
        everyone = np.ones((len(groups), groups.shape[1] + 1), dtype=np.float32)
        everyone[:, :-1] = groups
        best = np.zeros((len(groups), len(self.examples)), dtype=np.float32)
        space = np.empty(best.size, dtype=np.float32)
        for ballot in self.ballots:
            width = ballot.shape[1]
            votes = np.matmul(everyone, ballot, out=space[: len(groups) * width].reshape(-1, width))
            np.maximum(best[:, :width], votes, out=best[:, :width])
        winners: NDArray[np.int32] = best.astype(np.int32) & (2**self.bits - 1)
        return winners
