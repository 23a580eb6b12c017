"""The options of plugins and recipes for people (``plugins show``) and for editors (JSON Schema)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from prunekit.blocks import Recipe
from prunekit.protocols import Plugin
from prunekit.registry import KINDS, Registry, registry
from prunekit.stages import PLUGIN_MARK, as_recipe


@dataclass(frozen=True)
class Option:
    """A field of a plugin, for people."""

    name: str
    type: str
    required: bool
    default: str
    meaning: str


def options_of(plugin: type[Plugin]) -> list[Option]:
    """Return the options of a plugin in the order of its class."""
    return [
        Option(
            name=name,
            type=_type_of(field),
            required=field.is_required(),
            default="" if field.is_required() else _shown(field.get_default(call_default_factory=True)),
            meaning=" ".join((field.description or "").split()),
        )
        for name, field in plugin.model_fields.items()
    ]


def _type_of(field: FieldInfo) -> str:
    """Return a field's type and limits in words."""
    adapter: TypeAdapter[Any] = TypeAdapter(field.annotation or Any)
    schema = adapter.json_schema()
    if "enum" in schema:
        text = " | ".join(map(str, schema["enum"]))
    elif "anyOf" in schema:
        text = " | ".join(str(each.get("type", "…")) for each in schema["anyOf"])
    elif "pattern" in schema:
        text = "time (30ep, 500it, 2ep100it, 5%)"
    else:
        text = {"array": "list", "object": "mapping"}.get(schema.get("type", ""), str(schema.get("type", "any")))
    limits = [
        f"{sign} {value:g}"
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt"))
        for limit in field.metadata
        if (value := getattr(limit, name, None)) is not None
    ]
    return " ".join([text, *limits])


def _shown(value: Any) -> str:
    plain = as_recipe(value) if hasattr(value, "model_fields") else value
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
        return {**about, "anyOf": [number, {"type": "string", "pattern": r"^\{\w+\}$"}]}
    return {key: _templated(value) for key, value in schema.items()}


def _resolved(schema: Any) -> Any:
    """Return ``schema`` with references where a field holds a plugin."""
    if isinstance(schema, list):
        return [_resolved(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: _resolved(value) for key, value in schema.items() if key != PLUGIN_MARK}
    return {**rest, "$ref": f"#/$defs/{schema[PLUGIN_MARK]}"} if PLUGIN_MARK in schema else rest


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
