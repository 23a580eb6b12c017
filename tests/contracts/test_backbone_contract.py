"""Every registered backbone keeps to its contract."""

from helpers_contract import contract, hold

from prunekit.registry import registry
from prunekit.testing import Check

EXAMPLES = {
    "import": None,  # what it makes is its author's: see tests/test_audit_checkpoints.py
    "mlp_{first}_{second}": "mlp_20_10",
    "timm/{architecture}": "timm/resnet10t",
    "wrn{depth}_{width}": "wrn10_1",
}
"""A small instance of each pattern of names; None where there is none of its own."""


@contract("backbone", [name for each in registry.names("backbone") if (name := EXAMPLES.get(each, each))])
def test_contract(name: str, check: Check) -> None:
    entry, options = registry.find("backbone", name)
    hold(check, entry.plugin.model_validate(options))
