"""What a measure may observe of a member: columns of numbers, one per example. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import PrunekitError
from prunekit.protocols import Measure

RESERVED = ("example_id", "label", "prediction", "confidence", "loss")
"""Columns that every member has without a measure."""


def checked_columns(measure: Measure, columns: object, examples: int) -> dict[str, NDArray[Any]]:
    """Return what ``measure`` observed, in the order in which it declares its columns.

    Raises PrunekitError, in one line, unless these are the columns that it declares, none of them a name that every
    member has, each an array [examples] of real numbers (of at most 64 bits) or bools.
    """
    if not isinstance(columns, Mapping):
        given = type(columns).__name__
        raise PrunekitError(f"the measure {measure.name!r} observed a {given}: expected a mapping of names to arrays")
    declared, observed = measure.columns, tuple(columns)
    if set(declared) != set(observed) or set(declared) & set(RESERVED):
        raise PrunekitError(
            f"the measure {measure.name!r} observed {_listed(observed)} where its `columns` declares "
            f"{_listed(declared)}: expected the same, and none of {', '.join(RESERVED)}"
        )
    for name, values in columns.items():
        if not _is_column(values, examples):
            raise PrunekitError(
                f"the measure {measure.name!r} observed {name} as {_described(values)}: "
                f"expected an array of {examples} numbers or bools"
            )
    return {name: columns[name] for name in declared}


def _is_column(values: Any, examples: int) -> bool:
    return (
        isinstance(values, np.ndarray)
        and values.shape == (examples,)
        and values.dtype.kind in "biuf"
        and values.dtype.itemsize <= 8
    )


def _listed(names: tuple[str, ...]) -> str:
    return f"the columns {', '.join(map(str, names))}" if names else "no columns"


def _described(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"an array of {values.dtype} of shape {values.shape}"
    return f"a {type(values).__name__}"
