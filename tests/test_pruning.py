"""Stages that prune in rounds, or rewind."""

from typing import Any

import pytest
import torch
from helpers_training import CONTEXT, DATA, equal, new_network, state, trained
from helpers_training import stage as train_stage

from prunekit.pruning import prune, rewind
from prunekit.stages import PruneStage


def stage(**options: Any) -> PruneStage:
    return PruneStage.model_validate({"schedule": {"name": "exponential", "sparsity": 0.9, "rounds": 4}} | options)


def test_every_weight_knows_the_round_that_pruned_it() -> None:
    network = new_network()
    before = state(network)
    masks = {"head.weight": torch.arange(18).view(3, 6) % 5 > 0}
    result = prune(network, stage(), DATA, CONTEXT, masks=masks)
    assert all(rounds.dtype == torch.int16 for rounds in result.rounds.values())
    total = sum(mask.numel() for mask in result.masks.values())
    for i in range(4):
        left = 0
        for name, rounds in result.rounds.items():
            given = masks.get(name, torch.ones_like(rounds, dtype=torch.bool))
            kept = given & ((rounds < 0) | (rounds > i))
            left += int(kept.sum())
        assert total - left == round(total * (1 - 0.1 ** ((i + 1) / 4)))
        assert total - left == round(total * result.updates[i].sparsity)
    for name, rounds in result.rounds.items():
        assert torch.equal(result.masks[name], (rounds < 0) & masks.get(name, torch.tensor(True)))
    squares = [
        sum(float(before[name][rounds == i].square().sum()) for name, rounds in result.rounds.items()) for i in range(4)
    ]
    assert [update.squared_change for update in result.updates] == pytest.approx(squares)


def test_one_round_needs_no_record() -> None:
    once = stage(schedule={"name": "one_shot", "sparsity": 0.5})
    assert prune(new_network(), once, DATA, CONTEXT, masks={}).rounds == {}


def test_the_rounds_one_by_one_prune_what_all_at_once_do() -> None:
    whole, pieces = new_network(), new_network()
    expected = prune(whole, stage(), DATA, CONTEXT, masks={})
    masks: dict[str, torch.Tensor] = {}
    for i in range(1, 5):
        result = prune(pieces, stage(round=i), DATA, CONTEXT, masks=masks)
        masks = result.masks
        assert [(u.iteration, u.sparsity) for u in result.updates] == [(i - 1, expected.updates[i - 1].sparsity)]
    assert equal(masks, expected.masks)
    assert equal(state(pieces), state(whole))


def test_a_rewound_network_has_the_first_weights_and_the_last_masks() -> None:
    network = new_network()
    first = state(network)
    trained(network, train_stage())
    masks = prune(network, stage(), DATA, CONTEXT, masks={}).masks
    result = rewind(network, first, CONTEXT, masks=masks)
    assert equal(result.masks, masks)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, first[name] * masks[name] if name in masks else first[name]), name
