"""Every registered criterion keeps to its contract, and the built-in ones to somewhat more."""

from __future__ import annotations

import functools

import pytest
import torch
from helpers_contract import contract, hold

from prunekit import Criterion, InputError, Pruner, PruningContext
from prunekit.masks import find_targets
from prunekit.registry import registry
from prunekit.seeds import generator
from prunekit.testing import Check, networks
from prunekit.testing.criterion import score

NAMES = registry.names("criterion")
NEED_DATA = [name for name in NAMES if registry.find("criterion", name)[0].plugin.needs_data]  # type: ignore[attr-defined]


@functools.cache
def make(name: str) -> Criterion:
    criterion = registry.find("criterion", name)[0].plugin()
    assert isinstance(criterion, Criterion)
    return criterion


@contract("criterion", NAMES)
def test_contract(name: str, check: Check) -> None:
    hold(check, make(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("network", networks.NAMES)
def test_built_in_scores_are_finite_distinct_and_without_a_graph(name: str, network: str) -> None:
    model = networks.fresh(network)
    scores = score(make(name), model, network)
    targets = find_targets(model)
    assert len(targets) >= 4
    assert all(scores[target.name].isfinite().all() for target in targets)
    assert not any(scores[target.name].requires_grad for target in targets)
    assert len(torch.cat([scores[target.name].flatten() for target in targets]).unique()) > 100


@pytest.mark.parametrize("name", NEED_DATA)
def test_without_data_there_is_one_clear_line(name: str) -> None:
    model = networks.fresh("cnn")
    with pytest.raises(InputError, match="looks at training data"):
        Pruner(model, criterion=name, sparsity=0.5)
    bare = PruningContext(model, find_targets(model), generator(0, 0, 0, "criterion"))
    with pytest.raises(InputError, match="looks at training data, and there are none"):
        make(name).scores(bare)
    bare.batches = lambda: iter([])
    with pytest.raises(InputError, match="there are no examples in them"):
        make(name).scores(bare)


@pytest.mark.parametrize("name", NEED_DATA)
def test_weights_that_are_not_numbers_are_refused_in_one_line(name: str) -> None:
    model = networks.fresh("cnn")
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = torch.nan  # type: ignore[index]
    with pytest.raises(InputError, match=f"criterion {name}: .*(is nan|NaN)"):
        Pruner(model, criterion=name, sparsity=0.5, data=networks.data("cnn"), loss=networks.loss)
