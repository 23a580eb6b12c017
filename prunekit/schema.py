"""The options of plugins and recipes for people (``plugins show``, ``docs/recipe_reference.md``) and for editors."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from prunekit.blocks import Recipe
from prunekit.protocols import Options
from prunekit.registry import KINDS, Registry, registry
from prunekit.stages import PLUGIN_MARK, OfKind, as_recipe


@dataclass(frozen=True)
class Option:
    """A field of a plugin or of a block of a recipe, for people."""

    name: str
    type: str
    required: bool
    default: str
    meaning: str


def options_of(block: type[Options]) -> list[Option]:
    """Return the options of a plugin, or the keys of a block of a recipe, in the order of its class."""
    return [
        Option(
            name=field.alias or name,
            type=_type_of(field),
            required=field.is_required(),
            default="" if field.is_required() else _shown(field.get_default(call_default_factory=True)),
            meaning=" ".join((field.description or "").split()),
        )
        for name, field in block.model_fields.items()
    ]


def paragraphs_of(block: type[Options]) -> list[str]:
    """Return the paragraphs of a docstring, each on one line but for examples; [""] where there is none."""
    paragraphs = inspect.cleandoc(block.__doc__ or "").split("\n\n")
    return [
        each if each.startswith(" ") else " ".join(each.split())
        for each in paragraphs
        if each != "::"  # an example follows, indented
    ]


def _type_of(field: FieldInfo) -> str:
    """Return a field's type and limits in words."""
    kind = next((mark.kind for mark in field.metadata if isinstance(mark, OfKind)), None)
    if kind is not None:
        return kind
    limits = [
        f"{sign} {value:g}"
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt"))
        for limit in field.metadata
        if (value := getattr(limit, name, None)) is not None
    ]
    adapter: TypeAdapter[Any] = TypeAdapter(field.annotation or Any)
    text, null, _ = type_in_words(adapter.json_schema()).partition(" | null")
    return " ".join([text, *limits]) + null


def type_in_words(schema: dict[str, Any]) -> str:
    """Return what a JSON Schema allows, without its limits."""
    if PLUGIN_MARK in schema:
        return str(schema[PLUGIN_MARK])
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        parts = (each for each in schema["anyOf"] if each.get("pattern") != _TEMPLATE)
        return " | ".join(dict.fromkeys(type_in_words(each) for each in parts))
    if "$ref" in schema or "properties" in schema:
        return "block"
    if "pattern" in schema:
        return "time (30ep, 500it, 2ep100it, 5%)"
    kind = str(schema.get("type", "any"))
    words = {"array": "list", "object": "mapping"}.get(kind, kind)
    inner = {"array": schema.get("items"), "object": schema.get("additionalProperties")}.get(kind)
    if not isinstance(inner, dict) or inner.get("type") == "object":
        return words
    what = type_in_words(inner)
    return f"{words} of ({what})" if " | " in what else f"{words} of {what}"


def _shown(value: Any) -> str:
    plain = as_recipe(value) if isinstance(value, Options) else value
    return (
        str(plain) if isinstance(plain, str) or not isinstance(plain, dict | list | bool | None) else json.dumps(plain)
    )


def recipe_schema(known: Registry = registry) -> dict[str, Any]:
    """Return one JSON Schema (draft 2020-12) of a recipe, with every registered plugin's options."""
    definitions: dict[str, Any] = {}
    for kind in KINDS:
        definitions[kind] = {"anyOf": _plugins(known, kind, definitions)}
    schema = Recipe.model_json_schema()
    definitions |= schema.pop("$defs", {})
    properties = schema["properties"]
    properties["extends"] = {"type": "string", "description": "A recipe, by path or name, that this one changes."}
    changes = {"type": "object", "additionalProperties": {"type": "object"}}
    properties["profiles"] = {**changes, "description": "Changes to the recipe by name, for --profile."}
    definitions["ComparisonRecipe"]["properties"]["for"] = _REPEAT
    population = definitions["PopulationRecipe"]["properties"]
    population["for"] = {"anyOf": [_REPEAT, {"type": "null"}]}
    population["extends"] = {
        "type": "string",
        "description": "A population that this one is like, but for what is said here; null takes a key away.",
    }
    stages = population["stages"]
    properties = {"rounds": _ROUNDS, "stages": dict(stages)}
    repeat = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    definitions["RepeatStage"] = {
        "type": "object",
        "description": "Stages that are gone through several times, as lottery tickets are found.",
        "properties": {"repeat": repeat},
        "additionalProperties": False,
    }
    stages["additionalProperties"] = {
        "anyOf": [stages["additionalProperties"], {"$ref": "#/$defs/RepeatStage"}, {"type": "null"}]
    }
    for partial in (schema, *(definitions[name] for name in ("PopulationRecipe", "TrainStage", "PruneStage", "Prune"))):
        partial.pop("required", None)  # what extends another need not repeat its keys
    schema["title"] = "prunekit recipe"
    definitions = {name: _templated(each) for name, each in definitions.items()}
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}
    resolved = _resolved(whole)
    assert isinstance(resolved, dict)
    return resolved


def _templated(schema: Any) -> Any:
    """Return ``schema`` where ``{key}``, which ``for`` replaces, may also stand for any number."""
    if isinstance(schema, list):
        return [_templated(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("number", "integer"):
        about = {key: schema[key] for key in ("title", "description", "default") if key in schema}
        number = {key: each for key, each in schema.items() if key not in about}
        return {**about, "anyOf": [number, {"type": "string", "pattern": _TEMPLATE}]}
    return {key: _templated(value) for key, value in schema.items()}


def _resolved(schema: Any) -> Any:
    """Return ``schema`` with references where a field holds a plugin."""
    if isinstance(schema, list):
        return [_resolved(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: _resolved(value) for key, value in schema.items() if key != PLUGIN_MARK}
    return {**rest, "$ref": f"#/$defs/{schema[PLUGIN_MARK]}"} if PLUGIN_MARK in schema else rest


_TEMPLATE = r"^\{\w+\}$"
"""What ``for`` replaces."""
_ROUNDS = {"type": "integer", "minimum": 1, "description": "How often; {round} in the stages is replaced."}
_REPEAT = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, {"type": "null"}]},
    "description": "Repeats the block for every value; {key} in names and texts is replaced.",
}


def _plugins(known: Registry, kind: str, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    choices: list[dict[str, Any]] = []
    for entry in known.entries(kind):
        schema = entry.plugin.model_json_schema()
        definitions |= schema.pop("$defs", {})
        named = re.findall(r"\{(\w+)\}", entry.name)
        name = (
            {"pattern": f"^{re.sub(r'[?]P<[a-z_]+>', '?:', entry.pattern.pattern)}$"}
            if named
            else {"const": entry.name}
        )
        options = {key: value for key, value in schema.get("properties", {}).items() if key not in named}
        required = ["name", *(key for key in schema.get("required", []) if key not in named)]
        description = " ".join((entry.plugin.__doc__ or "").split())
        if required == ["name"]:
            choices.append({"type": "string", **name, "description": description})
        block: dict[str, Any] = {
            "type": "object",
            "description": description,
            "properties": {"name": {"type": "string", **name}, **options},
            "required": required,
            "additionalProperties": False,
        }
        if entry.name in options:  # its own key stands for its name, as in {import: …}, and others are arguments
            block |= {"required": required[1:], "additionalProperties": True}
        choices.append(block)
    replaced = {"type": "string", "pattern": r"\{\w+\}", "description": "A name with {key}, which `for` replaces."}
    choices += [replaced, {"type": "object", "properties": {"name": replaced}, "required": ["name"]}]
    return choices
