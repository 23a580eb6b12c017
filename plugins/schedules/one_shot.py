"""Everything at once."""

from prunekit import Progress, Schedule, Time, register


@register("one_shot", source="Corti et al. 2022, arXiv 2207.00200, §3: One-Shot")
class OneShot(Schedule):
    """Prune to the sparsity asked for in one update.

    Corti et al. rank the weights of all layers together (``within: network``) and fine-tune. Their code also prunes the
    biases of linear layers (``targets: {parameters: [weight, bias]}``) but leaves them out of the sparsity it prints.
    """

    begin: Time = Time()
    """When, in a stage that trains; a stage that only prunes does it at once."""

    def target(self, now: Progress) -> float | None:
        """Return the sparsity at ``begin``."""
        return self.sparsity if now.iteration == now.at(self.begin) else None
