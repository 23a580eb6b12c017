"""The option that holds out validation images."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from prunekit import InputError
from prunekit.plugins.datasets._validation import Validation, cut_validation, held_out


class Options(BaseModel, strict=True):
    validation: Validation


@pytest.mark.parametrize("value", [0, 7, 0.0, 0.25, 0.999])
def test_counts_and_shares_are_taken(value: int | float) -> None:
    assert Options(validation=value).validation == value


@pytest.mark.parametrize("value", [-1, -0.1, 1.0, 2.5, float("nan"), float("inf"), True, "0.1", None])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"validation": value})


@pytest.mark.parametrize(
    ("validation", "training", "expected"),
    [
        (0, 10, 0),
        (3, 10, 3),
        (9, 10, 9),
        (0.1, 10, 1),
        (0.14, 10, 1),
        (0.16, 10, 2),
        (0.999, 10, 9),
        (0.9, 1, 0),
        (0, 0, 0),
    ],
)
def test_a_share_is_rounded_and_leaves_one(validation: int | float, training: int, expected: int) -> None:
    assert held_out(validation, training) == expected


def test_a_count_that_leaves_none_is_refused() -> None:
    with pytest.raises(InputError, match="expected a count from 0 to 9, or a share"):
        held_out(10, 10)


def test_the_cut_is_stratified_disjoint_and_decided_by_ids_alone() -> None:
    labels = np.repeat([0, 1], [20, 10])
    ids = [f"image-{i}" for i in range(30)]
    kept, held = cut_validation(labels, ids, 6)
    assert sorted([*kept, *held]) == list(range(30))
    assert np.bincount(labels[held]).tolist() == [4, 2]
    order = np.random.default_rng(0).permutation(30)
    _, again = cut_validation(labels[order], [ids[i] for i in order], 6)
    assert [ids[i] for i in held] == [ids[order[i]] for i in again]


def test_a_class_without_training_images_is_refused() -> None:
    with pytest.raises(InputError, match="leaves 1 of the classes without training images"):
        cut_validation(np.array([0, 0, 0, 0, 1]), list("abcde"), 4)
