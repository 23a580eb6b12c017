"""Which precision a device has."""

from __future__ import annotations

import torch


def has_float64(device: torch.device) -> bool:
    """Whether tensors of float64 can be on ``device``: not on Apple's GPUs."""
    try:
        torch.empty(0, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def widest(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on a device without."""
    return torch.float64 if has_float64(device) else torch.float32
