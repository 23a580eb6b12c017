"""Every registered learning-rate schedule keeps to its contract."""

from helpers_contract import contract, hold

from prunekit.registry import registry
from prunekit.testing import Check

NEEDED = {"multi_step": {"milestones": ["30%", "2ep"]}}
"""Options that have no default."""


@contract("lr_schedule", registry.names("lr_schedule"))
def test_contract(name: str, check: Check) -> None:
    hold(check, registry.find("lr_schedule", name)[0].plugin.model_validate(NEEDED.get(name, {})))
