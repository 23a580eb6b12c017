"""What every registered criterion must keep to."""

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit import Criterion, Pruner, PruningContext
from prunekit.masks import find_targets, grow
from prunekit.protocols import Within
from prunekit.registry import registry
from prunekit.seeds import generator

NAMES = registry.names("criterion")
GENERATOR = torch.Generator().manual_seed(11)
DATA = [(torch.randn(8, 1, 6, 6, generator=GENERATOR), torch.arange(8) % 3) for _ in range(2)]


def make(name: str) -> Criterion:
    criterion = registry.find("criterion", name)[0].plugin.model_validate({})
    assert isinstance(criterion, Criterion)
    return criterion


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def small() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 3))
    loss(model, DATA[0]).backward()  # gradients and statistics that must survive
    return model


def context(model: nn.Module, seed: int = 0) -> PruningContext:
    targets = find_targets(model)
    return PruningContext(model, targets, generator(seed, 0, 0, "criterion"), loss, lambda: iter(DATA))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_as_it_was(name: str, training: bool) -> None:
    model = small().train(training)
    state, gradients = copy.deepcopy(model.state_dict()), [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
    random_state = torch.get_rng_state()
    make(name).scores(context(model))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))  # type: ignore[arg-type]
    assert all(module.training is training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_has_finite_scores_of_its_shape(name: str) -> None:
    model = small()
    scores = make(name).scores(context(model))
    for target in find_targets(model):
        assert scores[target.name].shape == target.parameter.shape
        assert not scores[target.name].isnan().any()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_generator_gives_the_same_scores(name: str) -> None:
    first, second = (make(name).scores(context(small(), seed=3)) for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_scores_belong_to_logical_positions_whatever_the_memory_format(name: str) -> None:
    plain, channels_last = small(), small().to(memory_format=torch.channels_last)
    first, second = make(name).scores(context(plain)), make(name).scores(context(channels_last))
    for key in first:
        torch.testing.assert_close(first[key], second[key])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("within", get_args(Within))
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1 - 1 / 456])
def test_exactly_the_weights_asked_for_are_pruned_and_the_lowest(name: str, within: Within, sparsity: float) -> None:
    model = small()
    targets = find_targets(model)
    scores = make(name).scores(context(model))
    grow(targets, scores, sparsity, within)
    groups = [targets] if within == "network" else [[target] for target in targets]
    for group in groups:
        kept = np.concatenate([t.mask.reshape(-1).numpy() for t in group])
        values = np.concatenate([scores[t.name].reshape(-1).numpy() for t in group])
        count = round(len(kept) * sparsity)
        assert (~kept).sum() == count
        np.testing.assert_array_equal(np.flatnonzero(~kept), np.sort(np.argsort(values, kind="stable")[:count]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("within", get_args(Within))
def test_it_prunes_gradually_in_a_loop(name: str, within: Within) -> None:
    model = small()
    options = {"sparsity": 0.9, "end": "4it", "every": "1it"}
    pruner = Pruner(model, "gmp", criterion=name, within=within, data=DATA, loss=loss, **options)  # type: ignore[arg-type]
    kept = pruner.finalize()
    pruner = Pruner(model, "gmp", criterion=name, within=within, data=DATA, loss=loss, masks=kept, **options)  # type: ignore[arg-type]
    for _ in range(4):
        before = {key: mask.clone() for key, mask in pruner.masks.items()}
        pruner.step()
        assert all(not (mask & ~before[key]).any() for key, mask in pruner.masks.items())
    expected = round(456 * 0.9) if within == "network" else round(72 * 0.9) + round(384 * 0.9)
    assert sum(int((~mask).sum()) for mask in pruner.masks.values()) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_sign_of_scores_survives(name: str) -> None:
    """Scores far below zero and next to it keep their order: nothing on the way takes their magnitude."""
    model = small()
    targets = find_targets(model)
    scores = {key: (value.double() - value.mean()) * 1e-30 for key, value in make(name).scores(context(model)).items()}
    values = np.concatenate([scores[t.name].reshape(-1).numpy() for t in targets])
    grow(targets, scores, 0.3, "network")
    kept = np.concatenate([t.mask.reshape(-1).numpy() for t in targets])
    assert values.min() < 0 < values.max()
    assert values[~kept].max() <= values[kept].min()
    assert (~kept).sum() == round(456 * 0.3)
