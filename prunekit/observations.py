"""What a measure may observe of a member: columns of numbers, one per example. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import PrunekitError
from prunekit.protocols import Measure

BASE = ("prediction", "confidence", "loss")
"""What a network says of every example without a measure."""
RESERVED = ("example_id", "label", *BASE)
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


def checked_note(measure: Measure, note: object) -> dict[str, Any]:
    """Return what ``measure`` noted of a member as a whole, to be kept under the key ``note``.

    Raises PrunekitError, in one line, unless it is a mapping of JSON's own types without NaN.
    """
    if not isinstance(note, Mapping):
        raise PrunekitError(f"the measure {measure.name!r} noted a {type(note).__name__}: expected a mapping")
    try:
        json.dumps(note, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PrunekitError(f"the measure {measure.name!r} noted what JSON does not hold: {error}") from None
    return {"note": dict(note)}


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
