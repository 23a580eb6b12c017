"""The names of ``prunekit`` itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

import prunekit


def _told_to_checkers() -> dict[str, str]:
    """Return the module of every name that type checkers are told of."""
    body = ast.parse(Path(prunekit.__file__).read_text(encoding="utf-8")).body
    block = next(node for node in body if isinstance(node, ast.If))
    return {
        alias.name: node.module or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def _documented(module: str) -> set[str]:
    """Return the classes, functions and values of a module that have a docstring."""
    body = ast.parse(Path(import_module(module).__file__ or "").read_text(encoding="utf-8")).body
    found = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)}
    for node, after in pairwise(body):
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


MODULES = _told_to_checkers()


def test_type_checkers_are_told_of_every_public_name_and_of_no_other() -> None:
    assert MODULES.keys() == set(prunekit.__all__) == set(prunekit.__all__) & set(dir(prunekit))


@pytest.mark.parametrize("name", prunekit.__all__)
def test_every_public_name_is_that_of_its_module_and_has_a_docstring(name: str) -> None:
    found = getattr(prunekit, name)
    if name == "testing":
        assert found is import_module("prunekit.testing")
        assert found.__doc__
    else:
        assert found is getattr(import_module(MODULES[name]), name)
        assert name in _documented(MODULES[name])


def test_the_checks_are_there_without_an_import_of_their_own_and_cost_nothing_until_then() -> None:
    code = (
        "import sys, prunekit\nprint('prunekit.testing' in sys.modules)\n"
        "print(len(prunekit.testing.checks('schedule')) > 0, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue False\n"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'prunekit' has no attribute 'Prunner'"):
        _ = prunekit.Prunner
