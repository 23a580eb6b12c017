"""Augmented images are distributed as torchvision's: what is drawn, and what comes out.

Samples of both are compared with tests of equal distribution at fixed seeds. A p-value below one in a thousand fails.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, chisquare, ks_2samp, kstest
from torch import Tensor
from torchvision import transforms

from prunekit.plugins.augmentations import _colour as colour
from prunekit.plugins.augmentations import _crops as crops
from prunekit.plugins.augmentations import simclr
from prunekit.plugins.augmentations.crop_flip import CropFlip
from prunekit.plugins.augmentations.simclr import SimClrAugmentation

RARE = 1e-3
DRAWS = 4000


@pytest.fixture(autouse=True)
def same_draws() -> Iterator[None]:
    """Seed torch's global generator, which torchvision draws from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


def uniform(*shape: int) -> Tensor:
    return torch.rand(DRAWS, *shape)


def alike(ours: Tensor | NDArray[np.float64], theirs: Tensor | NDArray[np.float64]) -> bool:
    return bool(ks_2samp(np.asarray(ours), np.asarray(theirs)).pvalue > RARE)


def test_the_comparison_notices_a_difference_that_matters() -> None:
    assert alike(torch.rand(DRAWS), torch.rand(DRAWS))
    assert not alike(torch.rand(DRAWS), torch.rand(DRAWS) ** 1.3)
    assert not alike(torch.rand(DRAWS), torch.rand(DRAWS) + 0.05)


# ------------------------------------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 64)])
def test_boxes(height: int, width: int) -> None:
    scale, ratio, image = [0.2, 1.0], [3 / 4, 4 / 3], torch.empty(3, height, width)
    boxes = crops.draw_boxes(height, width, scale, ratio, uniform)
    drawn = [transforms.RandomResizedCrop.get_params(image, scale, ratio) for _ in range(DRAWS)]
    top, left, tall, wide = np.array(drawn, dtype=np.float64).T
    assert alike(boxes.height * boxes.width, tall * wide)
    assert alike(boxes.width / boxes.height, wide / tall)
    assert alike(boxes.height, tall)
    assert alike(boxes.width, wide)
    for ours, free, theirs, theirs_free in (
        (boxes.top, height - boxes.height, top, height - tall),
        (boxes.left, width - boxes.width, left, width - wide),
    ):
        assert alike(ours, theirs)
        assert alike(ours / free.clamp(min=1), theirs / np.maximum(theirs_free, 1))


def test_factors_and_their_order() -> None:
    strengths = colour.Strengths(0.4, 0.4, 0.4, 0.1)
    jitter = transforms.ColorJitter(*strengths)
    drawn = [
        transforms.ColorJitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        for _ in range(DRAWS)
    ]
    ours = colour.draw_factors(strengths, uniform)
    for column in range(4):
        assert alike(ours[:, column], np.array([each[1 + column] for each in drawn]))
    assert np.abs(np.corrcoef(ours.numpy().T) - np.eye(4)).max() < 0.06, "drawn independently"
    orders = list(itertools.permutations(range(4)))
    for taken in (uniform(4).argsort(dim=1), torch.stack([each[0] for each in drawn])):
        counts = [int((taken == torch.tensor(order)).all(dim=1).sum()) for order in orders]
        assert sum(counts) == DRAWS
        assert chisquare(counts).pvalue > RARE


STILL = {"scale": [1.0, 1.0], "ratio": [1.0, 1.0], "flip": 0.0, "jitter": 0.0, "grayscale": 0.0}
COLOURED = torch.tensor([[0.9, 0.2, 0.1], [0.3, 0.5, 0.8]]).T.reshape(1, 3, 1, 2).repeat(1, 1, 2, 1)
"""Four pixels: red on the left, blue on the right."""


def changed(**options: float) -> Tensor:
    augment = SimClrAugmentation.model_validate({**STILL, **options})
    return augment(COLOURED.expand(DRAWS, 3, 2, 2), torch.Generator().manual_seed(1))


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.8])
def test_flips_greys_and_jitters_are_as_frequent_as_asked(probability: float) -> None:
    flipped = changed(flip=probability)[:, 0, 0, 0] < 0.5
    grey = changed(grayscale=probability)
    grey = (grey[:, 0] == grey[:, 1]).flatten(1).all(dim=1)
    jittered = (changed(jitter=probability) != COLOURED).flatten(1).any(dim=1)
    for happened in (flipped, grey, jittered):
        assert binomtest(int(happened.sum()), DRAWS, probability).pvalue > RARE


def test_every_image_has_draws_of_its_own() -> None:
    brightness = changed(jitter=1.0, brightness=0.1, contrast=0.0, saturation=0.0, hue=0.0)[:, 2, 0, 0] / 0.1
    assert kstest((brightness.numpy() - 0.9) / 0.2, "uniform").pvalue > RARE
    neighbours = np.corrcoef(brightness[:-1], brightness[1:])[0, 1]
    views = np.corrcoef(*brightness.view(2, -1).numpy())[0, 1]
    assert abs(neighbours) < 0.06
    assert abs(views) < 0.08


def test_images_changed_in_parts_are_those_changed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(50, 3, 9, 8)
    at_once = SimClrAugmentation()(images, torch.Generator().manual_seed(1))
    monkeypatch.setattr(simclr, "_CACHED", 7 * images[0].nbytes)
    assert torch.equal(SimClrAugmentation()(images, torch.Generator().manual_seed(1)), at_once)


@pytest.mark.parametrize("padding", [1, 4])
def test_crops_and_flips_are_all_as_likely(padding: int) -> None:
    """Where the one white pixel of an image lands tells the crop; a second, grey one tells the flips."""
    size = 2 * padding + 5
    images = torch.zeros(DRAWS, 1, size, size)
    images[:, :, size // 2, size // 2] = 1.0
    images[:, :, size // 2 + 1, size // 2 + 2] = 0.5
    result = CropFlip(padding=padding, vertical=True)(images, torch.Generator().manual_seed(2))[:, 0]
    white = torch.stack([(result == 1.0).nonzero()[:, axis] for axis in (1, 2)], dim=1)
    grey = torch.stack([(result == 0.5).nonzero()[:, axis] for axis in (1, 2)], dim=1)
    assert len(white) == len(grey) == DRAWS
    upright, unmirrored = (grey - white).T > 0
    cells = (2 * padding + 1) ** 2
    offsets = (white - size // 2 + padding) @ torch.tensor([2 * padding + 1, 1])
    combined = offsets * 4 + 2 * upright + unmirrored
    assert chisquare(np.bincount(offsets, minlength=cells)).pvalue > RARE
    assert chisquare(np.bincount(2 * upright + unmirrored, minlength=4)).pvalue > RARE
    if padding == 1:
        assert chisquare(np.bincount(combined, minlength=4 * cells)).pvalue > RARE


# ---------------------------------------------------------------------------------------------- what comes out


def picture() -> Tensor:
    """One picture of 8-bit colours [3, 32, 32], different in its channels, directions and scales."""
    down, right = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    red, green, blue = 0.2 + 0.7 * right**2, 0.1 + 0.4 * down, 0.3 + 0.2 * torch.sin(9 * right) * down
    return (torch.stack([red, green, blue]) * 255).round() / 255


RELEASED = [
    transforms.ToPILImage(),
    transforms.RandomResizedCrop(32, scale=(0.2, 1.0)),
    transforms.RandomHorizontalFlip(),
    transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
    transforms.RandomGrayscale(p=0.2),
    transforms.ToTensor(),
]
CROP_FLIP = [
    transforms.ToPILImage(),
    transforms.RandomCrop(32, padding=4),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
]


@pytest.mark.parametrize(("augment", "theirs"), [(SimClrAugmentation(), RELEASED), (CropFlip(), CROP_FLIP)])
def test_images_are_distributed_as_those_of_pil_transforms(
    augment: SimClrAugmentation | CropFlip, theirs: list[object]
) -> None:
    images = picture().repeat(2000, 1, 1, 1)
    transform = transforms.Compose(theirs)
    expected = torch.stack([transform(image) for image in images])
    ours = augment(images, torch.Generator().manual_seed(4))
    assert ours.shape == expected.shape
    assert 0 <= ours.min() <= ours.max() <= 1
    for statistic in (
        lambda x: x.mean(dim=(1, 2, 3)),
        lambda x: x.std(dim=(1, 2, 3)),
        lambda x: (x.amax(dim=1) - x.amin(dim=1)).mean(dim=(1, 2)),  # how colourful
        lambda x: (x[:, 0] - x[:, 1]).mean(dim=(1, 2)),
        lambda x: (x[:, 1] - x[:, 2]).mean(dim=(1, 2)),
        lambda x: (x[:, :, :, -1] - x[:, :, :, 0]).mean(dim=(1, 2)),  # left against right: how wide, which way
        lambda x: (x[:, :, -1] - x[:, :, 0]).mean(dim=(1, 2)),  # how tall
        lambda x: (
            (x[..., 8:] - x[..., :-8]).abs().mean(dim=(1, 2, 3))
            / (x[..., 8:, :] - x[..., :-8, :]).abs().mean(dim=(1, 2, 3))
        ),  # how slender
        lambda x: x[:, 0, 0, 0],
        lambda x: x[:, 1, 16, 16],
    ):
        assert alike(statistic(ours), statistic(expected))
    shares = [torch.stack([each.histc(16, 0, 1) for each in images]) / images[0].numel() for images in (ours, expected)]
    error = ((shares[0].var(dim=0) + shares[1].var(dim=0)) / len(images)).sqrt()
    assert ((shares[0].mean(dim=0) - shares[1].mean(dim=0)).abs() <= 4 * error).all(), "the histogram of all pixels"
