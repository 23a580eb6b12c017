"""Every registered schedule keeps to its contract."""

from helpers_contract import contract, hold

from prunekit.registry import registry
from prunekit.testing import Check


@contract("schedule", registry.names("schedule"))
def test_contract(name: str, check: Check) -> None:
    plugin = registry.find("schedule", name)[0].plugin
    rounds = {"rounds": 1} if "rounds" in plugin.model_fields else {}
    hold(check, plugin.model_validate({"sparsity": 0.9, **rounds}))
