"""What every plugin of a kind keeps to, as checks that anybody can run on a plugin of their own.

With pytest, in three lines::

    @pytest.mark.parametrize("check", prunekit.testing.checks("criterion"), ids=str)
    def test_contract(check):
        check(MyIdea())

Without it, ``prunekit.testing.check(MyIdea())`` says of every check whether it holds, and why not. Importing this
imports neither torch nor pytest.
"""

from prunekit.testing.contract import Check, DoesNotApply, Held, check, checks

__all__ = ["Check", "DoesNotApply", "Held", "check", "checks"]
