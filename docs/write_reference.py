"""Write docs/recipe_reference.md from the fields of recipes and plugins: ``python docs/write_reference.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunekit.blocks import ComparisonRecipe, PopulationRecipe, PublishedRecipe, Recipe
from prunekit.protocols import Options, TargetSelection
from prunekit.registry import KINDS, Entry, registry
from prunekit.schema import Option, options_of, paragraphs_of, recipe_schema, type_in_words
from prunekit.stages import PruneStage, RewindStage, TrainStage

PAGE = Path(__file__).with_name("recipe_reference.md")
START = """\
# Recipe reference

What a recipe may say, and every plugin with its options; the README shows
[how to write a recipe](../README.md#write-a-recipe). `prunekit recipes schema` prints the same for editors,
`prunekit plugins show NAME` one plugin, those of your own files and of installed packages too. This page is written by
`python docs/write_reference.py`.

A *block* is a mapping whose keys have a table of their own here. A plugin is its name, or a mapping with `name` and
options: its type below is its kind, such as [schedule](#schedule). Names in braces carry options: `wrn16_2` is
`wrn{depth}_{width}` with depth 16 and width 2. Times are `30ep` (epochs), `500it` (iterations), `2ep100it` or `5%` (of
the stage). `null` takes a key away that another recipe said.
"""
BLOCKS: tuple[tuple[str, str, type[Options]], ...] = (
    ("The recipe", "", Recipe),
    ("A population", "Each value of `populations`.", PopulationRecipe),
    ("A stage that trains", "A stage with an `objective`.", TrainStage),
    (
        "A stage that prunes",
        "A stage with a `schedule`; the `prune` of a stage that trains is such a block.",
        PruneStage,
    ),
    ("A stage that goes back", "A stage with a `rewind`.", RewindStage),
    ("What is pruned", "The block `targets`.", TargetSelection),
    ("A comparison", "Each of `comparisons`.", ComparisonRecipe),
    ("Published numbers", "The block `published`.", PublishedRecipe),
)
REPEAT = "A stage that repeats", "The block `repeat` of a stage: stages that are gone through again and again."


def page() -> str:
    """Return the whole page."""
    return "\n".join([START, *_blocks(), *_kinds()])


def _blocks() -> Iterator[str]:
    schema = recipe_schema()
    definitions = schema["$defs"]
    for title, what, block in BLOCKS:
        known = options_of(block)
        properties = (schema if block is Recipe else definitions[block.__name__])["properties"]
        names = {option.name for option in known}
        written = [_from_schema(name, value) for name, value in properties.items() if name not in names]
        yield from _section(f"## {title}", what, [*known, *written])
        if block is RewindStage:
            repeat = definitions["RepeatStage"]["properties"]["repeat"]
            rows = [_from_schema(name, value, required=True) for name, value in repeat["properties"].items()]
            yield from _section(f"## {REPEAT[0]}", REPEAT[1], rows)


def _from_schema(name: str, schema: dict[str, Any], *, required: bool = False) -> Option:
    """Return a key that only the schema knows, for it is gone when a recipe is read."""
    meaning = next(each["description"] for each in (schema, *schema.get("anyOf", ())) if "description" in each)
    return Option(name, type_in_words(schema), required, "", meaning)


def _kinds() -> Iterator[str]:
    for kind in sorted(KINDS):
        yield f"## {kind}\n\n{paragraphs_of(KINDS[kind])[0]}\n"
        for entry in registry.entries(kind):
            if entry.plugin.__module__.startswith("prunekit."):  # not what other packages register
                yield from _plugin(entry)


def _plugin(entry: Entry) -> Iterator[str]:
    text = "\n\n".join(paragraphs_of(entry.plugin))
    source = f"\n\nSource: {entry.plugin.source}." if entry.plugin.source else ""
    yield from _section(f"### `{entry.name}` ({entry.plugin.kind})", _markdown(text + source), options_of(entry.plugin))


def _section(title: str, what: str, options: list[Option]) -> Iterator[str]:
    yield f"{title}\n\n{what}\n" if what else f"{title}\n"
    if options:
        rows = "\n".join(_row(option) for option in options)
        yield f"| key | type | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(option: Option) -> str:
    default = "required" if option.required else f"`{option.default}`" if option.default else "none"
    cells = (f"`{option.name}`", option.type, default, _markdown(option.meaning))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _markdown(text: str) -> str:
    """Return a docstring's text as Markdown."""
    return re.sub(r":\w+:(?=`)", "", text.replace("``", "`"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
