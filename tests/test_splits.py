"""Splits by id."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit import stratified_split


def names(count: int) -> list[str]:
    return [f"example-{i}" for i in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(lambda counts: sum(counts) > 0),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_parts_are_disjoint_complete_exact_and_proportional(counts: list[int], cuts: tuple[float, float]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    total = len(labels)
    first, second = sorted(round(cut * total) for cut in cuts)
    sizes = [first, second - first, total - second]
    parts = stratified_split(labels, names(total), sizes)
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate(parts).tolist()) == list(range(total))
    share = np.bincount(labels[parts[0]], minlength=len(counts)) - np.array(counts) * sizes[0] / total
    assert np.abs(share).max() < 1


def test_within_a_class_the_lowest_hashes_come_first() -> None:
    ids = names(12)
    first, second = stratified_split(np.zeros(12, dtype=np.int64), ids, [5, 7])
    ranked = sorted(range(12), key=lambda i: hashlib.sha256(ids[i].encode()).hexdigest())
    assert set(first.tolist()) == set(ranked[:5])
    assert set(second.tolist()) == set(ranked[5:])


def test_remainders_go_to_the_largest_and_of_equal_ones_to_the_smaller_class() -> None:
    labels = np.repeat([0, 1, 2], [3, 3, 4])
    first, _ = stratified_split(labels, names(10), [5, 5])  # shares of 1.5, 1.5 and 2
    assert np.bincount(labels[first]).tolist() == [2, 1, 2]


def test_ids_decide_and_not_their_order() -> None:
    labels, ids = np.arange(40) % 3, names(40)
    shuffled = np.random.default_rng(0).permutation(40)
    plain = stratified_split(labels, ids, [10, 30])
    other_ids = [ids[i] for i in shuffled]
    other = stratified_split(labels[shuffled], other_ids, [10, 30])
    for before, after in zip(plain, other, strict=True):
        assert [ids[i] for i in before] == [other_ids[i] for i in after]


@pytest.mark.parametrize(
    ("ids", "sizes", "message"),
    [
        (["a", "b", "a"], [1, 2], "an id occurs twice"),
        (["a", "b", "c"], [1, 1], "1 \\+ 1 examples are not the 3"),
        (["a", "b", "c"], [-1, 4], "-1 \\+ 4"),
    ],
)
def test_impossible_splits_are_refused(ids: Sequence[str], sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stratified_split(np.array([0, 0, 1]), ids, sizes)
