"""The part of the training images that is held out for validation: the option ``validation``, and the cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from prunekit import InputError, Split, stratified_split


def _count_or_share(value: Any) -> Any:
    count = type(value) is int and value >= 0
    share = type(value) is float and 0 <= value < 1
    if not (count or share):
        raise ValueError(f"expected a count of images, or a share in [0, 1), not {value!r}")
    return value


Validation = Annotated[int | float, BeforeValidator(_count_or_share)]
"""Type of the option: a count of images, or a share of the training images in [0, 1)."""


def held_out(validation: int | float, training: int) -> int:
    """Return how many of ``training`` images are held out; a share is rounded, and leaves one to train on.

    Raises InputError where a count leaves none.
    """
    if isinstance(validation, float):
        return max(0, min(round(validation * training), training - 1))
    if validation and validation >= training:
        raise InputError(
            f"validation: {validation} images cannot be held out of {training} for training:"
            f" expected a count from 0 to {training - 1}, or a share in [0, 1)"
        )
    return validation


def cut_validation(
    labels: NDArray[np.int64], ids: Sequence[str], validation: int | float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the images for training and of those for validation, each in the order of their ids.

    ``labels`` and ``ids`` are those of all images that are not for testing. The ids alone decide, and the classes are
    in proportion: :func:`prunekit.stratified_split`. Raises InputError where a class keeps nothing to train on.
    """
    count = held_out(validation, len(ids))
    if not count:
        return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64), np.empty(0, dtype=np.int64)
    held, trained = stratified_split(labels, ids, (count, len(ids) - count))
    if lost := set(labels.tolist()) - set(labels[trained].tolist()):
        raise InputError(f"validation: {validation} leaves {len(lost)} of the classes without training images")
    return trained, held


def without_validation(whole: Split, validation: int | float) -> tuple[Split, Split]:
    """Return the images for training and those for validation, of ``whole``, which is in the order of its ids.

    Where none are held out, those for training are ``whole`` itself, not a copy. Raises like :func:`cut_validation`.
    """
    kept, held = cut_validation(whole.labels, whole.ids, validation)
    return (_only(whole, kept) if len(held) else whole), _only(whole, held)


def _only(split: Split, chosen: NDArray[np.int64]) -> Split:
    return Split(split.images[chosen], split.labels[chosen], tuple(split.ids[i] for i in chosen))
