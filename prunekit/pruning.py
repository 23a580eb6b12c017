"""A stage that prunes or rewinds: a pure function of the network it starts from, its options, seed and data."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunekit import masks as masking
from prunekit.data import EVALUATION_BATCH, DeviceData
from prunekit.images import Batch
from prunekit.network import Network
from prunekit.outcome import StageContext, StageOutcome, criterion_seed, deterministic, masked_targets, plain_batches
from prunekit.pruner import Pruner
from prunekit.snapshots import Weights
from prunekit.stages import PruneStage


@deterministic()
def prune(
    network: Network, stage: PruneStage, data: DeviceData, context: StageContext, *, masks: dict[str, Tensor]
) -> StageOutcome:
    """Prune encoder and head of ``network`` in place, in the schedule's rounds, without training.

    Criteria that look at data get the cross-entropy of un-augmented, shuffled training batches.
    """
    network.to(context.device).eval()
    steps, first = stage.schedule.steps, (stage.round or 1) - 1
    pruner = Pruner(
        network,
        stage.schedule,
        criterion=stage.criterion,
        within=stage.within,
        targets=stage.targets,
        parts=("encoder", "head"),
        iterations_per_epoch=1,
        iterations=steps - 1,
        seed=criterion_seed(context),
        masks=masks,
        iteration=first,
        data=partial(plain_batches, data, EVALUATION_BATCH, context),
        loss=_cross_entropy,
    )
    if stage.round is not None:
        if first > 0:  # a pruner that begins at a later iteration takes that update for made
            pruner.update()
        return StageOutcome({**masks, **pruner.masks}, updates=pruner.updates)
    rounds = {t.name: torch.full_like(t.mask, -1, dtype=torch.int16) for t in pruner.targets}
    for i in range(steps):
        if i > 0:
            pruner.step()
        for target in pruner.targets:  # pruned before this stage, by an earlier round, or now
            new = ~target.mask & (rounds[target.name] < 0) & masks.get(target.name, torch.tensor(True)).to(target.mask)
            rounds[target.name][new] = i
    return StageOutcome({**masks, **pruner.masks}, updates=pruner.updates, rounds=rounds if steps > 1 else {})


def rewind(network: Network, weights: Weights, context: StageContext, *, masks: dict[str, Tensor]) -> StageOutcome:
    """Give ``network`` the ``weights`` of an earlier point in place, those that ``masks`` pruned zero."""
    network.load_state_dict(weights)
    network.to(context.device).eval()
    masking.apply(masked_targets(network, masks))
    return StageOutcome(masks)


def _cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch.images[0]), batch.labels)
