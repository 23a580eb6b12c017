"""Nearest neighbours and their votes against scikit-learn in float64, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from prunekit.plugins.measures import _neighbours
from prunekit.plugins.measures._neighbours import nearest, neighbour_votes

Vectors = NDArray[np.float32]


def vectors(examples: int, dimensions: int, seed: int, offset: float = 0.0) -> Vectors:
    """Return vectors as they come out of a ReLU, moved by ``offset``."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dimensions, dimensions)) / np.arange(1, dimensions + 1)
    return np.maximum(random.normal(size=(examples, dimensions)) @ mixing + offset, 0).astype(np.float32)


def by_differences(bank: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """Return the k nearest, the first ones of equal ones, from every difference in float64."""
    distances = ((queries[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(axis=2)
    return np.sort(distances.argsort(axis=1, kind="stable")[:, :k], axis=1)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries were done again in float64, a number for each time."""
    seen: list[int] = []
    exactly = _neighbours._exactly
    monkeypatch.setattr(_neighbours, "_exactly", lambda s, *rest: (seen.append(len(s)), exactly(s, *rest))[1])
    return seen


# ---------------------------------------------------------------------------------------------------------- neighbours


@pytest.mark.parametrize("dimensions", [1, 2, 16, 128, 700])
@pytest.mark.parametrize("k", [1, 5, 30])
def test_neighbours_are_those_of_scikit_learn_in_float64(dimensions: int, k: int) -> None:
    bank, queries = vectors(1500, dimensions, 0, 2.0), vectors(120, dimensions, 1, 2.0)
    finder = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank.astype(np.float64))
    expected = finder.kneighbors(queries.astype(np.float64), return_distance=False)
    np.testing.assert_array_equal(nearest(bank, queries, k), np.sort(expected, axis=1))


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_digits_that_cancel_change_no_neighbour(offset: float, wide: list[int]) -> None:
    bank, queries = vectors(800, 20, 0, offset), vectors(60, 20, 1, offset)
    np.testing.assert_array_equal(nearest(bank, queries, 7), by_differences(bank, queries, 7))
    assert sum(wide) == 60 if offset == 1e4 else sum(wide) < 60


def test_few_queries_are_done_again_in_float64(wide: list[int]) -> None:
    nearest(vectors(3000, 64, 0, 1.0), vectors(1000, 64, 1, 1.0), 30)
    assert sum(wide) < 50


@pytest.mark.parametrize("k", [1, 3, 8])
def test_of_equal_distances_the_smaller_index_wins(k: int) -> None:
    grid = np.array([[x, y] for x in range(5) for y in range(5)] * 3, dtype=np.float32)
    queries = np.array([[2, 2], [0, 0], [1.5, 1.5], [9, 9]], dtype=np.float32)
    np.testing.assert_array_equal(nearest(grid, queries, k), by_differences(grid, queries, k))


def test_where_all_are_equally_far_the_first_ones_are_nearest() -> None:
    same = np.full((70, 6), 0.1, dtype=np.float32)
    assert nearest(same, same[:2], 4).tolist() == [[0, 1, 2, 3]] * 2
    assert nearest(0 * same, 0 * same[:1], 2).tolist() == [[0, 1]]


def test_an_example_is_no_neighbour_of_itself_where_bank_and_queries_are_the_same() -> None:
    points = vectors(200, 12, 0)
    finder = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(points.astype(np.float64))
    expected = np.sort(finder.kneighbors(return_distance=False), axis=1)
    np.testing.assert_array_equal(nearest(points, points, 4, exclude_self=True), expected)
    assert nearest(points, points, 1)[:, 0].tolist() == list(range(200))


def test_of_twins_each_is_the_neighbour_of_the_other() -> None:
    points = np.array([[0, 0], [0, 0], [5, 5], [5, 5]], dtype=np.float32)
    assert nearest(points, points, 1, exclude_self=True)[:, 0].tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("space", [1, 5000, 2**16])
def test_how_much_is_worked_on_at_once_changes_nothing(space: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, queries = np.round(vectors(203, 9, 0)), np.round(vectors(31, 9, 1))  # many ties
    monkeypatch.setattr(_neighbours, "SPACE", space)
    np.testing.assert_array_equal(nearest(bank, queries, 6), by_differences(bank, queries, 6))
    itself = nearest(bank, bank, 6, exclude_self=True)
    assert not (itself == np.arange(203)[:, None]).any()


@pytest.mark.parametrize("examples", [1, 2, 15, 16, 17, 33])
def test_all_of_a_small_bank_may_be_neighbours(examples: int) -> None:
    bank, queries = vectors(examples, 3, 0), vectors(4, 3, 1)
    assert nearest(bank, queries, examples).tolist() == [list(range(examples))] * 4


@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1e18])
def test_very_small_and_very_large_numbers_are_told_apart(scale: float) -> None:
    bank, queries = vectors(300, 5, 0), vectors(40, 5, 1)
    scaled = nearest((bank * scale).astype(np.float32), (queries * scale).astype(np.float32), 5)
    expected = by_differences((bank * scale).astype(np.float32), (queries * scale).astype(np.float32), 5)
    np.testing.assert_array_equal(scaled, expected)


def test_nobody_asked_gets_no_answer() -> None:
    assert nearest(vectors(9, 4, 0), vectors(0, 4, 1), 2).shape == (0, 2)
    assert neighbour_votes(vectors(9, 4, 0), np.zeros(9, int), vectors(0, 4, 1), 2, 3).shape == (0,)


@pytest.mark.parametrize(("k", "exclude_self", "most"), [(0, False, "4"), (5, False, "4"), (4, True, "3")])
def test_more_neighbours_than_there_are_examples_are_refused(k: int, exclude_self: bool, most: str) -> None:
    points = vectors(4, 2, 0)
    with pytest.raises(ValueError, match=rf"^expected a k from 1 to {most}, .* and not {k}$"):
        nearest(points, points, k, exclude_self=exclude_self)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("which", ["bank", "queries"])
def test_numbers_that_are_not_finite_or_too_large_are_refused(value: float, which: str) -> None:
    given = {"bank": vectors(9, 4, 0), "queries": vectors(3, 4, 1)}
    given[which][2, 1] = value
    with pytest.raises(ValueError, match="finite"):
        nearest(**given, k=2)


# --------------------------------------------------------------------------------------------------------------- votes


@pytest.mark.parametrize("classes", [2, 10])
def test_votes_are_those_of_scikit_learns_classifier(classes: int) -> None:
    bank, queries = vectors(900, 24, 0), vectors(300, 24, 1)
    labels = np.random.default_rng(2).integers(0, classes, 900)
    classifier = KNeighborsClassifier(30, algorithm="brute").fit(bank.astype(np.float64), labels)
    found = neighbour_votes(bank, labels, queries, 30, classes)
    np.testing.assert_array_equal(found, classifier.predict(queries.astype(np.float64)))
    assert found.dtype == np.int64


def test_of_labels_with_as_many_votes_the_smallest_wins() -> None:
    bank = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    query = np.array([[0.0]], dtype=np.float32)
    assert neighbour_votes(bank, np.array([2, 1, 0, 0]), query, 2, 3).tolist() == [1]
    assert neighbour_votes(bank, np.array([2, 1, 0, 0]), query, 1, 3).tolist() == [2]
    assert neighbour_votes(bank, np.array([2, 1, 0, 0]), query, 4, 3).tolist() == [0]


def test_an_examples_own_label_has_no_vote_on_itself() -> None:
    points = np.array([[0.0], [0.1], [5.0], [5.1]], dtype=np.float32)
    labels = np.array([0, 1, 2, 1])
    assert neighbour_votes(points, labels, points, 1, 3).tolist() == [0, 1, 2, 1]
    assert neighbour_votes(points, labels, points, 1, 3, exclude_self=True).tolist() == [1, 0, 1, 2]
