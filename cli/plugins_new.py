"""``prunekit plugins new``."""

from __future__ import annotations

import importlib.util
import keyword
import re
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

import click

OPTIONS = {"criterion": "", "schedule": "sparsity=0.9", "measure": "", "objective": ""}
"""The kinds that can be made, and what their test makes one with."""


@click.command("new", no_args_is_help=True)
@click.argument("kind")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=".", metavar="DIR", help="Where to (default: here).")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def new(kind: str, name: str, out: Path, force: bool) -> None:
    """Write a plugin that works, its test, and a recipe that tries it on digits.

    KIND is criterion, schedule, measure or objective. NAME names the plugin and its files.

    \b
    Example:
      prunekit plugins new criterion my_idea
    """
    _refuse(kind, name, out)
    files = {out / file: text for file, text in _texts(kind, name).items()}
    _write(files, out, force)
    plugin, test, recipe = files
    click.echo(f"{plugin}: the {kind}, which works and is to be changed")
    click.echo(f"{test}: the contract of its kind\n{recipe}: a study of it on digits")
    click.echo(f"Next:\n  prunekit plugins check {plugin}\n  python -m pytest {test}\n  prunekit run {recipe}")


def _refuse(kind: str, name: str, out: Path) -> None:
    """Raise InputError unless such a plugin can be made."""
    from prunekit.errors import InputError, did_you_mean
    from prunekit.registry import KINDS, registry

    if kind not in OPTIONS:
        if kind in KINDS:
            raise InputError(f"there is no template for a {kind}: expected one of {', '.join(OPTIONS)}")
        raise InputError(f"there is no kind {kind!r} of plugin" + did_you_mean(kind, OPTIONS))
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or keyword.iskeyword(name):
        raise InputError(f"{name!r} is no name for a Python file: expected letters, digits and _, {_suggested(name)}")
    taken = [entry for entry in registry.entries(kind) if entry.name == name or entry.options_in(name) is not None]
    if taken:
        raise InputError(f"the {kind} {name!r} is registered already, by {taken[0].origin}: choose another name")
    module = importlib.util.find_spec(name)
    if module is not None and module.origin != str((out / f"{name}.py").resolve()):
        raise InputError(f"{name} is a Python module already ({module.origin}): choose another, such as my_{name}")


def _suggested(name: str) -> str:
    suggested = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "idea"
    if not suggested[0].isalpha() or keyword.iskeyword(suggested):
        suggested = f"my_{suggested}"
    return f"such as {suggested}"


def _texts(kind: str, name: str) -> dict[str, str]:
    """Return the text of each file by name: plugin, test and recipe."""
    folder = resources.files("prunekit.cli") / "templates"
    class_ = "".join(piece[:1].upper() + piece[1:] for piece in name.split("_"))
    values = {"name": name, "Class": class_, "kind": kind, "options": OPTIONS[kind]}
    templates = {f"{name}.py": f"{kind}.py.txt", f"test_{name}.py": "test.py.txt", f"{name}.yaml": f"{kind}.yaml.txt"}
    return {
        file: Template((folder / template).read_text(encoding="utf-8")).substitute(values)
        for file, template in templates.items()
    }


def _write(files: dict[Path, str], out: Path, force: bool) -> None:
    """Write all files or none. Raises InputError where one exists, or cannot be written."""
    from prunekit.errors import InputError

    if there := [str(file) for file in files if file.exists() and (not force or file.is_dir())]:
        raise InputError(f"{', '.join(there)}: exists already (--force replaces files)")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as scratch:
            for file, text in files.items():
                (Path(scratch) / file.name).write_text(text, encoding="utf-8")
            for file in files:
                (Path(scratch) / file.name).replace(file)
    except OSError as error:
        raise InputError(f"{out}: cannot write there: {error.strerror}") from error
