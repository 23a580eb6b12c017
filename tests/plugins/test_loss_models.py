"""lm, qm and obd: the formula, and masks weight for weight through 14 rounds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit import Batch, Criterion, InputError, PruningContext, prune
from prunekit.masks import find_targets, grow
from prunekit.plugins.criteria.lm import LinearModel
from prunekit.plugins.criteria.magnitude import Magnitude
from prunekit.plugins.criteria.obd import OptimalBrainDamage
from prunekit.plugins.criteria.qm import QuadraticModel

CRITERIA: dict[str, type[Criterion]] = {
    "lm": LinearModel,
    "qm": QuadraticModel,
    "obd": OptimalBrainDamage,
    "magnitude": Magnitude,
}
SPARSITY, ROUNDS = 0.956, 14


class Network(nn.Module):
    """Convolutions, BatchNorm, a shortcut and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 10, 3, padding=1)
        self.norm = nn.BatchNorm2d(10)
        self.conv = nn.Conv2d(10, 24, 3, stride=2, padding=1, bias=False)
        self.shortcut = nn.Conv2d(10, 24, 1, stride=2, bias=False)
        self.hidden = nn.Linear(24, 32)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.conv(x) + self.shortcut(x)).mean((2, 3))
        return self.head(self.dropout(torch.tanh(self.hidden(x))))


def trained(dtype: torch.dtype = torch.float64) -> Network:
    """A network whose BatchNorm has seen something, in training mode."""
    torch.manual_seed(1)
    model = Network().to(dtype)
    model(torch.randn(64, 1, 6, 6, dtype=dtype))
    return model.train()


def examples(count: int = 24, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(count, 1, 6, 6, dtype=dtype), torch.randint(0, 4, (count,))


def context(model: nn.Module, data: list[Any] | None) -> PruningContext:
    batches = None if data is None else (lambda: iter(data))
    return PruningContext(model, find_targets(model), torch.Generator(), None, batches)


def in_batches(images: Tensor, labels: Tensor, size: int = 10) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images.split(size), labels.split(size), strict=True))


def slow_scores(model: nn.Module, images: Tensor, labels: Tensor, criterion: str, strength: float) -> NDArray[Any]:
    """Return the scores of all weights, flat, from the gradient of every logit of every example on its own."""
    model = copy.deepcopy(model).eval()
    weights = [p for name, p in model.named_parameters() if p.dim() > 1]
    theta = torch.cat([w.detach().flatten() for w in weights])
    gradient, diagonal = torch.zeros_like(theta), torch.zeros_like(theta)
    for image, label in zip(images, labels, strict=True):
        logits = model(image[None])[0]
        rows = [torch.autograd.grad(each, weights, retain_graph=True) for each in logits]
        jacobian = torch.stack([torch.cat([each.flatten() for each in row]) for row in rows])
        p = logits.detach().softmax(0)
        gradient += (p - F.one_hot(label, 4)) @ jacobian / len(images)
        mean = p @ jacobian
        diagonal += (p @ jacobian**2 - mean**2) / len(images)  # jᵀ (diag(p) − p pᵀ) j
    if criterion == "magnitude":
        return theta.abs().numpy()
    g = 0 if criterion == "obd" else gradient
    d = 0 if criterion == "lm" else diagonal
    return ((-g * theta + d * theta**2 / 2).abs() + strength * theta**2 / 2).numpy()


def slow_masks(model: nn.Module, images: Tensor, labels: Tensor, criterion: str, strength: float) -> Iterator[Tensor]:
    """Prune a copy round by round, sorting all that is left; yield which weights are kept, flat."""
    model = copy.deepcopy(model)
    weights = [p for name, p in model.named_parameters() if p.dim() > 1]
    sizes = [w.numel() for w in weights]
    kept = np.ones(sum(sizes), dtype=bool)
    for j in range(ROUNDS):
        scores = slow_scores(model, images, labels, criterion, strength)
        wanted = round(len(kept) * (1 - (1 - SPARSITY) ** ((j + 1) / ROUNDS)))
        left = np.flatnonzero(kept)
        order = left[np.argsort(scores[left], kind="stable")]  # of equal scores the first one goes
        kept[order[: wanted - int((~kept).sum())]] = False
        for weight, mask in zip(weights, torch.from_numpy(kept).split(sizes), strict=True):
            weight.data.mul_(mask.view_as(weight))
        yield torch.from_numpy(kept.copy())


def made(criterion: str, **options: Any) -> Criterion:
    return CRITERIA[criterion](**({} if criterion == "magnitude" else options))


@pytest.mark.parametrize("strength", [0.0, 0.1])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_masks_are_those_of_the_formula_through_fourteen_rounds(criterion: str, strength: float) -> None:
    model, (images, labels) = trained(), examples()
    ours = made(criterion, examples=24, regularisation=strength)
    pruned = copy.deepcopy(model)
    it = context(pruned, in_batches(images, labels))
    for j, expected in enumerate(slow_masks(model, images, labels, criterion, strength)):
        sparsity = 1 - (1 - SPARSITY) ** ((j + 1) / ROUNDS)
        grow(it.targets, ours.scores(it), sparsity, "network")
        assert torch.equal(torch.cat([target.mask.flatten() for target in it.targets]), expected), f"round {j}"
    assert int(expected.sum()) == len(expected) - round(len(expected) * SPARSITY)


@pytest.mark.filterwarnings("ignore:nothing is left of")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_rounds_through_the_schedule_end_with_the_masks_of_the_formula(criterion: str, dtype: torch.dtype) -> None:
    model, (images, labels) = trained(dtype), examples(dtype=dtype)
    *_, expected = slow_masks(copy.deepcopy(model).double(), images.double(), labels, criterion, 0.01)
    chosen = made(criterion, examples=24, regularisation=0.01)
    prune(
        model, "exponential", rounds=ROUNDS, sparsity=SPARSITY, criterion=chosen, data=in_batches(images, labels),
        loss=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
    )  # fmt: skip
    kept = torch.cat([p.detach().flatten() != 0 for p in model.parameters() if p.dim() > 1])
    assert torch.equal(kept, expected)


@pytest.mark.parametrize("criterion", ["lm", "qm", "obd"])
def test_scores_are_the_formula_of_the_first_examples(criterion: str) -> None:
    model, (images, labels) = trained(), examples()
    few = made(criterion, examples=13, regularisation=0.3)
    got = few.scores(context(model, in_batches(images, labels)))
    expected = slow_scores(model, images[:13], labels[:13], criterion, 0.3)
    assert np.allclose(torch.cat([score.flatten() for score in got.values()]), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("criterion", ["lm", "qm", "obd"])
def test_fewer_examples_than_asked_for_are_all_taken(criterion: str) -> None:
    model, data = trained(), in_batches(*examples())
    every = made(criterion, examples=24).scores(context(model, data))
    more = made(criterion).scores(context(model, data))
    assert all(torch.equal(every[name], more[name]) for name in every)


def test_by_hand() -> None:
    """One example of one feature, two classes: p = σ(1) of the first; g = (p − 1, 1 − p) x, d = p (1 − p) x² twice."""
    model = nn.Linear(1, 2, bias=False).double()
    model.weight.data = torch.tensor([[0.75], [0.25]]).double()
    data = [(torch.tensor([[2.0]]).double(), torch.tensor([0]))]
    p = 1 / (1 + np.exp(-1))
    theta, g, d = np.array([0.75, 0.25]), np.array([p - 1, 1 - p]) * 2, np.array([1, 1]) * p * (1 - p) * 4
    for criterion, expected in {
        "lm": abs(g * theta) + theta**2,
        "obd": d * theta**2 / 2 + theta**2,
        "qm": abs(-g * theta + d * theta**2 / 2) + theta**2,
    }.items():
        scores = made(criterion, regularisation=2.0).scores(context(model, data))["weight"]
        assert np.allclose(scores.numpy()[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("criterion", ["lm", "qm", "obd"])
def test_memory_format_frozen_parameters_and_mode_make_no_difference(criterion: str) -> None:
    model, (images, labels) = trained(), examples()
    expected = made(criterion).scores(context(model, in_batches(images, labels)))
    last = copy.deepcopy(model).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    images = images.contiguous(memory_format=torch.channels_last)
    got = made(criterion).scores(context(last, in_batches(images, labels)))
    for name, score in expected.items():
        assert torch.allclose(got[name], score, rtol=1e-9, atol=1e-13)
        assert not score.requires_grad


@pytest.mark.parametrize("criterion", ["lm", "qm", "obd"])
def test_everything_is_left_as_it_was(criterion: str) -> None:
    model = trained()
    model.conv.requires_grad_(False)
    model.head.weight.grad = marker = torch.ones_like(model.head.weight)
    model.norm.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    data = in_batches(*examples())
    drawn = torch.get_rng_state()
    made(criterion).scores(context(model, data))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.head.weight.grad is marker
    assert all(p.grad is None for p in model.parameters() if p is not model.head.weight)
    assert [p.requires_grad for p in model.parameters()] == [p is not model.conv.weight for p in model.parameters()]
    assert model.training
    assert not model.norm.training
    assert torch.equal(torch.get_rng_state(), drawn)


def test_qm_takes_the_gradient_of_the_loss_that_is_trained_with() -> None:
    model, (images, labels) = trained(), examples()
    it = context(model, in_batches(images, labels))
    it.loss = lambda model, batch: 0 * model(batch[0]).sum()
    without = QuadraticModel().scores(it)
    curvature = OptimalBrainDamage().scores(it)
    assert all(torch.equal(without[name], curvature[name]) for name in without)


def test_obd_needs_no_labels_and_the_others_say_that_they_do() -> None:
    model, (images, labels) = trained(), examples()
    unlabelled: list[Any] = [(each,) for each in images.split(10)]
    labelled = OptimalBrainDamage().scores(context(model, in_batches(images, labels)))
    without = OptimalBrainDamage().scores(context(model, unlabelled))
    assert all(torch.equal(labelled[name], without[name]) for name in labelled)
    for criterion in ("lm", "qm"):
        with pytest.raises(InputError, match="looks at labels, and the data have none"):
            made(criterion).scores(context(model, unlabelled))


@pytest.mark.parametrize("criterion", ["lm", "qm", "obd"])
def test_what_cannot_work_is_refused_in_a_line(criterion: str) -> None:
    for options in ({"regularisation": -1e-9}, {"regularisation": float("inf")}, {"examples": 0}):
        with pytest.raises(ValidationError):
            made(criterion, **options)
    assert made(criterion).needs_data
    with pytest.raises(InputError, match="there are none"):
        made(criterion).scores(context(trained(), None))


def test_outputs_that_are_no_logits_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh())
    images, _ = examples()
    with pytest.raises(InputError, match=r"expected logits .* the model returned \[\d+, 2, 4, 4\]"):
        OptimalBrainDamage().scores(context(model.double(), [Batch(images[None], torch.zeros(24, dtype=torch.int64))]))
