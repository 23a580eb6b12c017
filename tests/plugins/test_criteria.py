"""Which weights the built-in criteria keep."""

import torch
from torch import nn

from prunekit import PruningContext
from prunekit.masks import find_targets
from prunekit.plugins.criteria.magnitude import Magnitude
from prunekit.plugins.criteria.random import Random
from prunekit.seeds import generator


def context(model: nn.Module, seed: int = 0) -> PruningContext:
    return PruningContext(model, find_targets(model), generator(seed, 0, 0, "criterion"))


def test_magnitude_is_the_absolute_value() -> None:
    model = nn.Linear(3, 1)
    model.weight.data = torch.tensor([[-2.0, 0.5, 0.0]])
    scores = Magnitude().scores(context(model))
    assert scores["weight"].tolist() == [[2.0, 0.5, 0.0]]
    assert not scores["weight"].requires_grad


def test_random_scores_are_uniform_and_their_own_for_every_layer() -> None:
    model = nn.Sequential(nn.Linear(200, 100), nn.Linear(200, 100))
    scores = Random().scores(context(model))
    first, second = scores["0.weight"], scores["1.weight"]
    assert first.shape == (100, 200)
    assert not torch.equal(first, second)
    for values in (first, second):  # 20,000 uniform numbers: the mean is within 5 σ = 5 / √(12 · 20000) of ½
        assert abs(values.mean().item() - 0.5) < 0.0103
        assert 0 <= values.min() < 0.01
        assert 0.99 < values.max() < 1


def test_random_scores_come_from_the_given_generator_alone() -> None:
    model = nn.Linear(4, 4)
    state = torch.get_rng_state()
    draws = [Random().scores(context(model, seed))["weight"] for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), state)
