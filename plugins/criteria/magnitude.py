"""The smallest weights go first."""

from torch import Tensor

from prunekit import Criterion, PruningContext, register


@register("magnitude", source="Han et al. 2015, arXiv 1506.02626, §3")
class Magnitude(Criterion):
    """Keep the weights of largest absolute value."""

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return |θ|."""
        return {target.name: target.parameter.detach().abs() for target in context.targets}
