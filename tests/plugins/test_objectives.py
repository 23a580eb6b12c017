"""Losses against double loops over the formula, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from prunekit import Batch
from prunekit.plugins.objectives.cross_entropy import CrossEntropy
from prunekit.plugins.objectives.simclr import SimClr
from prunekit.plugins.objectives.supcon import SupCon, supcon_loss


def unit(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=-1)


def supcon_by_loops(features: Tensor, labels: list[int] | None, temperature: float, base: float) -> float:
    examples, views, _ = features.shape
    z = [(i, features[i, v].tolist()) for i in range(examples) for v in range(views)]
    labelled = list(range(examples)) if labels is None else labels
    total = 0.0
    for i, (own, anchor) in enumerate(z):
        dots = [sum(a * b for a, b in zip(anchor, other, strict=True)) / temperature for _, other in z]
        positives = [j for j, (other, _) in enumerate(z) if j != i and labelled[other] == labelled[own]]
        if positives:
            log_total = math.log(sum(math.exp(dot) for j, dot in enumerate(dots) if j != i))
            total -= sum(dots[p] - log_total for p in positives) / len(positives)
    return temperature / base * total / len(z)


@pytest.mark.parametrize("labels", [None, [0, 1, 0, 2, 1], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize(("temperature", "base"), [(0.5, 0.07), (0.1, 0.1)])
def test_supcon_is_its_formula(labels: list[int] | None, views: int, temperature: float, base: float) -> None:
    features = unit(5, views, 4)
    given = None if labels is None else torch.tensor(labels)
    expected = supcon_by_loops(features, labels, temperature, base)
    assert supcon_loss(features, given, temperature, base).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert supcon_loss(features.float(), given, temperature, base).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_gradient_is_that_of_the_formula() -> None:
    features = unit(4, 2, 3).requires_grad_()
    labels = torch.tensor([0, 0, 1, 2])
    assert torch.autograd.gradcheck(lambda z: supcon_loss(z, labels, 0.2, 0.07), (features,))


@pytest.mark.parametrize("examples", [1, 3])
def test_anchors_without_positives_give_nought_and_no_gradient(examples: int) -> None:
    features = unit(examples, 1, 4).requires_grad_()
    loss = supcon_loss(features, torch.arange(examples), 0.1, 0.07)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_tiny_temperatures_do_not_overflow() -> None:
    features = unit(6, 2, 8).float().requires_grad_()
    loss = supcon_loss(features, torch.tensor([0, 0, 1, 1, 2, 2]), 1e-4, 1e-4)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


def test_under_autocast_the_loss_is_computed_in_float32() -> None:
    features = unit(6, 2, 8).float()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = supcon_loss(features, labels, 0.1, 0.07)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, supcon_loss(features, labels, 0.1, 0.07))


class Fixed:
    """A network that answers with a linear map of the pixels."""

    def logits(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3]

    features = logits

    def projections(self, images: Tensor) -> Tensor:
        return F.normalize(images.flatten(1), dim=1)


def batch(views: int) -> Batch:
    images = torch.randn(views, 4, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Batch(images, torch.tensor([0, 1, 1, 2]))


def test_contrastive_objectives_pair_the_views_of_each_image() -> None:
    data = batch(views=2)
    features = torch.stack([F.normalize(view.flatten(1), dim=1) for view in data.images], dim=1)
    expected = supcon_by_loops(features, [0, 1, 1, 2], 0.5, 0.07)
    assert SupCon().loss(Fixed(), data).item() == pytest.approx(expected)
    expected = supcon_by_loops(features, None, 0.2, 0.2)
    assert SimClr(temperature=0.2).loss(Fixed(), data).item() == pytest.approx(expected)
    assert SupCon.views == SimClr.views == 2
    assert SupCon().projector == SimClr().projector == 128


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_all_views(views: int, smoothing: float) -> None:
    data = batch(views)
    losses = []
    for view in data.images:
        for logits, label in zip(view.flatten(1)[:, :3].tolist(), data.labels.tolist(), strict=True):
            log_total = math.log(sum(map(math.exp, logits)))
            target = [smoothing / 3 + (1 - smoothing) * (c == label) for c in range(3)]
            losses.append(-sum(t * (x - log_total) for t, x in zip(target, logits, strict=True)))
    loss = CrossEntropy(label_smoothing=smoothing).loss(Fixed(), data)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-6)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": math.inf}, {"base_temperature": -1.0}])
def test_supcon_refuses_impossible_temperatures(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SupCon.model_validate(options)
