"""Removes the weights that change the curvature term of the loss least."""

from prunekit import register

from ._gauss_newton import MEMORY
from ._loss_model import SOURCE, LossModel


@register("obd", source="LeCun et al. 1990, Optimal brain damage; " + SOURCE)
class OptimalBrainDamage(LossModel):
    """Keep the weights of largest ½·d·θ² + ½·λ·θ², as if the gradient were zero.

    d is the exact diagonal of the Gauss–Newton matrix of softmax cross-entropy, which looks at no label. It takes a
    backward pass per class but one; see docs/speed.md.
    """

    gradient = False
    curvature = True
    working_memory = MEMORY
