"""The same bits after an interruption."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers_training import PRUNE, equal, new_network, stage, state, trained
from torch import nn

from prunekit.checkpoint import Checkpoint
from prunekit.plugins.optimizers.sgd import Sgd

RESUMED = {
    "sgd": {},
    "plain sgd": {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.0}},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01}, "prune": PRUNE},
    "pruned": {"optimizer": {"name": "sgd", "lr": 0.05, "nesterov": True, "weight_decay": 0.01}, "prune": PRUNE},
    "drawn": {"prune": {**PRUNE, "criterion": "random", "within": "layer"}},
    "contrastive": {"objective": "supcon", "augment": "simclr", "prune": PRUNE},
    "head": {"only": "head", "lr_schedule": "cosine"},
    "bf16": {"precision": "bf16"},
    "kept": {"keep": ["0it", "1ep", "10it"], "select": "best_validation", "prune": PRUNE},
    "contrastive bf16": {"objective": "simclr", "augment": "simclr", "precision": "bf16"},
}


def stored(checkpoint: Checkpoint) -> Checkpoint:
    """What comes back from a disk: contiguous tensors, and JSON."""
    assert all(tensor.is_contiguous() for tensor in checkpoint.tensors.values())
    return Checkpoint({k: v.clone() for k, v in checkpoint.tensors.items()}, json.loads(json.dumps(checkpoint.meta)))


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_an_interrupted_stage_ends_with_the_same_bits(options: dict[str, Any]) -> None:
    whole, checkpoints, rows = new_network(), [], []

    def keep(checkpoint: Checkpoint, row: dict[str, Any]) -> None:
        checkpoints.append(stored(checkpoint))
        rows.append(row)

    masks = {"encoder.conv.weight": torch.arange(54).view(6, 1, 3, 3) % 7 > 0}
    result = trained(whole, stage(epochs=4, **options), masks, on_epoch=keep)
    assert rows == result.history
    assert len(checkpoints) == 4
    for checkpoint in checkpoints:
        again, later = new_network(), list[Checkpoint]()

        def note(checkpoint: Checkpoint, row: dict[str, Any], later: list[Checkpoint] = later) -> None:
            later.append(checkpoint)

        resumed = trained(again, stage(epochs=4, **options), masks, resume=checkpoint, on_epoch=note)
        assert equal(state(again), state(whole))
        assert equal(resumed.masks, result.masks)
        assert (resumed.history, resumed.updates) == (result.history, result.updates)
        assert resumed.selected == result.selected
        assert resumed.kept.keys() == result.kept.keys()
        assert all(equal(weights, result.kept[time]) for time, weights in resumed.kept.items())
        for one, other in zip(reversed(later), reversed(checkpoints), strict=False):
            assert equal(one.tensors, other.tensors)
            assert json.loads(json.dumps(one.meta)) == other.meta


def test_restored_optimiser_tensors_take_the_parameters_memory_format() -> None:
    made: list[torch.optim.Optimizer] = []

    class Watched(Sgd):
        """Sgd that can be looked at."""

        def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
            made.append(super().build(parameters))
            return made[-1]

    checkpoints: list[Checkpoint] = []
    options = stage(epochs=1, optimizer=Watched(lr=0.1))
    trained(new_network(), options, on_epoch=lambda checkpoint, row: checkpoints.append(checkpoint))
    strides: list[list[tuple[int, ...]]] = []

    class Looked(Watched):
        """Sgd whose state is looked at before its first step."""

        def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
            optimizer = super().build(parameters)
            optimizer.register_step_pre_hook(
                lambda opt, args, kwargs: strides.append(
                    [s for p in parameters for s in (p.stride(), opt.state[p]["momentum_buffer"].stride())]
                )
            )
            return optimizer

    trained(new_network(), stage(epochs=2, optimizer=Looked(lr=0.1)), resume=checkpoints[0])
    assert strides[0][0::2] == strides[0][1::2]
    assert (54, 1, 18, 6) in strides[0]  # encoder.deeper.weight, channels last
