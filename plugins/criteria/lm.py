"""Removes the weights that change a linear model of the loss least."""

from prunekit import register

from ._loss_model import SOURCE, LossModel


@register("lm", source=SOURCE)
class LinearModel(LossModel):
    """Keep the weights without which a linear model of the loss changes most: |g·θ| + ½·λ·θ²."""

    gradient = True
    curvature = False
