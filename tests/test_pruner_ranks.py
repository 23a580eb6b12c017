"""Several processes that train one model: scores of all their data, and the same masks."""

import math
from typing import Any

import pytest
import torch
from helpers_pruner import batches, small
from helpers_ranks import BATCHES, NAMES, RANKS, run, scores, shard

from prunekit.ranks import Ranks

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run(tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", NAMES)
def test_all_ranks_have_the_same_masks(name: str, found: Found) -> None:
    first, second = (each["masks"][name] for each in found)
    assert all(torch.equal(mask, second[key]) for key, mask in first.items())
    assert sum(int((~mask).sum()) for mask in first.values()) == 342


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_one_process_that_sees_all_the_data(name: str, found: Found) -> None:
    whole = scores(name, batches(BATCHES), Ranks())
    own = scores(name, shard(0), Ranks())
    for rank in range(RANKS):
        for key, score in found[rank]["scores"][name].items():
            torch.testing.assert_close(score, whole[key], rtol=1e-5, atol=1e-6 * float(whole[key].abs().max()))
    if name not in ("magnitude", "random", "synflow"):
        assert any(not torch.allclose(score, own[key], rtol=1e-3) for key, score in whole.items())


def test_a_criterion_that_knows_nothing_of_ranks_gives_all_the_masks_of_the_first(found: Found) -> None:
    first, second = (each["careless"] for each in found)
    assert all(torch.equal(mask, second[key]) for key, mask in first.items())


@pytest.mark.parametrize("wrap", ["inner", "compiled"])
def test_wrapped_bare_or_compiled_it_is_the_same(wrap: str, found: Found) -> None:
    for each in found:
        assert all(torch.equal(mask, each["wraps"][wrap][key]) for key, mask in each["wraps"]["wrapper"].items())
        assert list(each["wraps"][wrap]) == ["0.weight", "4.weight"]


def test_a_loop_keeps_the_ranks_equal_and_ends_with_the_exact_sparsity(found: Found) -> None:
    first, second = (each["training"] for each in found)
    assert first["sparsity"] == second["sparsity"] == round(456 * 0.8) / 456
    assert all(torch.equal(mask, second["masks"][key]) for key, mask in first["masks"].items())
    parameters = [name for name, _ in small().named_parameters()]
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in parameters)


def test_models_that_ranks_train_each_for_itself_are_scored_each_for_itself(found: Found) -> None:
    first, second = (each["alone"] for each in found)
    assert any(not torch.equal(mask, second["snip"][key]) for key, mask in first["snip"].items())
    assert all(torch.equal(mask, second["random"][key]) for key, mask in first["random"].items())


def test_weights_that_are_split_over_ranks_are_refused(found: Found) -> None:
    assert {each["split"] for each in found} == {
        "4.weight is split over processes (DTensor): prune a model that every process has as a whole"
    }


def test_a_mean_counts_each_rank_by_its_weight(found: Found) -> None:
    for each in found:
        assert each["uneven"].tolist() == [(1 * 3 + 2 * 1) / 4, (5 * 3 + 10 * 1) / 4]


@pytest.mark.parametrize(("examples", "ranks"), [(128, 2), (1, 4), (10, 3)])
def test_examples_are_shared_out(examples: int, ranks: int) -> None:
    assert Ranks(ranks).share(examples) == math.ceil(examples / ranks)


def test_a_process_alone_changes_nothing() -> None:
    values = torch.randn(3)
    assert Ranks.here().mean(values, weight=7) is values
    mask = torch.tensor([True, False])
    Ranks.here().give_first(mask)
    assert mask.tolist() == [True, False]
