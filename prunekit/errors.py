"""How prunekit says no: bad input (exit code 2), failed work (1), and a figure that was not to be (3)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

_MOST = 12
"""Known names that an error lists: a folder may hold thousands."""
_NOT_THE_CALLER = ("prunekit", "torch", "contextlib")


class PrunekitError(Exception):
    """Work that failed. The message is one line that says what happened and what to do."""

    exit_code = 1


class InputError(PrunekitError):
    """Input that cannot be used. The message says where, what was expected and the nearest valid name."""

    exit_code = 2


class GateError(PrunekitError):
    """A report has a figure that ``--fail-if`` asked about. The message names every such figure."""

    exit_code = 3


def warn_caller(message: str) -> None:
    """Warn of the line that called prunekit, be it by a step of torch's optimizer."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _NOT_THE_CALLER:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or the known names where none is near, or nothing where there are none."""
    names = sorted(known)
    by_lower = {each.lower(): each for each in names}
    near = get_close_matches(name.lower(), sorted(by_lower), n=1, cutoff=0.6)
    if near:
        return f" (did you mean {by_lower[near[0]]!r}?)"
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f" (known: {', '.join(names[:_MOST])}{more})" if names else ""


def short(value: object) -> str:
    """Return ``value`` as Python writes it, on one line of at most 60 characters."""
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 60 else shown[:57] + "…"


def describe_problem(problem: Any) -> str:
    """Return one of the errors that pydantic found, in our words: what was expected, and what was there instead."""
    kind, message, value = problem["type"], problem["msg"], problem["input"]
    if kind == "missing":
        return "the key is missing"
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if message.startswith("Input should be "):
        shown = "nothing" if value is None else short(value)
        expected = message.removeprefix("Input should be ").replace("equal to 0", "at least 0")
        return f"expected {expected.replace('greater than or at least', 'at least')}, not {shown}"
    if kind == "too_short":
        return "is empty: expected at least one"
    return str(message)
