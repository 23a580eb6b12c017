"""Half a cosine."""

from __future__ import annotations

import math

from pydantic import Field

from prunekit import Progress, register

from ._warmup import WithWarmup


@register("cosine", source="Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5, without restarts")
class Cosine(WithWarmup):
    """Fall from the peak along half a cosine that ends with the stage.

    The step at iteration t of T, w of them warm-up, has the factor at (t − w) / (T − w): the peak comes first, and
    ``final`` itself would be the factor of the step after the last.
    """

    final: float = Field(default=0.0, ge=0.0, le=1.0)
    """Where it ends, as a share of the peak."""

    def after_warmup(self, now: Progress, warmup: int) -> float:
        """Return the factor at ``now``."""
        if now.total is None:
            raise ValueError("cosine needs the length of the stage: say how many iterations it has")
        done = (now.iteration - warmup) / (now.total - warmup)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
