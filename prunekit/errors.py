"""The two ways in which prunekit refuses: bad input (exit code 2) and failed work (exit code 1)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PrunekitError(Exception):
    """Work that failed. The message is one line that says what happened and what to do."""

    exit_code = 1


class InputError(PrunekitError):
    """Input that cannot be used. The message says where, what was expected and the nearest valid name."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or the known names where none is near, or nothing where there are none."""
    names = sorted(known)
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (known: {', '.join(names)})" if names else ""
