"""A recipe: YAML in, a validated Recipe out, or one line that says what is wrong and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from prunekit.blocks import Recipe, Source, folder_of, shipped_folder
from prunekit.checks import check
from prunekit.documents import KeyPath, Node, assignment, merge, read
from prunekit.errors import InputError, describe_problem, did_you_mean
from prunekit.expansion import inherited, repeated
from prunekit.portion import checked
from prunekit.registry import Registry, registry

_AUTHORS_OWN = ("populations", "stages")
"""Mappings whose keys are names that the author chose."""


def shipped() -> dict[str, Path]:
    """Return the recipes that ship with prunekit, by name (that of their file)."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


def locate(recipe: str | Path) -> Path:
    """Return the file of a recipe, given as a path or as the name of one that ships with prunekit."""
    path = Path(recipe)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a recipe")
    known = shipped()
    # `recipes/NAME.yaml` is also what an installed prunekit is asked for, wherever it is run.
    if str(path) in known or (path.as_posix() == f"recipes/{path.stem}.yaml" and path.stem in known):
        return known[path.stem]
    raise InputError(
        f"{recipe}: no such file, and no recipe of that name ships with prunekit{did_you_mean(path.stem, known)}"
    )


def load(
    recipe: str | Path,
    *,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    seeds: int | range | None = None,
) -> Source:
    """Read, merge and validate a recipe. Raises InputError: file, line, key, what was expected, nearest name.

    ``seeds`` is how many members there are, or which of them are asked for: the recipe then has as many as it says, or
    more where the part reaches beyond.
    """
    node = _extended(locate(recipe), ())
    node = _with_profile(node, profile)
    for text in assignments:
        node = _assigned(node, text)
    if seeds is not None and not isinstance(seeds, range):
        node = _with_seeds(node, seeds)
    source = validate(node)
    if seeds is not None and not any(map(source.recipe.is_made_here, source.recipe.populations)):
        raise InputError("--seeds: the members of this recipe are the files that its populations are given as")
    if isinstance(seeds, range) and checked(seeds).stop > (source.recipe.seeds or 0):
        source = validate(_with_seeds(node, seeds.stop))
    return replace(source, seeds=seeds)


def _with_seeds(node: Node, count: int) -> Node:
    return merge(node, Node({"seeds": Node(count, "--seeds")}, node.origin, node.line))


def _extended(path: Path, below: tuple[Path, ...]) -> Node:
    node = read(path)
    assert isinstance(node.value, dict)
    parent = node.value.get("extends")
    if parent is None:
        return node
    if not isinstance(parent.value, str):
        raise node.error(("extends",), "expected the path or the name of a recipe")
    beside = path.parent / parent.value
    try:
        base = locate(beside if beside.is_file() else parent.value).resolve()
    except InputError as error:
        raise node.error(("extends",), str(error)) from None
    if base in (*below, path.resolve()):
        raise node.error(("extends",), f"{parent.value} extends this recipe in turn")
    rest = node.with_values({key: each for key, each in node.value.items() if key != "extends"})
    return merge(_extended(base, (*below, path.resolve())), rest)


def _with_profile(node: Node, profile: str | None) -> Node:
    assert isinstance(node.value, dict)
    profiles = node.value.get("profiles")
    rest = node.with_values({key: each for key, each in node.value.items() if key != "profiles"})
    known = profiles.value if profiles is not None else {}
    if not isinstance(known, dict):
        raise node.error(("profiles",), "expected a mapping of names to changes")
    for name, changes in known.items():
        if not isinstance(changes.value, dict):
            raise node.error(("profiles", name), "expected a mapping of changes to the recipe")
    if profile is None:
        return rest
    if profile not in known:
        raise InputError(
            f"{node.origin}: there is no profile {profile!r}{did_you_mean(profile, known) or ' (it has none)'}"
        )
    return merge(rest, known[profile])


def _assigned(node: Node, text: str) -> Node:
    """Merge one ``--set``. It makes no population and no stage, so that a typo is none; other keys may be new."""
    over = assignment(text)
    keys = text.partition("=")[0].strip().split(".")
    here = inherited(node)
    for depth, key in enumerate(keys[:-1]):
        if isinstance(here.value, str):  # a plugin named by text alone takes options
            break
        if isinstance(here.value, dict) and key not in here.value and keys[max(0, depth - 1)] not in _AUTHORS_OWN:
            break  # validation knows which keys there are
        if not isinstance(here.value, dict) or key not in here.value:
            known = here.value if isinstance(here.value, dict) else ()
            where = ".".join(keys[: depth + 1])
            raise InputError(f"--set {text}: the recipe has no {where}{did_you_mean(key, known)}")
        here = here.value[key]
    return merge(node, over)


def validate(node: Node) -> Source:
    """Validate a merged recipe: plugin files, ``for``, every key and value, and what must fit together."""
    names = _registry_for(node)
    node, repetitions = repeated(inherited(node), names)
    try:
        recipe = Recipe.model_validate(node.plain(), context={"registry": names})
    except ValidationError as error:
        raise _located(node, error) from None
    source = Source(recipe, node, names, repetitions)
    check(source)
    return source


def _registry_for(node: Node) -> Registry:
    """Return the registry that also knows the recipe's plugin files."""
    listed = node.nearest(("plugins",))
    if not isinstance(node.value, dict) or "plugins" not in node.value:
        return registry
    if not isinstance(listed.value, list) or not all(isinstance(each.value, str) for each in listed.value):
        raise node.error(("plugins",), "expected a list of Python files")
    files = []
    for i, each in enumerate(listed.value):
        file = folder_of(each) / str(each.value)  # beside the recipe that names it, not the one that extends it
        if not file.is_file():
            raise node.error(("plugins", i), f"there is no file {file}")
        files.append(file)
    try:
        return registry.with_files(files)
    except InputError as error:
        raise node.error(("plugins",), str(error)) from None


def _located(node: Node, error: ValidationError) -> InputError:
    """Return the first error in one line, placed in its file."""
    problems = error.errors(include_url=False)
    first = problems[0]
    path: KeyPath = tuple(key for key in first["loc"] if key != "[key]")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return node.error(path, describe_problem(first) + more)
