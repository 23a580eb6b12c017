"""Every registered backbone keeps to its contract."""

from helpers_contract import contract, hold

from prunekit.registry import registry
from prunekit.testing import Check

EXAMPLES = {
    "mlp_{first}_{second}": "mlp_20_10",
    "timm/{architecture}": "timm/resnet10t",
    "wrn{depth}_{width}": "wrn10_1",
}
"""A small instance of each pattern of names."""


@contract("backbone", [EXAMPLES.get(name, name) for name in registry.names("backbone")])
def test_contract(name: str, check: Check) -> None:
    entry, options = registry.find("backbone", name)
    hold(check, entry.plugin.model_validate(options))
