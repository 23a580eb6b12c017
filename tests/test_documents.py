"""YAML with the line of every key, and how documents merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.documents import assignment, merge, parse, read, substitute, without_nulls
from prunekit.errors import InputError


def merged(base: str, over: str) -> object:
    return without_nulls(merge(parse(base, "base.yaml"), parse(over, "over.yaml"))).plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5.0e-4", 0.0005),
        ("-2", -2),
        ("0.9", 0.9),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("30ep", "30ep"),
        ("'5'", "5"),
        (".inf", float("inf")),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    result = parse(f"key: {text}", "a.yaml").plain()["key"]
    assert result == value
    assert type(result) is type(value)


def test_every_value_knows_the_line_of_its_key() -> None:
    node = parse("a: 1\nb:\n  c:\n  - 2\n  - d: 3\n", "a.yaml")
    assert node.nearest(("b", "c")).mark == "a.yaml:3"
    assert node.nearest(("b", "c", 1, "d")).mark == "a.yaml:5"
    assert node.nearest(("b", "missing", "deeper")).mark == "a.yaml:2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: a: the key stands twice (first in line 1)"),
        ("x: {b: 1, b: 2}", "a.yaml:1: x.b: the key stands twice"),
        (
            "a: !!python/object/apply:os.system ['true']",
            "a.yaml:1: a: YAML tags such as !!python/object/apply:os.system",
        ),
        ("a: !mine 3", "YAML tags such as !mine"),
        ("a: [1, 2", "a.yaml:1: not valid YAML"),
        ("a: &x [*x]", "aliases"),
        ("? [1, 2]\n: 3", "a key must be text"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: " + "[" * 5000, "nested too deeply"),
    ],
)
def test_bad_yaml_is_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, "a.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"- a\n- b\n", "holds a list"),
        (b"\xff\xfe\x00binary", "is not a text file"),
        (b"\x00\x01\x02", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)


def test_anchors_repeat_a_block_and_aliases_without_end_are_refused() -> None:
    assert parse("a: &x {b: 1}\nc: *x\n", "a.yaml").plain() == {"a": {"b": 1}, "c": {"b": 1}}
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
    )
    with pytest.raises(InputError, match="aliases"):
        parse(bomb, "a.yaml")


def test_mappings_merge_and_everything_else_replaces() -> None:
    assert merged("{a: 1, b: {c: 2, d: [1, 2]}}", "{b: {d: [3]}, e: 4}") == {"a": 1, "b": {"c": 2, "d": [3]}, "e": 4}


def test_null_removes_a_key() -> None:
    assert merged("{a: 1, b: {c: 2, d: 3}}", "{b: {c: null}}") == {"a": 1, "b": {"d": 3}}


def test_changing_a_plugins_name_replaces_its_block() -> None:
    base = "optimizer: {name: sgd, momentum: 0.9, lr: 0.1}"
    assert merged(base, "optimizer: {name: adamw, lr: 0.01}") == {"optimizer": {"name": "adamw", "lr": 0.01}}
    assert merged(base, "optimizer: {name: sgd, lr: 1.0}")["optimizer"] == {"name": "sgd", "momentum": 0.9, "lr": 1.0}  # type: ignore[index]
    assert merged(base, "optimizer: {lr: 1.0}")["optimizer"] == {"name": "sgd", "momentum": 0.9, "lr": 1.0}  # type: ignore[index]
    assert merged(base, "optimizer: adamw") == {"optimizer": "adamw"}


def test_options_can_be_added_to_a_plugin_named_by_text_alone() -> None:
    assert merged("data: digits", "data: {validation: 0}") == {"data": {"name": "digits", "validation": 0}}


def test_the_name_of_the_recipe_is_no_plugins_name() -> None:
    assert merged("{name: a, seeds: 3}", "{name: b}") == {"name": "b", "seeds": 3}


def test_marks_survive_a_merge() -> None:
    node = merge(parse("a:\n  b: 1\n", "base.yaml"), parse("\na:\n  c: 2\n", "over.yaml"))
    assert node.nearest(("a", "b")).mark == "base.yaml:2"
    assert node.nearest(("a", "c")).mark == "over.yaml:3"


def test_an_assignment_is_a_path_and_a_yaml_value() -> None:
    assert assignment("a.b={name: imagefolder, root: pets}").plain() == {
        "a": {"b": {"name": "imagefolder", "root": "pets"}}
    }
    assert assignment("seeds=3").plain() == {"seeds": 3}
    for wrong in ("seeds", "=3", "a..b=1"):
        with pytest.raises(InputError, match="expected a path and a value"):
            assignment(wrong)


def test_substitution_keeps_the_type_of_a_value_that_stands_alone() -> None:
    value = parse("x: 0.9", "a.yaml").value["x"]  # type: ignore[call-overload, index]
    node = substitute(parse("{a: '{s}', b: 'at {s}', c: [1, '{s}'], d: '{t}'}", "a.yaml"), {"s": value})
    assert node.plain() == {"a": 0.9, "b": "at 0.9", "c": [1, 0.9], "d": "{t}"}
