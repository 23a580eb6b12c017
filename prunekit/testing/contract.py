"""What a check is, and how the checks of a kind are found and run."""

from __future__ import annotations

import inspect
import sys
import unittest
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from prunekit.errors import InputError, did_you_mean
from prunekit.protocols import Plugin
from prunekit.registry import KINDS, line_in


class DoesNotApply(unittest.SkipTest):
    """A check has nothing to say of a plugin here. The message says why."""


@dataclass(frozen=True)
class Check:
    """A statement that holds of every plugin of a kind."""

    kind: str
    function: Callable[[Any], None]

    @property
    def name(self) -> str:
        """The statement as an identifier: ``the_model_is_as_it_was``."""
        return self.function.__name__

    def __str__(self) -> str:
        return self.name

    def __call__(self, plugin: Plugin) -> None:
        """Raise AssertionError, saying what was expected and found, where ``plugin`` does not keep to it.

        Raises DoesNotApply where there is nothing to check here, InputError unless ``plugin`` is a registered plugin of
        the kind; what the plugin itself raises goes through.
        """
        _require(self.kind, plugin)
        with _one_thread(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "nothing is left of")  # small networks are emptied on purpose
            self.function(plugin)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread where it is there: networks this small only wait for more of them."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


@dataclass
class Suite:
    """The checks of one kind."""

    kind: str
    checks: list[Check] = field(default_factory=list)

    def states(self, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """Decorate a function of a plugin that raises AssertionError where what its name says does not hold."""
        self.checks.append(Check(self.kind, function))
        return function


@dataclass(frozen=True)
class Held:
    """What a check said of a plugin."""

    name: str
    """The check, as in ``the_model_is_as_it_was``."""
    held: bool | None
    """Whether it holds; None where it does not apply here."""
    detail: str
    """Why not, in one line; "" where it holds."""


def checks(kind: str) -> list[Check]:
    """Return the checks of a kind of plugin, for ``pytest.mark.parametrize(…, ids=str)``.

    Raises InputError, with the nearest name, where there is no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"there is no kind {kind!r} of plugin" + did_you_mean(kind, KINDS))
    suite: Suite = import_module(f"prunekit.testing.{kind}").suite
    options: Suite = import_module("prunekit.testing.options").suite_of(kind)
    return [*options.checks, *suite.checks]


def check(plugin: Plugin) -> list[Held]:
    """Run all checks of the plugin's kind on it. Raises InputError unless it is a registered plugin."""
    return list(each_check(plugin))


def each_check(plugin: Plugin) -> Iterator[Held]:
    """Yield what each check says, as soon as it is known."""
    kind = getattr(plugin, "kind", "plugin")
    _require(kind, plugin)
    for one in checks(kind):
        yield _held(one, plugin)


def _require(kind: str, plugin: object) -> None:
    """Raise InputError unless ``plugin`` is a registered plugin of ``kind``, with its options."""
    if isinstance(plugin, type):
        raise InputError(f"{plugin.__name__} is a class: pass a plugin with its options, {plugin.__name__}(…)")
    if not isinstance(plugin, KINDS.get(kind, ())):
        raise InputError(f"{plugin!r} is no {kind}")
    if not hasattr(plugin, "version"):  # register gives it one
        name = type(plugin).__name__
        raise InputError(f'{name} has no name: decorate it with @prunekit.register("{name.lower()}")')


def _held(one: Check, plugin: Plugin) -> Held:
    try:
        one(plugin)
    except DoesNotApply as reason:
        return Held(one.name, None, _line(str(reason)))
    except AssertionError as error:
        return Held(one.name, False, _line(str(error)) or f"an assertion fails{_where(error, plugin)}")
    except InputError as error:
        return Held(one.name, False, _line(str(error)))
    except Exception as error:  # noqa: BLE001  (a plugin may raise anything, and the other checks go on)
        return Held(one.name, False, _line(f"{type(error).__name__}: {error}") + _where(error, plugin))
    return Held(one.name, True, "")


def _line(text: str) -> str:
    return " ".join(text.split())


def _where(error: BaseException, plugin: Plugin) -> str:
    """Return `` (my_idea.py:12)`` where the error came out of the plugin's own file."""
    file = Path(inspect.getfile(type(plugin)))
    line = line_in(error, file)
    return f" ({file.name}{line})" if line else ""
