"""How far work that no stage does has come: decoding, downloading. Told to whoever listens, or to nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[str, int, int | None], None]
"""(what is done, units done, units in all or None where nobody knows)."""

_listener: ContextVar[Tell | None] = ContextVar("progress listener", default=None)


def tell_progress(what: str, done: int, total: int | None = None) -> None:
    """Say that ``done`` of ``total`` units of ``what`` (``decoding images``) are done. Cheap, and safe anywhere."""
    tell = _listener.get()
    if tell is not None:
        tell(what, done, total)


@contextmanager
def listening(tell: Tell) -> Iterator[None]:
    """Send what :func:`tell_progress` says in this context to ``tell``."""
    token = _listener.set(tell)
    try:
        yield
    finally:
        _listener.reset(token)
