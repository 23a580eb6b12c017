"""Names → plugins: from a decorator, an installed package's entry points, or a file that a recipe names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from prunekit import protocols
from prunekit.errors import InputError, did_you_mean
from prunekit.protocols import Plugin

ENTRY_POINT_GROUP = "prunekit.plugins"
KINDS: dict[str, type[Plugin]] = {
    base.kind: base
    for base in (
        protocols.Augmentation,
        protocols.Backbone,
        protocols.Criterion,
        protocols.Dataset,
        protocols.LrSchedule,
        protocols.Measure,
        protocols.Objective,
        protocols.Optimizer,
        protocols.Schedule,
    )
}

P = TypeVar("P", bound=type[Plugin])


@dataclass(frozen=True)
class Entry:
    """A registered plugin."""

    name: str
    plugin: type[Plugin]
    origin: str
    """The file it was read from."""
    digest: str | None
    """SHA-256 of that file where a recipe named it, so that editing it redoes what depends on it; else None."""
    package: str | None = None
    """The installed package that offers it, with its version; None for those of prunekit and of a file."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """The name as a regular expression: braces stand for fields, digits for whole-number fields."""
        pieces = re.split(r"\{(\w+)\}", self.name)
        fields = self.plugin.model_fields
        expression = ""
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                expression += re.escape(piece)
            else:
                expression += f"(?P<{piece}>{r'[0-9]+' if fields[piece].annotation is int else r'.+'})"
        return re.compile(expression)

    def options_in(self, name: str) -> dict[str, Any] | None:
        """Return the options that ``name`` carries (``wrn16_2`` → depth 16, width 2), None where it does not fit."""
        match = self.pattern.fullmatch(name)
        if match is None:
            return None
        fields = self.plugin.model_fields
        return {k: int(v) if fields[k].annotation is int else v for k, v in match.groupdict().items()}


class Registry:
    """A set of plugins by kind and name. A child sees its parent's plugins; names never shadow each other."""

    def __init__(self, parent: Registry | None = None) -> None:
        self._parent = parent
        self._entries: dict[tuple[str, str], Entry] = {}
        self._module: str | None = None
        """Name of the module that is being read from a recipe's plugin file."""
        self._points: tuple[EntryPoint, ...] | None = None
        self._loaded: set[EntryPoint] = set()
        self._package: str | None = None
        """The package of somebody else's that is being read."""
        self._failures: dict[str, str] = {}
        self.files: dict[Path, str] = {}
        """SHA-256 of every plugin file that this registry has read."""

    def add(self, plugin: type[Plugin], name: str) -> None:
        """Register ``plugin``; the same file may register a name again, another one may not."""
        if self._parent is not None:
            self._load_entry_points(plugin.kind)  # so that a name of theirs is a collision, too
        origin = getattr(sys.modules.get(plugin.__module__), "__file__", None) or plugin.__module__
        known = self._find(plugin.kind, name)
        again = known is not None and known.origin == origin and known.plugin.__qualname__ == plugin.__qualname__
        ours = plugin.__module__.split(".")[0] == __package__
        if known is not None and not again:
            if not (ours and known.package):
                raise InputError(f"{origin}: the {plugin.kind} {name!r} is registered already, by {known.origin}")
            # a built-in plugin that is read later than a package keeps its name
            self._failures[known.package] = f"the {plugin.kind} {name!r} is registered already, by {origin}"
        digest = self.files.get(Path(origin)) if plugin.__module__ == self._module else None
        self._entries[plugin.kind, name] = Entry(name, plugin, origin, digest, None if ours else self._package)

    def with_files(self, files: Iterable[Path]) -> Registry:
        """Return a child that also knows the plugins that ``files`` (Python) register; one named twice is read once.

        Raises InputError, naming the file, where one cannot be read, run, or registers nothing.
        """
        child = Registry(self)
        for file in dict.fromkeys(Path(file).resolve() for file in files):
            child._run(file)
        return child

    def _run(self, file: Path) -> None:
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{file}: cannot read the plugin file: {error.strerror}") from error
        name = f"_prunekit_plugin_{digest[:16]}_{file.stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise InputError(f"{file}: a plugin file is a Python file (*.py)")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pydantic looks types up there
        before = len(self._entries)
        self.files[file], self._module = digest, name
        token = _ACTIVE.set(self)
        try:
            spec.loader.exec_module(module)
        except InputError as error:
            reason = str(error).removeprefix(f"{file}: ")
            raise InputError(f"{file}{line_in(error, file)}: {reason}") from error
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{file}{line_in(error, file)}: the plugin file fails: {type(error).__name__}: {_reason(error)}"
            ) from error
        finally:
            _ACTIVE.reset(token)
            self._module = None
        if len(self._entries) == before:
            raise InputError(f'{file}: registers no plugin: decorate a class with @prunekit.register("name")')

    def find(self, kind: str, name: str) -> tuple[Entry, dict[str, Any]]:
        """Return the plugin called ``name`` and the options in its name.

        Raises InputError with the nearest name where there is none.
        """
        self._load_entry_points(kind)
        exact = self._find(kind, name)
        if exact is not None and "{" not in name:
            return exact, {}
        for entry in self.entries(kind):
            options = entry.options_in(name) if "{" in entry.name else None
            if options is not None:
                return entry, options
        unknown = f"no {kind} is called {name!r}" + did_you_mean(name, self.names(kind))
        raise InputError("; ".join([unknown, *self.failures]))

    @property
    def failures(self) -> list[str]:
        """What installed packages offer and cannot be used: a line each. It is no error until it is asked for."""
        if self._parent is not None:
            return self._parent.failures
        return [f"the plugins of the package {name} cannot be used: {why}" for name, why in self._failures.items()]

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Yield the registered plugins, of one kind or all, by kind and name."""
        for each in [kind] if kind else KINDS:
            self._load_entry_points(each)
        every = {**(self._parent._all() if self._parent else {}), **self._entries}
        for key in sorted(every):
            if kind is None or key[0] == kind:
                yield every[key]

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind."""
        return [entry.name for entry in self.entries(kind)]

    def entry_of(self, plugin: Plugin) -> Entry:
        """Return the entry that a plugin instance came from."""
        known = self._find(plugin.kind, plugin.name)
        if known is None:
            raise InputError(f"the {plugin.kind} {type(plugin).__name__} is not registered")
        return known

    def _all(self) -> dict[tuple[str, str], Entry]:
        return {**(self._parent._all() if self._parent else {}), **self._entries}

    def _find(self, kind: str, name: str) -> Entry | None:
        return self._all().get((kind, name))

    def _load_entry_points(self, kind: str) -> None:
        if self._parent is not None:
            self._parent._load_entry_points(kind)
            return
        if self._points is None:
            self._points = tuple(entry_points(group=ENTRY_POINT_GROUP))  # reads every installed distribution: once
        for point in self._points:
            if point in self._loaded or (point.name in KINDS and point.name != kind):
                continue
            self._loaded.add(point)
            self._import(point)

    def _import(self, point: EntryPoint) -> None:
        """Load an entry point. What is wrong with somebody else's is kept for who asks for a plugin of theirs."""
        distribution = point.dist
        if distribution is None or distribution.name == __package__:
            _import_all(point.load())
            return
        self._package = package = f"{distribution.name} {distribution.version}"
        try:
            _import_all(point.load())
        except (Exception, SystemExit) as error:  # noqa: BLE001  (one line; everybody else's plugins still work)
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            self._failures[package] = " ".join(reason.split())
        finally:
            self._package = None


def _import_all(module: Any) -> None:
    """Import the modules of a package of plugins."""
    for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
        importlib.import_module(f"{module.__name__}.{found.name}")


def _reason(error: BaseException) -> str:
    """Return the message of an error; of a syntax error without the place, which is said before."""
    return error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())


def line_in(error: BaseException, file: Path) -> str:
    """Return ``:12`` where the error came out of line 12 of ``file``."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


registry = Registry()
"""The plugins of this process: what ``register`` adds to outside a recipe's plugin file."""
_ACTIVE: ContextVar[Registry] = ContextVar("active registry", default=registry)


def register(name: str, *, version: int = 1, source: str = "") -> Callable[[P], P]:
    """Decorate a plugin class: make it known under ``name``.

    ``name`` may hold fields in braces, ``wrn{depth}_{width}``. Raise ``version`` when a default or the computation
    changes, so that stored results are redone. ``source`` is the paper and equation.
    """

    def decorate(plugin: P) -> P:
        if getattr(plugin, "kind", None) not in KINDS:
            expected = ", ".join(base.__name__ for base in KINDS.values())
            raise InputError(f"{plugin.__name__} is no plugin: derive it from one of {expected}")
        if missing := ", ".join(sorted(plugin.__abstractmethods__)):
            raise InputError(f"{plugin.__name__}: the {plugin.kind} {name!r} lacks {missing}")
        plugin.name, plugin.version, plugin.source = name, version, source
        active = _ACTIVE.get()
        # What a plugin file imports is not its own: a built-in plugin read for the first time then stays built in.
        (active if plugin.__module__ == active._module else registry).add(plugin, name)
        return plugin

    return decorate
