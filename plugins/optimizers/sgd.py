"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, model_validator
from torch import nn

from prunekit import Optimizer, register


@register("sgd", source="Sutskever et al. 2013, ICML, §2; torch.optim.SGD")
class Sgd(Optimizer):
    """Stochastic gradient descent with momentum."""

    lr: float = Field(default=0.1, ge=0.0, allow_inf_nan=False)
    """Peak learning rate; the stage's lr_schedule multiplies it."""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Share of the last step's velocity that is kept."""
    nesterov: bool = False
    """Look ahead along the velocity; needs momentum."""
    weight_decay: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """L2 penalty: this share of each parameter is added to its gradient. Corti et al. train the contrastive encoder
    with 5e-4 in their paper, 4e-4 in their code."""

    @property
    def reading(self) -> str:
        """Say how large the weight decay is."""
        return f"sgd: weight decay {self.weight_decay:g}"

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self

    def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser over ``parameters``."""
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )
