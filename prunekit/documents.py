"""YAML documents in which every value knows the file and line that it came from; merging them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from prunekit.errors import InputError, short

KeyPath = tuple[str | int, ...]
_MAXIMUM_NODES = 100_000  # aliases of aliases grow without bound


@dataclass(frozen=True)
class Node:
    """A mapping, a list or a scalar, with where it stands."""

    value: dict[str, Node] | list[Node] | str | int | float | bool | None
    origin: str
    """The file, or the command-line option."""
    line: int | None = None

    @property
    def mark(self) -> str:
        """``file:line``."""
        return self.origin if self.line is None else f"{self.origin}:{self.line}"

    def plain(self) -> Any:
        """Return the value without marks."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def nearest(self, path: KeyPath) -> Node:
        """Return the node at ``path``, or the deepest one on the way to it."""
        node = self
        for key in path:
            if isinstance(node.value, dict) and key in node.value:
                node = node.value[str(key)]
            elif isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
            else:
                break
        return node

    def error(self, path: KeyPath, message: str) -> InputError:
        """Return an error about ``path``: file, line, the key's path and what is wrong."""
        where = ".".join(str(key) for key in path)
        return InputError(f"{self.nearest(path).mark}: {where + ': ' if where else ''}{message}")

    def with_values(self, value: dict[str, Node] | list[Node]) -> Node:
        """Return a node at the same place that holds something else."""
        return replace(self, value=value)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: ``no`` is text, ``1e-3`` a number, dates and 1:30 are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_TAG = "tag:yaml.org,2002:"
for _kind, _expression, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN", [*"-+."]),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_expression})$"), _first)


def read(path: Path) -> Node:
    """Read a YAML mapping. Raises InputError where the file cannot be read or is no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file (expected YAML in UTF-8)") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    node = parse(text, str(path))
    if not isinstance(node.value, dict):
        what = "is empty" if node.value is None else f"holds {_kind_of(node)}"
        raise InputError(f"{path}: {what} (expected a recipe: a mapping of keys to values)")
    return node


def parse(text: str, origin: str) -> Node:
    """Parse YAML text. Raises InputError with file and line on tags, duplicate keys and anything that is not YAML."""
    try:
        composed = yaml.compose(text, Loader=_Loader)
        return Node(None, origin) if composed is None else _Builder(origin).build(composed, ())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        context = f" {error.context}" if error.context else ""
        raise InputError(f"{origin}{line}: not valid YAML: {error.problem}{context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{origin}: not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InputError(f"{origin}: is nested too deeply for a recipe") from None


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.count = 0
        self.open: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: KeyPath, line: int | None = None) -> Node:
        line = node.start_mark.line + 1 if line is None else line
        self.count += 1
        if self.count > _MAXIMUM_NODES or node in self.open:
            raise self.error(line, path, "the aliases grow without end")
        self.open.append(node)
        built = Node(self._value(node, path), self.origin, line)
        self.open.pop()
        return built

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        if node.tag not in {_TAG + kind for kind in ("null", "bool", "int", "float", "str", "map", "seq")}:
            raise self.error(line, path, f"YAML tags such as {node.tag.replace(_TAG, '!!')} are not allowed")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(each, (*path, i)) for i, each in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(line, path, "a key must be text")
            if key.value in mapping:
                raise self.error(
                    line, (*path, key.value), f"the key stands twice (first in line {mapping[key.value].line})"
                )
            mapping[key.value] = self.build(value, (*path, key.value), line)
        return mapping

    def error(self, line: int, path: KeyPath, message: str) -> InputError:
        where = ".".join(str(key) for key in path)
        return InputError(f"{self.origin}:{line}: {where + ': ' if where else ''}{message}")


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return bool(text.lower() == "true")
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return str(text)


def _kind_of(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else short(node.value)


def merge(base: Node, over: Node, *, root: bool = True) -> Node:
    """Return ``base`` with what ``over`` says: mappings merge key by key, anything else replaces.

    A null takes a key away: it stays until :func:`without_nulls`, for what is merged may be merged again. A mapping
    that changes a plugin's ``name``, or what it ``import``s, replaces its block; a mapping without either adds options
    to a plugin that ``base`` names by text alone. The name of the recipe itself (``root``) is no plugin's.
    """
    if not isinstance(over.value, dict):
        return over
    below = base.value
    named = _name(over.value)
    if isinstance(below, str) and named is None:
        below = {"name": base}
    if not isinstance(below, dict):
        return over
    if not root and named is not None and _name(below) != named:
        return over
    merged = dict(below)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node, root=False) if key in merged else node
    return over.with_values(merged)


def _name(block: dict[str, Node]) -> Any:
    return next((block[key].value for key in ("name", "import") if key in block), None)


def without_nulls(node: Node) -> Node:
    """Return ``node`` without the keys that are null, however deep."""
    if isinstance(node.value, list):
        return node.with_values([without_nulls(each) for each in node.value])
    if not isinstance(node.value, dict):
        return node
    kept = {key: each for key, each in node.value.items() if each.value is not None}
    return node.with_values({key: without_nulls(each) for key, each in kept.items()})


def assignment(text: str) -> Node:
    """Return ``a.b=value`` (``--set``) as a document to merge; the value is YAML. Raises InputError."""
    origin = f"--set {text}"
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise InputError(
            f"{origin}: expected a path and a value, such as --set populations.dense.stages.encoder.epochs=5"
        )
    node = _without_lines(parse(value, origin))
    for key in reversed(keys):
        node = Node({key: node}, origin)
    return node


def _without_lines(node: Node) -> Node:
    if isinstance(node.value, dict):
        return Node({key: _without_lines(each) for key, each in node.value.items()}, node.origin)
    if isinstance(node.value, list):
        return Node([_without_lines(each) for each in node.value], node.origin)
    return replace(node, line=None)


def substitute(node: Node, values: dict[str, Node]) -> Node:
    """Return ``node`` with every ``{key}`` in its text replaced; text that is nothing else takes the value's type."""
    if isinstance(node.value, dict):
        return node.with_values({key: substitute(each, values) for key, each in node.value.items()})
    if isinstance(node.value, list):
        return node.with_values([substitute(each, values) for each in node.value])
    if not isinstance(node.value, str):
        return node
    for key, value in values.items():
        if node.value == f"{{{key}}}":
            return replace(node, value=value.value)
    text = node.value
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value.value))
    return replace(node, value=text)
