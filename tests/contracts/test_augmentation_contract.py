"""Every registered augmentation keeps to its contract."""

from helpers_contract import contract, hold

from prunekit.registry import registry
from prunekit.testing import Check


@contract("augmentation", registry.names("augmentation"))
def test_contract(name: str, check: Check) -> None:
    hold(check, registry.find("augmentation", name)[0].plugin())
