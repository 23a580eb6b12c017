"""Always the peak."""

from __future__ import annotations

from prunekit import Progress, register

from ._warmup import WithWarmup


@register("constant")
class Constant(WithWarmup):
    """Keep the peak learning rate."""

    def after_warmup(self, now: Progress, warmup: int) -> float:
        """Return 1."""
        return 1.0
