"""Where all randomness of a member comes from: numbers, never names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

STREAMS = ("initialise", "order", "augment", "network", "criterion")
Stream = Literal["initialise", "order", "augment", "network", "criterion"]


def derive(member_seed: int, stage: int, epoch: int, stream: Stream) -> int:
    """Return the 63-bit seed of one stream of one epoch (or one pruning update) of one stage of one member.

    ``stage`` is the ordinal of the stage in the member's lineage, counted from 1; 0 is the initial network.
    """
    entropy = (member_seed, stage, epoch, STREAMS.index(stream))
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1


def generator(member_seed: int, stage: int, epoch: int, stream: Stream, device: str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` seeded by :func:`derive`."""
    import torch

    return torch.Generator(device).manual_seed(derive(member_seed, stage, epoch, stream))
