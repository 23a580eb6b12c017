"""Splits of a data set that the ids of its examples decide."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stratified_split(labels: NDArray[np.int64], ids: Sequence[str], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Split examples into parts of exactly ``sizes``, each with the classes in proportion.

    The ids alone decide: within each class examples are ranked by the SHA-256 of their id, and the parts take theirs
    one after the other. A part's share of a class is rounded by largest remainder (ties: the smaller class).
    Returns for each part the indices of its examples, in the order of their ids.
    Raises ValueError where ``sizes`` do not add up to the number of examples, or an id occurs twice.
    """
    if len(set(ids)) != len(ids):
        raise ValueError("an id occurs twice: ids must name one example each")
    if min(sizes) < 0 or sum(sizes) != len(ids):
        raise ValueError(f"parts of {' + '.join(map(str, sizes))} examples are not the {len(ids)} there are")
    digests = [hashlib.sha256(name.encode()).digest() for name in ids]
    queues = [sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: digests[i]) for label in np.unique(labels)]
    parts = []
    for size in sizes:
        taken = _proportional(size, [len(queue) for queue in queues])
        chosen = [i for queue, n in zip(queues, taken, strict=True) for i in queue[:n]]
        queues = [queue[n:] for queue, n in zip(queues, taken, strict=True)]
        parts.append(np.array(sorted(chosen, key=lambda i: ids[i]), dtype=np.int64))
    return parts


def _proportional(size: int, available: list[int]) -> list[int]:
    """Share out ``size`` in proportion to ``available``, in whole numbers by largest remainder."""
    total = max(sum(available), 1)
    shares = [size * n // total for n in available]
    by_remainder = sorted(range(len(available)), key=lambda i: -(size * available[i] % total))
    for i in by_remainder[: size - sum(shares)]:
        shares[i] += 1
    return shares
