"""Exact k-nearest-neighbour votes.

Arrays in, labels out; nothing here is a plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SPACE = 2**25
"""Bytes of scores, or of the bank in float64, that are worked on at once: most of them stay in the cache."""
GROUPED = 16
"""Scores of which the smallest stands for all until it is known which groups matter."""
LARGEST = 1e38
"""What squared lengths are below, so that float32 holds them."""


def neighbour_votes(
    bank: NDArray[np.float32],
    bank_labels: NDArray[np.integer],
    queries: NDArray[np.float32],
    k: int,
    classes: int,
    *,
    exclude_self: bool = False,
) -> NDArray[np.int64]:
    """Return the label that most of the k nearest neighbours have, int64 [N], for each of ``queries`` [N, D].

    ``bank`` is [B, D], ``bank_labels`` [B] in 0 … ``classes`` − 1. Of labels with as many votes the smallest wins.
    Who the neighbours are, and what is raised, is said in :func:`nearest`.
    """
    labels = np.asarray(bank_labels)[nearest(bank, queries, k, exclude_self=exclude_self)]
    cells = labels + classes * np.arange(len(labels))[:, None]
    votes = np.bincount(cells.ravel(), minlength=classes * len(labels)).reshape(len(labels), classes)
    most: NDArray[np.int64] = votes.argmax(axis=1)
    return most


def nearest(
    bank: NDArray[np.float32], queries: NDArray[np.float32], k: int, *, exclude_self: bool = False
) -> NDArray[np.int64]:
    """Return the k nearest of ``bank`` [B, D] to each of ``queries`` [N, D] by Euclidean distance: int64 [N, k].

    They are in the order of the bank. Of equal distances the smaller index wins; equal is what float64 cannot tell
    apart. With ``exclude_self`` query i is example i of the bank, and no neighbour of itself. Raises ValueError unless
    1 ≤ k ≤ B (less the example itself), and on numbers that are not finite or whose squares are not.

    Products are taken in float32 first, then in float64 for those queries whose neighbours rounding could decide.
    """
    import torch

    others = len(bank) - exclude_self
    if not 1 <= k <= others:
        raise ValueError(f"expected a k from 1 to {others:,}, the number of examples to choose from, and not {k:,}")
    squares, lengths = (torch.from_numpy(np.einsum("nd,nd->n", x, x, dtype=np.float64)) for x in (bank, queries))
    if not ((squares < LARGEST).all() and (lengths < LARGEST).all()):
        raise ValueError("expected finite numbers whose squares are finite, too")
    points, asked = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for x in (bank, queries))
    found = torch.empty(len(asked), k, dtype=torch.int64)
    doubtful = torch.empty(len(asked), dtype=torch.bool)
    at_once = max(1, SPACE // (4 * len(points)))
    space = torch.full((at_once, (len(points) // GROUPED + 1) * GROUPED), torch.inf)  # one score or more stays infinite
    rounded = squares.float()

    for rows in _blocks(torch.arange(len(asked)), at_once):
        scores = space[: len(rows)]
        torch.addmm(rounded, asked[rows], points.T, alpha=-2, out=scores[:, : len(points)])
        if exclude_self:
            scores.scatter_(1, rows[:, None], torch.inf)
        found[rows], doubtful[rows] = _quickly(scores, lengths[rows], k, points.shape[1])
    for rows in _blocks(doubtful.nonzero()[:, 0], max(1, at_once // 4)):
        scores = _exact_products(asked[rows], points).mul_(-2).add_(squares)
        if exclude_self:
            scores.scatter_(1, rows[:, None], torch.inf)
        found[rows] = _exactly(scores, lengths[rows], k, points.shape[1])
    return found.sort(dim=1).values.numpy()


# Scores are squared distances less the squared length of the query, |b|² − 2ab: they rank as distances do.


def _quickly(scores: Tensor, lengths: Tensor, k: int, dimensions: int) -> tuple[Tensor, Tensor]:
    """Return the places of the k smallest float32 ``scores`` [q, P], and where rounding could decide which, bool [q].

    The k + 1 smallest are looked for in the k + 1 groups with the smallest minima, which have all of them.
    """
    grouped = scores.view(len(scores), GROUPED, -1)  # a group is what lies P / GROUPED places apart
    minima = grouped.amin(dim=1)
    width = minima.shape[1]
    groups = minima.topk(min(k + 1, width), largest=False, sorted=False).indices
    candidates = grouped.gather(2, groups[:, None].expand(-1, GROUPED, -1)).flatten(1)
    values, places = candidates.topk(k + 1, largest=False)
    rank, group = places[:, :k] // groups.shape[1], places[:, :k] % groups.shape[1]
    last, following = values[:, k - 1].double(), values[:, k].double()
    certain = following - last > _slack(scores.dtype, last, lengths, dimensions)
    return rank * width + groups.gather(1, group), ~certain


def _exactly(scores: Tensor, lengths: Tensor, k: int, dimensions: int) -> Tensor:
    """Return the places of the k smallest float64 ``scores`` [q, B], of equal ones the first."""
    import torch

    last = scores.topk(k, largest=False).values[:, -1]
    slack = _slack(scores.dtype, last, lengths, dimensions)
    smaller = scores < (last - slack)[:, None]
    equal = (scores <= (last + slack)[:, None]) & ~smaller
    room = k - smaller.sum(dim=1, keepdim=True)
    chosen = smaller | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    return chosen.nonzero()[:, 1].view(-1, k)


def _slack(dtype: torch.dtype, last: Tensor, lengths: Tensor, dimensions: int) -> Tensor:
    """Return by how much two scores near ``last`` must differ, [q], to differ whatever the rounding.

    Errors of sums of D products grow with √D at most (Higham and Mary 2019), and slower where they are summed in
    blocks, as libraries do. Up to D = 32,768 this is over six standard deviations of the errors that were measured.
    """
    import torch

    known = torch.finfo(dtype)
    both = 2 * lengths.sqrt() + (last + lengths).clamp(min=0).sqrt()  # |a| + |b|, where |b| is at most |a| + |a − b|
    slack: Tensor = known.eps * (4 + dimensions**0.5 / 16) * both.square() + known.tiny
    return slack


def _exact_products(asked: Tensor, points: Tensor) -> Tensor:
    """Return all products of two vectors, float64 [q, B], of float32 ones."""
    import torch

    wide = asked.double()
    at_once = max(1, SPACE // (32 * max(1, points.shape[1])))
    return torch.cat([wide @ some.double().T for some in _blocks(points, at_once)], dim=1)


def _blocks(rows: Tensor, at_once: int) -> tuple[Tensor, ...]:
    import torch

    return torch.split(rows, at_once) if len(rows) else ()
