"""Every registered optimiser keeps to its contract."""

import pytest
from helpers_contract import contract, hold

from prunekit.registry import registry
from prunekit.testing import Check

NAMES = registry.names("optimizer")


@contract("optimizer", NAMES)
def test_contract(name: str, check: Check) -> None:
    hold(check, registry.find("optimizer", name)[0].plugin())


@pytest.mark.parametrize("name", NAMES)
def test_the_built_in_ones_have_a_rate_to_begin_with(name: str) -> None:
    assert registry.find("optimizer", name)[0].plugin().lr > 0  # type: ignore[attr-defined]
