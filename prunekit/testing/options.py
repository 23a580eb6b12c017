"""What a plugin of any kind keeps to: its options are documented, and survive being written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prunekit.protocols import Plugin
from prunekit.testing.contract import Suite


def suite_of(kind: str) -> Suite:
    """Return the checks of any plugin, as those of one kind."""
    suite = Suite(kind)
    for statement in _STATEMENTS:
        suite.states(statement)
    return suite


def it_says_what_it_and_its_options_mean(plugin: Plugin) -> None:
    """The docstring, and the text below each field, are what ``prunekit plugins show`` prints."""
    assert type(plugin).__doc__, "the class has no docstring: say in a line what it does"
    silent = [name for name, field in type(plugin).model_fields.items() if not field.description]
    assert not silent, f"the option {silent[0]!r} has no description: put a docstring below it"


def its_options_survive_a_round_trip(plugin: Plugin) -> None:
    """A stage is stored under its options, and a worker makes the plugin anew from them."""
    again = type(plugin).model_validate(plugin.model_dump(mode="json", by_alias=True))
    assert again == plugin, f"written down and read again, {plugin!r} becomes {again!r}"


_STATEMENTS: tuple[Callable[[Any], None], ...] = (
    it_says_what_it_and_its_options_mean,
    its_options_survive_a_round_trip,
)
