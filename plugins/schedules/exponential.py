"""Equal shares of what is left."""

import math

from prunekit import register

from ._rounds import Rounds


@register("exponential", source="Laurent et al. 2020, arXiv 2006.12279: exponential pruning stages")
class Exponential(Rounds):
    """Prune the same share of what is left in every round: after round j of π, the sparsity is 1 − (1 − s)^(j / π).

    Laurent et al. make all rounds before they train again: in a stage that only prunes. In a stage that trains, the
    updates are spread evenly from begin to end, and what is left after end recovers: nothing, unless end says so.
    """

    def _after(self, share: float) -> float:
        # exact for tiny sparsities too, where 1 − s would be rounded; rounding never exceeds the last target
        return min(-math.expm1(share * math.log1p(-self.sparsity)), self.sparsity)
