"""Lottery tickets: prune, go back to the first weights, train again."""

from pydantic import Field

from prunekit import register

from .exponential import Exponential


@register("lottery", source="Frankle & Carbin 2019, arXiv 1803.03635, §2: iterative pruning")
class Lottery(Exponential):
    """Prune the same share of what is left in every repetition of ``repeat:``, until the sparsity is reached.

    ::

        tickets:
          repeat:
            rounds: 5
            stages:
              prune: {schedule: {name: lottery, sparsity: 0.9}}
              rewind: {rewind: start}
              train: {objective: cross_entropy, epochs: 30}

    ``rounds`` is that of ``repeat:`` where it is not said here, and each repetition makes one: of 5 rounds to 90 %,
    each prunes 37 % of what is left. Frankle & Carbin rank the weights of small networks ``within: layer``, with half
    the share in the output layer, which is not done here; those of deep ones ``within: network``.
    """

    rounds: int = Field(ge=1)
    """Repetitions; ``repeat:`` says it."""
