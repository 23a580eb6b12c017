"""Removes the weights that change a quadratic model of the loss least."""

from prunekit import register

from ._gauss_newton import MEMORY
from ._loss_model import SOURCE, LossModel


@register("qm", source=SOURCE)
class QuadraticModel(LossModel):
    """Keep the weights without which a quadratic model of the loss changes most: |−g·θ + ½·d·θ²| + ½·λ·θ².

    d is the exact diagonal of the Gauss–Newton matrix of softmax cross-entropy; g is the gradient of the loss that the
    network is trained with.
    """

    gradient = True
    curvature = True
    working_memory = MEMORY
