"""What the tests of contracts share: the checks of a kind times its registered plugins."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from prunekit.protocols import Plugin
from prunekit.testing import Check, DoesNotApply, checks

MAY_NOT_APPLY = {
    "it_works_on_cuda",
    "it_works_on_mps",
    "rounds_are_the_updates_of_a_stage_whether_it_trains_or_not",
}
"""Checks that may have nothing to say of a plugin of ours."""


def contract(kind: str, names: Iterable[str]) -> pytest.MarkDecorator:
    """Parametrise a test by ``name`` and ``check``."""
    cases = [(name, check) for name in names for check in checks(kind)]
    return pytest.mark.parametrize(("name", "check"), cases, ids=str)


def hold(check: Check, plugin: Plugin) -> None:
    """Run a check; one that does not apply is skipped only where that may be."""
    try:
        check(plugin)
    except DoesNotApply as reason:
        if check.name not in MAY_NOT_APPLY:
            pytest.fail(str(reason))
        raise
