"""What every kind of stage is given and leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from prunekit import seeds
from prunekit.data import DeviceData
from prunekit.images import Batch
from prunekit.network import Network
from prunekit.protocols import Target
from prunekit.snapshots import Weights
from prunekit.updates import Update


@dataclass(frozen=True)
class StageContext:
    """Which stage of which member this is, and where it runs."""

    member_seed: int
    ordinal: int
    """Of the stage in the member's lineage, counted from 1."""
    device: str = "cpu"


@dataclass
class StageOutcome:
    """What a stage leaves beside the network that it changed in place."""

    masks: dict[str, Tensor]
    """bool by parameter name, on the network's device: True where the weight is kept."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row per epoch: epoch, iteration, loss, accuracy (validation; None where there is none), sparsity, lr."""
    updates: list[Update] = field(default_factory=list)
    """Pruning updates in their order."""
    selected: int | None = None
    """The epoch whose weights the network has; None where it is the last one."""
    kept: dict[str, Weights] = field(default_factory=dict)
    """Weights kept on the way, by time."""
    rounds: dict[str, Tensor] = field(default_factory=dict)
    """int16 by parameter name, of a stage that prunes in several rounds: the one, from 0, that pruned the weight; −1
    where none did."""


@contextmanager
def deterministic() -> Iterator[None]:
    """Keep cuDNN to algorithms that give the same bits every time; also a decorator."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def masked_targets(network: Network, masks: dict[str, Tensor]) -> list[Target]:
    """Return the parameters that ``masks`` are about, with masks on their device and in their memory format."""
    targets = []
    for name, mask in masks.items():
        module = network.get_submodule(name.rpartition(".")[0])
        parameter = network.get_parameter(name)
        own = torch.empty_like(parameter, dtype=torch.bool, requires_grad=False).copy_(mask)
        targets.append(Target(name, module, parameter, own))
    return targets


def criterion_seed(context: StageContext) -> int:
    """Return the seed of all that criteria draw in a stage."""
    return seeds.derive(context.member_seed, context.ordinal, 0, "criterion")


def plain_batches(data: DeviceData, size: int, context: StageContext) -> Iterator[Batch]:
    """Yield what criteria look at: training images shuffled, as data may be sorted by class; the same each time."""
    return data.plain_epoch(size, torch.Generator().manual_seed(criterion_seed(context)))
