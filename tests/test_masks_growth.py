"""How masks grow: against numpy's stable sort, and against torch.nn.utils.prune itself."""

import copy
import math

import numpy as np
import pytest
import torch
from helpers_masks import Network, flat, random_scores
from torch import nn
from torch.nn.utils import prune

from prunekit import masks
from prunekit.errors import InputError
from prunekit.protocols import TargetSelection


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network()


def kept_by_sorting(scores: np.ndarray, pruned_before: np.ndarray, count: int) -> np.ndarray:
    """Keep all but ``count`` weights: those pruned before, then by score, equal ones in order."""
    order = np.argsort(np.where(pruned_before, -1, 0), kind="stable")
    rest = order[pruned_before.sum() :]
    order = np.concatenate([order[: pruned_before.sum()], rest[np.argsort(scores[rest], kind="stable")]])
    kept = np.ones(len(scores), bool)
    kept[order[: max(count, int(pruned_before.sum()))]] = False
    return kept


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 1 - 1 / 1128])
def test_network_masks_equal_a_stable_sort(network: Network, sparsity: float) -> None:
    targets = masks.find_targets(network)
    scores = random_scores(targets)
    total = 8 * 3 * 9 + 6 * 8 * 9 + 5 * 96
    assert total == 1128
    masks.grow(targets, scores, sparsity, "network")
    expected = kept_by_sorting(flat(list(scores.values())), np.zeros(total, bool), round(total * sparsity))
    np.testing.assert_array_equal(flat([t.mask for t in targets]), expected)
    np.testing.assert_array_equal(flat([t.parameter for t in targets]) != 0, expected)


def test_layer_masks_equal_a_stable_sort_of_every_layer(network: Network) -> None:
    targets = masks.find_targets(network)
    scores = random_scores(targets)
    masks.grow(targets, scores, 0.777, "layer")
    for target in targets:
        total = target.mask.numel()
        expected = kept_by_sorting(flat([scores[target.name]]), np.zeros(total, bool), round(total * 0.777))
        np.testing.assert_array_equal(flat([target.mask]), expected)


def test_a_layers_weights_and_biases_are_ranked_together(network: Network) -> None:
    targets = masks.find_targets(network, TargetSelection(modules=["linear"], parameters=["weight", "bias"]))
    scores = {"head.weight": torch.zeros(5, 96), "head.bias": -torch.ones(5)}
    masks.grow(targets, scores, 7 / 485, "layer")
    assert not targets[1].mask.any()  # all five biases, then two weights
    assert masks.count_zeros(targets) == (7, 485)


LARGE = 200_003  # more weights than are sampled, and no multiple of anything


@pytest.mark.parametrize("sparsity", [0.001, 0.3, 133_335 / LARGE, 0.9, 1 - 1 / LARGE])
@pytest.mark.parametrize(
    "values",
    {
        "normal": lambda i: np.random.default_rng(0).normal(size=LARGE),
        "rising": lambda i: i - 7.0,
        "periodic, against every stride of two to four": lambda i: i % 12 - i / LARGE,
        "a few values": lambda i: np.random.default_rng(0).integers(5, size=LARGE) - 2.0,
        "all the same": lambda i: np.zeros(LARGE),
        "one outlier": lambda i: np.where(i == 77_777, -1e30, 1.0),
        "lowest where no sample looks": lambda i: np.where(i % 3 == 0, 1.0, 0.0),
        "infinite": lambda i: np.where(i % 3 == 0, -np.inf, np.where(i % 3 == 1, np.inf, i)),
    }.items(),
    ids=lambda item: item[0],
)
def test_masks_of_many_weights_equal_a_stable_sort(values, sparsity: float) -> None:
    model = nn.Linear(LARGE, 1, bias=False)
    scores = values[1](np.arange(LARGE)).astype(np.float32)
    targets = masks.find_targets(model)
    masks.grow(targets, {"weight": torch.from_numpy(scores)[None]}, sparsity, "network")
    expected = kept_by_sorting(scores, np.zeros(LARGE, bool), round(LARGE * sparsity))
    np.testing.assert_array_equal(flat([targets[0].mask]), expected)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_many_weights_pruned_in_a_pattern_are_pruned_further_exactly(offset: int) -> None:
    model = nn.Linear(LARGE, 1, bias=False)
    left = torch.arange(LARGE)[None] % 3 == offset  # a third is left, at places that a sample may miss
    targets = masks.find_targets(model, masks={"weight": left})
    scores = torch.randn(1, LARGE, generator=torch.Generator().manual_seed(0))
    masks.grow(targets, {"weight": scores}, 0.9, "network")
    expected = kept_by_sorting(scores[0].numpy(), ~left[0].numpy(), round(LARGE * 0.9))
    np.testing.assert_array_equal(flat([targets[0].mask]), expected)


@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_the_mask_is_the_one_of_global_unstructured_where_nothing_is_tied(network: Network, sparsity: float) -> None:
    for parameter in network.parameters():  # distinct magnitudes
        parameter.data = (torch.randperm(parameter.numel()) + 1.0).view_as(parameter) * parameter.numel() ** -0.5
    theirs = copy.deepcopy(network)
    layers = [(theirs.encoder[0], "weight"), (theirs.encoder[3], "weight"), (theirs.head, "weight")]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=round(1128 * sparsity))
    targets = masks.find_targets(network)
    masks.grow(targets, {t.name: t.parameter.abs() for t in targets}, sparsity, "network")
    for target, (module, _) in zip(targets, layers, strict=True):
        assert torch.equal(target.mask, module.weight_mask.bool())
        assert torch.equal(target.parameter, module.weight)


def test_of_equal_scores_the_first_go_first(network: Network) -> None:
    targets = masks.find_targets(network)
    masks.grow(targets, {t.name: torch.ones(t.mask.shape) for t in targets}, 0.5, "network")
    np.testing.assert_array_equal(flat([t.mask for t in targets]), np.arange(1128) >= 564)


def test_ties_at_the_threshold_are_cut_exactly() -> None:
    model = nn.Linear(5, 2)
    targets = masks.find_targets(model)
    masks.grow(targets, {"weight": torch.tensor([[3.0, 1, 2, 2, 0], [2, 2, 5, 2, 4]])}, 0.4, "network")
    assert targets[0].mask.int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]


def test_signed_tiny_and_infinite_scores_are_ranked_as_they_are() -> None:
    model = nn.Linear(8, 1)
    targets = masks.find_targets(model)
    scores = [-3.0, 2.0, 1e-44, -1e-44, 0.0, float("inf"), -float("inf"), -1e30]
    masks.grow(targets, {"weight": torch.tensor([scores])}, 0.5, "network")
    assert targets[0].mask.int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0]]
    masks.grow(targets, {"weight": torch.tensor([scores])}, 7 / 8, "network")
    assert targets[0].mask.int().tolist() == [[0, 0, 0, 0, 0, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_scores_of_any_type_keep_their_order(dtype: torch.dtype) -> None:
    model = nn.Linear(4, 1)
    targets = masks.find_targets(model)
    step = 1 if dtype == torch.int64 else torch.finfo(dtype).eps
    scores = torch.tensor([[1, 1, 1, 1]]).to(dtype) + torch.tensor([[3, 1, 0, 2]]).to(dtype) * step
    masks.grow(targets, {"weight": scores}, 0.5, "network")
    assert targets[0].mask.int().tolist() == [[1, 0, 0, 1]]


def test_scores_of_different_types_are_compared_by_value() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.Linear(2, 1))
    targets = masks.find_targets(model)
    scores = {"0.weight": torch.tensor([[1.5, 3]]).bfloat16(), "1.weight": torch.tensor([[2.0, 1.0]]).double()}
    masks.grow(targets, scores, 0.5, "network")
    assert flat([t.mask for t in targets]).tolist() == [False, True, True, False]


@pytest.mark.parametrize("within", ["network", "layer"])
def test_pruned_weights_count_and_never_return(network: Network, within: str) -> None:
    targets = masks.find_targets(network)
    before = np.zeros(1128, bool)
    for step, sparsity in enumerate([0.2, 0.2, 0.5, 0.9]):
        scores = random_scores(targets, seed=step)  # another order every time
        masks.grow(targets, scores, sparsity, within)
        after = ~flat([t.mask for t in targets])
        assert after[before].all()
        if within == "network":
            expected = kept_by_sorting(flat(list(scores.values())), before, round(1128 * sparsity))
            np.testing.assert_array_equal(~after, expected)
        before = after
        if within == "layer":
            assert [int((~t.mask).sum()) for t in targets] == [round(t.mask.numel() * sparsity) for t in targets]


def test_a_sparser_network_stays_as_it_is(network: Network) -> None:
    targets = masks.find_targets(network)
    masks.grow(targets, random_scores(targets), 0.8, "network")
    before = [t.mask.clone() for t in targets]
    masks.grow(targets, random_scores(targets, seed=2), 0.3, "network")
    assert all(torch.equal(t.mask, mask) for t, mask in zip(targets, before, strict=True))


def test_within_layers_a_sparser_layer_stays_and_the_others_grow(network: Network) -> None:
    targets = masks.find_targets(network, masks={"head.weight": torch.arange(480).view(5, 96) >= 400})
    masks.grow(targets, random_scores(targets), 0.5, "layer")
    assert [int((~t.mask).sum()) for t in targets] == [108, 216, 400]


def test_zeros_that_were_never_pruned_do_not_count_as_pruned() -> None:
    model = nn.Linear(4, 1)
    model.weight.data = torch.tensor([[0.0, 0.0, 5.0, 1.0]])
    targets = masks.find_targets(model)
    masks.grow(targets, {"weight": torch.tensor([[9.0, 8, 1, 2]])}, 0.5, "network")
    assert targets[0].mask.int().tolist() == [[1, 1, 0, 0]]
    assert masks.count_zeros(targets) == (4, 4)


def test_forty_updates_leave_one_bool_mask_and_no_trace_in_the_modules(network: Network) -> None:
    targets = masks.find_targets(network)
    for i in range(1, 41):
        masks.grow(targets, random_scores(targets, seed=i), 0.9 * i / 40, "network")
    assert masks.count_zeros(targets) == (round(1128 * 0.9), 1128)
    assert all(t.mask.dtype == torch.bool for t in targets)
    assert all(not m._forward_pre_hooks for m in network.modules())
    assert set(network.state_dict()) == set(Network().state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.weight"), r"no scores for head\.weight"),
        (lambda s: s.update({"head.weight": torch.zeros(96, 5)}), r"\[96, 5\] for head\.weight: expected \[5, 96\]"),
        (lambda s: s["head.weight"].fill_(float("nan")), r"NaN.* for head\.weight"),
    ],
)
def test_bad_scores_are_refused_and_change_nothing(network: Network, change, message: str) -> None:
    targets = masks.find_targets(network)
    scores = random_scores(targets)
    change(scores)
    before = [t.parameter.clone() for t in targets]
    with pytest.raises(InputError, match=message):
        masks.grow(targets, scores, 0.5, "layer")
    assert all(t.mask.all() for t in targets)
    assert all(torch.equal(t.parameter, w) for t, w in zip(targets, before, strict=True))


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), 2.0])
def test_an_impossible_sparsity_is_refused(network: Network, sparsity: float) -> None:
    targets = masks.find_targets(network)
    with pytest.raises(InputError, match="expected at least 0 and less than 1"):
        masks.grow(targets, random_scores(targets), sparsity, "network")


ROWS = {
    "linear": (nn.Linear(7, 4), [[r * 7 + c for c in range(7)] for r in range(4)]),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), [[r * 18 + c for c in range(18)] for r in range(6)]),
    # [inputs 4, outputs of a group 3, 2]: output o of group g meets inputs 2g and 2g + 1
    "transposed": (
        nn.ConvTranspose1d(4, 6, 2, groups=2),
        [[(2 * g + i) * 6 + o * 2 + k for i in range(2) for k in range(2)] for g in range(2) for o in range(3)],
    ),
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.99])
def test_row_masks_equal_a_stable_sort_of_every_output(kind: str, sparsity: float) -> None:
    module, rows = ROWS[kind]
    targets = masks.find_targets(copy.deepcopy(module))
    generator = np.random.default_rng(0)
    scores = generator.integers(-3, 3, targets[0].mask.numel()).astype(np.float32)  # many are equal
    scores[rows[0][0]] = -np.inf
    before = generator.random(len(scores)) < 0.2
    targets[0].mask &= torch.from_numpy(~before).view(targets[0].mask.shape)
    masks.grow(targets, {"weight": torch.from_numpy(scores).view(targets[0].mask.shape)}, sparsity, "row")
    kept = flat([targets[0].mask])
    for row in rows:
        expected = kept_by_sorting(scores[row], before[row], math.floor(len(row) * sparsity + 1e-9))
        np.testing.assert_array_equal(kept[row], expected)


@pytest.mark.parametrize("sparsity", [0.9, 0.945, 0.98, 0.999])
def test_no_row_is_emptied_however_short(sparsity: float) -> None:
    targets = masks.find_targets(nn.Conv2d(1, 16, 3))
    masks.grow(targets, random_scores(targets), sparsity, "row")
    assert all(row.any() for row in targets[0].mask)


def test_a_whole_number_of_weights_is_not_rounded_down() -> None:
    targets = masks.find_targets(nn.Linear(100, 3))
    masks.grow(targets, random_scores(targets), 0.29, "row")  # 0.29 · 100 is 28.999… in floating point
    assert masks.count_zeros(targets)[0] == 3 * 29


def test_all_biases_of_a_layer_are_one_row() -> None:
    targets = masks.find_targets(nn.Linear(3, 4), TargetSelection(parameters=["bias"]))
    masks.grow(targets, {"bias": torch.tensor([3.0, 1.0, 2.0, 4.0])}, 0.5, "row")
    assert targets[0].mask.tolist() == [True, False, False, True]


@pytest.mark.parametrize("within", ["network", "layer", "row"])
def test_growing_returns_the_squares_of_what_it_set_to_zero(network: Network, within: str) -> None:
    targets = masks.find_targets(network)
    before = flat([t.parameter for t in targets]).astype(np.float64)
    scores = random_scores(targets)
    first = masks.grow(targets, scores, 0.3, within)  # type: ignore[arg-type]
    middle = flat([t.parameter for t in targets]).astype(np.float64)
    assert first == pytest.approx(((before - middle) ** 2).sum())
    second = masks.grow(targets, scores, 0.8, within)  # type: ignore[arg-type]
    assert second == pytest.approx(((middle - flat([t.parameter for t in targets])) ** 2).sum())
    assert masks.grow(targets, scores, 0.5, within) == 0  # type: ignore[arg-type]
