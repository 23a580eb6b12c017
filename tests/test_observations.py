"""What a measure may observe."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from prunekit.errors import PrunekitError
from prunekit.observations import checked_columns
from prunekit.protocols import Measure
from prunekit.store import Store
from prunekit.tables import Summary


class Watchful(Measure):
    """Declares two columns."""

    name = "watchful"
    columns = ("a", "b")

    def summarise(self, study: Any, comparisons: Any) -> Summary:
        return Summary()


class Blind(Watchful):
    """Declares none."""

    name = "blind"
    columns = ()


class Usurper(Watchful):
    """Declares what every member has already."""

    name = "usurper"
    columns = ("loss",)


def test_columns_come_in_the_order_in_which_they_are_declared():
    a, b = np.array([1, 2]), np.array([True, False])
    found = checked_columns(Watchful(), {"b": b, "a": a}, 2)
    assert list(found) == ["a", "b"]
    assert found["a"] is a
    assert found["b"] is b
    assert checked_columns(Blind(), {}, 2) == {}


@pytest.mark.parametrize("dtype", list("?bBhHiIqQefd"))
def test_what_is_accepted_comes_back_from_the_store_as_it_was(tmp_path, dtype):
    values = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1], dtype=dtype)
    columns = checked_columns(Watchful(), {"a": values, "b": values}, 9)
    store = Store.create(tmp_path / "runs")
    store.save_observation("key", "test", columns, {}, "watchful")
    back = store.load_observation("key", "test", "watchful")["a"]
    assert back.dtype == values.dtype
    assert back.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("values", "described"),
    [
        (np.zeros((3, 1)), r"an array of float64 of shape \(3, 1\)"),
        (np.zeros(2), r"an array of float64 of shape \(2,\)"),
        (np.array(0.5), r"an array of float64 of shape \(\)"),
        (np.array(["x", "y", "z"]), r"an array of <U1 of shape \(3,\)"),
        (np.array([1, None, 2], dtype=object), r"an array of object of shape \(3,\)"),
        (np.zeros(3, complex), r"an array of complex128 of shape \(3,\)"),
        ([1, 2, 3], "a list"),
        (0.5, "a float"),
        (None, "a NoneType"),
    ],
)
def test_anything_but_a_number_per_example_is_refused_in_one_line(values, described):
    with pytest.raises(PrunekitError) as caught:
        checked_columns(Watchful(), {"a": np.zeros(3), "b": values}, 3)
    expected = rf"the measure 'watchful' observed b as {described}: expected an array of 3 numbers or bools"
    assert re.fullmatch(expected, str(caught.value))


@pytest.mark.parametrize(
    ("measure", "names", "message"),
    [
        (Watchful, ["a"], "observed the columns a where its `columns` declares the columns a, b"),
        (Watchful, ["a", "b", "c"], "observed the columns a, b, c where"),
        (Watchful, [], "observed no columns where"),
        (Blind, ["a"], "the measure 'blind' observed the columns a where its `columns` declares no columns"),
        (Usurper, ["loss"], "expected the same, and none of example_id, label, prediction, confidence, loss"),
    ],
)
def test_columns_other_than_the_declared_ones_are_refused(measure, names, message):
    with pytest.raises(PrunekitError) as caught:
        checked_columns(measure(), {name: np.zeros(3) for name in names}, 3)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
