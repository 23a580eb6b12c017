"""Masks of torch.nn.utils.prune that a model has already, and those that it is left with."""

import copy

import pytest
import torch
from helpers_pruner import batches, loss, small
from torch import nn
from torch.nn.utils import prune

from prunekit import InputError, Pruner


def masked() -> nn.Sequential:
    """A convolution pruned twice, a linear layer by a mask of one's own, and its bias."""
    model = small()
    prune.l1_unstructured(model[0], "weight", amount=10)
    prune.random_unstructured(model[0], "weight", amount=5)
    prune.custom_from_mask(model[4], "weight", torch.arange(384).view(3, 128) % 4 != 0)
    prune.custom_from_mask(model[4], "bias", torch.tensor([1, 0, 1]))
    return model


def test_they_are_taken_over_and_the_model_says_the_same() -> None:
    model = masked()
    images = batches(1)[0][0]
    before = model.eval()(images)
    masks = {name: module.weight_mask.bool() for name, module in (("0.weight", model[0]), ("4.weight", model[4]))}
    pruner = Pruner(model, sparsity=0.0, targets={"parameters": ["weight", "bias"]})
    assert torch.equal(model(images), before)
    assert all(torch.equal(pruner.masks[name], mask) for name, mask in masks.items())
    assert pruner.masks["4.bias"].tolist() == [True, False, True]
    assert pruner.masks["0.bias"].all()
    assert sorted(model.state_dict()) == sorted(small().state_dict())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_parameters_stay_the_same_objects_in_the_same_order_so_that_an_optimizer_goes_on() -> None:
    model = masked()
    steps = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = list(model.parameters())
    pruner = Pruner(model, "gmp", sparsity=0.9, begin="1it", end="3it", every="1it", optimizer=steps, within="layer")
    assert [id(parameter) for parameter in before] == [id(parameter) for parameter in model.parameters()]
    for batch in batches(3):
        steps.zero_grad()
        loss(model, batch).backward()
        steps.step()
    assert pruner.sparsity == (round(72 * 0.9) + round(384 * 0.9)) / 456
    assert not torch.equal(model[4].weight, masked()[4].weight)


def test_a_schedule_that_asks_for_less_leaves_them_and_one_that_asks_for_more_prunes_on() -> None:
    model = masked()
    pruner = Pruner(model, sparsity=0.1)
    assert sum(int((~mask).sum()) for mask in pruner.masks.values()) == 15 + 96
    first = {name: mask.clone() for name, mask in pruner.masks.items()}
    more = Pruner(masked(), sparsity=0.5)
    assert sum(int((~mask).sum()) for mask in more.masks.values()) == 228
    assert not any(bool(more.masks[name][~mask].any()) for name, mask in first.items())


def test_what_is_not_selected_keeps_its_torch_mask() -> None:
    model = masked()
    Pruner(model, sparsity=0.0)
    assert prune.is_pruned(model[4])
    assert "bias_orig" in model[4]._parameters
    assert list(model[4]._parameters) == ["weight", "bias_orig"]


def test_a_mask_given_beside_them_prunes_besides() -> None:
    given = torch.ones(3, 128, dtype=torch.bool)
    given[0, :2] = False  # the first is pruned by torch's mask, too
    pruner = Pruner(masked(), sparsity=0.0, masks={"4.weight": given})
    assert int((~pruner.masks["4.weight"]).sum()) == 97


def test_a_tied_weight_is_pruned_where_any_of_its_masks_prunes() -> None:
    model = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    model[1].weight = model[0].weight
    prune.custom_from_mask(model[0], "weight", torch.arange(16).view(4, 4) != 0)
    prune.custom_from_mask(model[1], "weight", torch.arange(16).view(4, 4) != 5)
    pruner = Pruner(model, sparsity=0.0)
    assert (~pruner.masks["0.weight"]).flatten().nonzero().flatten().tolist() == [0, 5]
    assert model[0].weight is model[1].weight


def test_they_stay_where_the_pruner_is_refused() -> None:
    model = masked()
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(InputError, match="has no score for"):
        Pruner(
            model,
            criterion="wanda",
            sparsity=0.5,
            targets={"parameters": ["weight", "bias"]},
            data=batches(1),
            loss=loss,
        )
    assert [name for name, _ in model.named_parameters()] == names
    assert prune.is_pruned(model)


def test_a_mask_that_is_not_of_zeros_and_ones_is_refused() -> None:
    model = masked()
    model[0].weight_mask.mul_(0.5)
    with pytest.raises(InputError, match=r"put on 0\.weight is not of zeros and ones"):
        Pruner(model, sparsity=0.5)


def test_masks_are_given_back_on_request_and_keep_weights_pruned() -> None:
    model = small()
    plain = copy.deepcopy(model)
    Pruner(plain, sparsity=0.5).finalize()
    masks = Pruner(model, sparsity=0.5).finalize(torch_masks=True)
    for name, module in (("0.weight", model[0]), ("4.weight", model[4])):
        assert torch.equal(module.weight_mask.bool(), masks[name])
        assert torch.equal(module.weight, plain.get_parameter(name))
        assert isinstance(module.weight_orig, nn.Parameter)
    twin = copy.deepcopy(model)
    steps = torch.optim.SGD(twin.parameters(), lr=0.1)
    loss(twin, batches(1)[0]).backward()
    steps.step()
    twin(batches(1)[0][0])
    assert (twin[4].weight[~masks["4.weight"]] == 0).all()
    assert not torch.equal(twin[4].weight, model[4].weight)
    again = Pruner(model, sparsity=0.0)
    assert all(torch.equal(again.masks[name], mask) for name, mask in masks.items())


def test_masks_are_given_back_once_however_often_they_are_asked_for() -> None:
    model = small()
    pruner = Pruner(model, sparsity=0.5)
    first = pruner.finalize()
    for _ in range(2):
        assert all(torch.equal(mask, first[name]) for name, mask in pruner.finalize(torch_masks=True).items())
    assert sorted(model[4]._parameters) == ["bias", "weight_orig"]
    assert len(model[4]._forward_pre_hooks) == 1


def test_a_weight_shared_with_an_embedding_is_given_back_in_both_places() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(6, 4), "decoder": nn.Linear(4, 6, bias=False)})
    model["decoder"].weight = model["embedding"].weight
    Pruner(model, sparsity=0.5).finalize(torch_masks=True)
    assert torch.equal(model["embedding"].weight_mask, model["decoder"].weight_mask)
    assert int((model["embedding"](torch.arange(6)) == 0).sum()) == 12
