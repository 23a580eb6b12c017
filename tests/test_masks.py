"""What is pruned, what that leaves of the model, and how masks are stored."""

import copy
from collections.abc import Sequence

import pytest
import torch
from helpers_masks import Network, random_scores
from torch import nn
from torch.nn.utils import parametrizations

from prunekit import masks
from prunekit.errors import InputError
from prunekit.protocols import Target, TargetSelection


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network()


def names(targets: Sequence[Target]) -> list[str]:
    return [target.name for target in targets]


# ------------------------------------------------------------------------------------------------ what is pruned


def test_weights_of_convolutions_and_linear_layers_are_pruned_head_in_projector_out(network: Network) -> None:
    assert names(masks.find_targets(network)) == ["encoder.0.weight", "encoder.3.weight", "head.weight"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"modules": ["linear"]}, ["head.weight"]),
        ({"modules": ["conv"]}, ["encoder.0.weight", "encoder.3.weight"]),
        ({"parameters": ["bias"]}, ["encoder.0.bias", "encoder.3.bias", "head.bias"]),
        ({"modules": ["linear"], "parameters": ["weight", "bias"]}, ["head.weight", "head.bias"]),
        ({"include": ["*.3.*", "proj*"], "exclude": []}, ["encoder.3.weight", "projector.weight"]),
        ({"exclude": ["encoder.*", "projector.*"]}, ["head.weight"]),
        ({"include": ["[Hh]ead.*", "encoder.0.weight"]}, ["encoder.0.weight", "head.weight"]),
    ],
)
def test_a_selection_goes_by_module_type_parameter_and_globs(
    network: Network, options: dict, expected: list[str]
) -> None:
    assert names(masks.find_targets(network, TargetSelection(**options))) == expected


def test_parts_narrow_the_selection(network: Network) -> None:
    assert names(masks.find_targets(network, within_parts={"head"})) == ["head.weight"]
    assert names(masks.find_targets(network, within_parts=["encoder"])) == ["encoder.0.weight", "encoder.3.weight"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(2, 3, 3),
        nn.Conv3d(2, 3, 3),
        nn.ConvTranspose1d(2, 3, 3),
        nn.ConvTranspose2d(2, 3, 3),
        nn.ConvTranspose3d(2, 3, 3),
    ],
)
def test_every_convolution_counts(layer: nn.Module) -> None:
    assert names(masks.find_targets(layer)) == ["weight"]


def test_tied_parameters_count_once_and_are_excluded_by_any_of_their_names() -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    targets = masks.find_targets(model)
    assert names(targets) == ["a.weight", "c.weight"]
    masks.grow(targets, random_scores(targets), 0.5, "network")
    assert masks.count_zeros(targets) == (16, 32)
    assert names(masks.find_targets(model, TargetSelection(exclude=["b.*"]))) == ["c.weight"]


def test_a_module_used_twice_counts_once() -> None:
    layer = nn.Linear(4, 4)
    model = nn.ModuleList([layer, layer, nn.Linear(4, 4)])
    assert names(masks.find_targets(model)) == ["0.weight", "2.weight"]
    assert names(masks.find_targets(model, TargetSelection(exclude=["1.*"]))) == ["2.weight"]


def test_a_selection_of_nothing_says_what_there_is(network: Network) -> None:
    with pytest.raises(InputError, match=r"include \['\*.1.weight'\].* selects none of the model's encoder.0.weight"):
        masks.find_targets(network, TargetSelection(include=["*.1.weight"]))
    with pytest.raises(InputError, match=r"parts \['tail'\]"):
        masks.find_targets(network, within_parts={"tail"})
    with pytest.raises(InputError, match="no convolution and no linear layer"):
        masks.find_targets(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"include": ["encodr.*"]},
            r"include 'encodr\.\*' matches none of the model's .* \(did you mean 'encoder\.\*'\?\)",
        ),
        ({"include": ["*", "Head.*"]}, r"include 'Head\.\*' .*did you mean 'head\.\*'"),  # case matters
        ({"exclude": ["projector.*", "had.weight"]}, r"exclude 'had\.weight' .*did you mean 'head\.weight'"),
        ({"exclude": ["xyz"]}, r"exclude 'xyz' .*\(known: encoder\.\*, encoder\.0\.\*, "),
    ],
)
def test_a_glob_that_matches_nothing_is_refused_with_the_nearest_name(
    network: Network, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        masks.find_targets(network, TargetSelection(**options))


def test_the_usual_exclusion_and_globs_of_what_is_never_pruned_are_silent(network: Network) -> None:
    del network.projector
    expected = ["encoder.0.weight", "encoder.3.weight", "head.weight"]
    assert names(masks.find_targets(network, TargetSelection(exclude=["projector.*"]))) == expected
    assert names(masks.find_targets(network, TargetSelection(exclude=["encoder.1.*"]))) == expected  # normalisation


@pytest.mark.filterwarnings("ignore:(?s).*quantized tensor creation")
def test_quantised_layers_are_no_targets() -> None:
    model = nn.Sequential(
        nn.Linear(4, 4), torch.ao.nn.quantized.dynamic.Linear(4, 4), torch.ao.nn.quantized.Linear(4, 4)
    )
    assert names(masks.find_targets(model)) == ["0.weight"]


def test_lazy_parameters_are_refused_until_they_have_values() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(InputError, match=r"0\.weight has no values yet"):
        masks.find_targets(model)
    model(torch.zeros(1, 4))
    assert masks.find_targets(model)[0].mask.shape == (3, 4)


def test_computed_weights_are_refused_where_they_are_selected(network: Network) -> None:
    parametrizations.weight_norm(network.head)
    with pytest.raises(InputError, match=r"head\.weight is computed from other parameters"):
        masks.find_targets(network)
    assert len(masks.find_targets(network, TargetSelection(include=["encoder.*"]))) == 2


def test_given_masks_are_taken_over_and_wrong_ones_refused(network: Network) -> None:
    given = torch.rand(5, 96) > 0.5
    targets = masks.find_targets(network, masks={"head.weight": given})
    assert torch.equal(targets[2].mask, given)
    assert targets[0].mask.all()
    with pytest.raises(
        InputError, match=r"mask of head\.weight is torch.bool \[5, 95\]: expected torch.bool \[5, 96\]"
    ):
        masks.find_targets(network, masks={"head.weight": given[:, 1:]})
    with pytest.raises(InputError, match=r"torch.float32 \[5, 96\]"):
        masks.find_targets(network, masks={"head.weight": given.float()})
    with pytest.raises(InputError, match=r"'hed\.weight', which the model does not have \(did you mean 'head.weight'"):
        masks.find_targets(network, masks={"hed.weight": given})


# ------------------------------------------------------------------------------------------------ the user's model


def test_channels_last_weights_get_the_same_mask_and_keep_their_memory_format(network: Network) -> None:
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    assert not other.encoder[3].weight.is_contiguous()
    ours, theirs = masks.find_targets(network), masks.find_targets(other)
    for targets in (ours, theirs):
        scores = {t.name: t.parameter.detach().abs().round(decimals=2) for t in targets}  # many ties
        masks.grow(targets, scores, 0.6, "network")
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(ours, theirs, strict=True))
    assert other.encoder[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert not other.encoder[3].weight.is_contiguous()


def test_bfloat16_weights_are_pruned_exactly_and_stay_bfloat16(network: Network) -> None:
    network.bfloat16()
    targets = masks.find_targets(network)
    masks.grow(targets, {t.name: t.parameter.abs() for t in targets}, 0.9, "network")
    assert sum(int((~t.mask).sum()) for t in targets) == round(1128 * 0.9)
    assert network.head.weight.dtype == torch.bfloat16


def test_parameters_keep_identity_order_storage_and_hooks(network: Network) -> None:
    calls: list[str] = []
    network.head.register_forward_pre_hook(lambda *_: calls.append("pre"))
    network.head.weight.register_hook(lambda gradient: calls.append("gradient"))
    before = [(name, id(p), p.data_ptr(), p.requires_grad) for name, p in network.named_parameters()]
    targets = masks.find_targets(network)
    masks.grow(targets, random_scores(targets), 0.5, "layer")
    assert [(name, id(p), p.data_ptr(), p.requires_grad) for name, p in network.named_parameters()] == before
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    assert calls == ["pre", "gradient"]


def test_apply_and_mask_gradients_zero_what_is_pruned_alone(network: Network) -> None:
    targets = masks.find_targets(network)
    masks.grow(targets, random_scores(targets), 0.5, "network")
    mask = targets[2].mask
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    gradient, weight = network.head.weight.grad.clone(), network.head.weight.detach().clone()
    with torch.no_grad():
        network.head.weight += 1
    masks.apply(targets)
    masks.mask_gradients(targets)
    assert torch.equal(network.head.weight, (weight + 1) * mask)
    assert torch.equal(network.head.weight.grad, gradient * mask)
    assert gradient[~mask].abs().sum() > 0


def test_zeros_are_counted_from_the_weights(network: Network) -> None:
    targets = masks.find_targets(network)
    network.head.weight.data.zero_()
    network.encoder[0].weight.data.fill_(-0.0)
    assert masks.count_zeros(targets) == (480 + 216, 1128)
    assert masks.sparsity(targets) == pytest.approx(696 / 1128)


# ------------------------------------------------------------------------------------------------ storing masks


@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (9,), (3, 5, 2, 2), (0,)])
def test_packing_keeps_every_bit(shape: tuple[int, ...]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) > 0.5
    packed = masks.pack(mask)
    assert packed.dtype == torch.uint8
    assert packed.shape == ((mask.numel() + 7) // 8,)
    assert torch.equal(masks.unpack(packed, shape), mask)


def test_packing_is_by_logical_order_not_by_memory() -> None:
    mask = torch.rand(4, 3, 2, 2) > 0.5
    assert torch.equal(masks.pack(mask.to(memory_format=torch.channels_last)), masks.pack(mask))
    assert masks.pack(torch.tensor([True] + [False] * 8)).tolist() == [128, 0]


def test_a_packed_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \[4, 4\] is torch.uint8 \[2\], not torch.uint8 \[3\]"):
        masks.unpack(torch.zeros(3, dtype=torch.uint8), (4, 4))
