"""The reference of recipes is what the fields say now."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.protocols import Schedule
from prunekit.registry import Registry, registry
from prunekit.schema import type_in_words
from prunekit.times import Progress

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import write_reference

    return write_reference


def test_the_reference_is_fresh(generator) -> None:
    fresh = (DOCS / "recipe_reference.md").read_text(encoding="utf-8") == generator.page()
    assert fresh, "docs/recipe_reference.md is stale: run `python docs/write_reference.py`"


def test_the_reference_names_every_plugin_of_ours_and_none_of_others(generator, monkeypatch) -> None:
    class Theirs(Schedule):
        """Of another package."""

        def target(self, now: Progress) -> float | None:
            return None

    crowded = Registry(registry)
    crowded.add(Theirs, "theirs")
    monkeypatch.setattr(generator, "registry", crowded)
    page = generator.page()
    assert "`theirs`" not in page
    for entry in registry.entries():
        assert entry.plugin.__module__.startswith("prunekit.") == (f"### `{entry.name}` ({entry.plugin.kind})" in page)


def test_the_reference_says_what_only_the_schema_knows(generator) -> None:
    page = generator.page()
    for key in ("extends", "profiles", "for", "rounds", "rewind", "paired", "checkpoints", "predictions"):
        assert f"\n| `{key}` |" in page
    assert "| `rounds` | integer | required |" in page
    assert "| `import` | string | required |" in page
    assert "| `from` | string \\| null | `null` |" in page


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of (a | b)"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "mapping of integer"),
        ({"type": "object", "additionalProperties": {"type": "object"}}, "mapping"),
        ({"anyOf": [{"$ref": "#/$defs/Prune"}, {"type": "null"}]}, "block | null"),
        ({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\{\w+\}$"}]}, "integer"),
        ({}, "any"),
    ],
)
def test_types_are_said_in_words(schema: dict[str, object], words: str) -> None:
    assert type_in_words(schema) == words
