"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from prunekit import Optimizer, register


@register("adamw", source="Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2; torch.optim.AdamW")
class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    lr: float = Field(default=1e-3, ge=0.0, allow_inf_nan=False)
    """Peak learning rate; the stage's lr_schedule multiplies it."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of the mean of the gradients."""
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of the mean of their squares."""
    eps: float = Field(default=1e-8, gt=0.0)
    """Added to the root of the mean square."""
    weight_decay: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    """Each step takes lr · weight_decay of every parameter away."""

    def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser over ``parameters``."""
        return torch.optim.AdamW(
            parameters, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, weight_decay=self.weight_decay
        )
