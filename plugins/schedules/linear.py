"""Equal steps of sparsity."""

from prunekit import register

from ._rounds import Rounds


@register("linear", source="Laurent et al. 2020, arXiv 2006.12279: linear pruning stages")
class Linear(Rounds):
    """Prune as many weights in every round: after round j of π, the sparsity is s · j / π.

    Laurent et al. make all rounds before they train again: in a stage that only prunes. In a stage that trains, the
    updates are spread evenly from begin to end, and what is left after end recovers: nothing, unless end says so.
    """

    def _after(self, share: float) -> float:
        return self.sparsity * share
