"""Conditions on the figures of a report, for a release pipeline: ``--fail-if 'pie.fraction > 0.02'``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.errors import InputError, did_you_mean

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CONDITION = re.compile(
    rf"\s*(?P<path>\S(?:.*?[^\s<>=!])?)\s*(?P<sign>{'|'.join(_COMPARE)})\s*(?P<number>{_NUMBER})\s*(?P<share>%?)\s*"
)

MOST_NAMED = 3
"""Comparisons that an error names one by one."""


@dataclass(frozen=True)
class Gate:
    """A condition that a figure of a report must not meet."""

    text: str
    """As it was written: ``PATH OP NUMBER``; ``2 %`` is 0.02."""
    path: str
    """Keys joined by dots: of every comparison, or, where those have no such key, of the whole document."""
    sign: str
    """One of > >= < <= == !=."""
    limit: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a condition. Raises InputError where it is none."""
        found = _CONDITION.fullmatch(text)
        if found is None:
            signs = " ".join(sorted(_COMPARE))
            raise InputError(
                f"--fail-if {text!r}: expected a figure, one of {signs} and a number, such as 'pie.fraction > 0.02'"
            )
        limit = float(found["number"]) / (100 if found["share"] else 1)
        return cls(text, found["path"], found["sign"], limit)

    def met(self, document: Mapping[str, Any]) -> list[str]:
        """Return every figure of a report's document that meets the condition, in words: where, its value, the limit.

        Raises InputError where the path names no number, or one that does not exist in every comparison: a gate that
        saw nothing lets nothing through.
        """
        ends = {where: _end(inside, self.path) for where, inside in self._places(document).items()}
        absent = [where for where, end in ends.items() if end.value is None]
        if absent:
            listed = ", ".join(absent[:MOST_NAMED]) + (" and others" if len(absent) > MOST_NAMED else "")
            name = self._until(ends[absent[0]])
            hint = "" if "." in name else f" (if it is a measure, --measure {name} adds it)"
            raise self._error(f"{name} has no value{' in ' if listed else ''}{listed}{hint}")
        figures = {where: self._figure(end) for where, end in ends.items()}
        return [
            f"{where}{': ' if where else ''}{self.path} is {figure}, which is {self.sign} {self.limit:.12g}"
            for where, figure in figures.items()
            if _COMPARE[self.sign](figure, self.limit)
        ]

    def _places(self, document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return in what the path is looked up: every comparison by its name, or the whole document."""
        compared = {f"{each['reference']} → {each['pruned']}": each for each in document["comparisons"]}
        if any(_first_keys(each, self.path) for each in compared.values()):
            return compared
        if _first_keys(document, self.path):
            return {"": document}
        known = {key for each in (document, *compared.values()) for key in each}
        raise self._error(f"the report has no {self.path!r}{_nearest(self.path, known)}")

    def _figure(self, end: _End) -> float:
        below = _below(end.value)
        if end.rest:
            raise self._error(f"{self._until(end)} has no {end.rest!r}{_nearest(end.rest, below)}")
        if isinstance(end.value, bool) or not isinstance(end.value, int | float):
            raise self._error(f"{self.path} is not a number{did_you_mean('', below)}")
        return end.value

    def _until(self, end: _End) -> str:
        return self.path.removesuffix(end.rest).removesuffix(".")

    def _error(self, message: str) -> InputError:
        return InputError(f"--fail-if {self.text!r}: {message}")


# -------------------------------------------------------------------------------------------------------------- paths


@dataclass(frozen=True)
class _End:
    """How far a path goes: the value there, and the rest of the path that has no key in it."""

    value: Any
    rest: str


def _end(value: Any, path: str) -> _End:
    """Return the end of that reading of ``path`` that goes furthest, for keys may hold dots."""
    return min(_ends(value, path), key=lambda end: len(end.rest))


def _ends(value: Any, path: str) -> Iterator[_End]:
    """Yield the end of every reading of ``path``, those with the longest keys first."""
    below = _below(value)
    keys = _first_keys(below, path)
    if not keys:
        yield _End(value, path)
    for key in keys:
        yield from _ends(below[key], path[len(key) + 1 :])


def _first_keys(value: Mapping[str, Any], path: str) -> list[str]:
    """Return the keys that ``path`` may begin with, the longest first."""
    keys = [key for key in value if path == key or path.startswith(f"{key}.")]
    return sorted(keys, key=len, reverse=True)


def _below(value: Any) -> Mapping[str, Any]:
    """Return what stands below a value by key; that of a list is the position, from 0."""
    if isinstance(value, list):
        return {str(i): each for i, each in enumerate(value)}
    return value if isinstance(value, Mapping) else {}


def _nearest(rest: str, known: Iterable[str]) -> str:
    return did_you_mean(rest.partition(".")[0], known)
