"""The mode that a network is scored in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunekit import InputError, undisturbed

Statistics = Literal["batch", "running"]
"""What BatchNorm normalises with while a network is scored: each batch's own statistics, or the running ones."""


@contextmanager
def scoring(model: nn.Module, statistics: Statistics = "running") -> Iterator[None]:
    """Put the model into eval mode, with ``batch`` BatchNorm alone into train mode; put it back as it was afterwards.

    Raises InputError where a batch is too small to have statistics.
    """
    with undisturbed(model):
        model.eval()
        for module in model.modules():
            if isinstance(module, _BatchNorm) and statistics == "batch":
                module.training = True
        try:
            yield
        except ValueError as error:
            if statistics == "running" or "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                "BatchNorm cannot take statistics of a batch of one example: choose another number of examples, or "
                "statistics: running"
            ) from error


def mode_reading(statistics: Statistics) -> str:
    """Say what BatchNorm normalises with."""
    return f"BatchNorm with {'the statistics of each batch' if statistics == 'batch' else 'running statistics'}"
