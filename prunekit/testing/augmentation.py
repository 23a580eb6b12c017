"""What an augmentation keeps to."""

from __future__ import annotations

import torch
from torch import Tensor

from prunekit.protocols import Augmentation
from prunekit.testing.contract import Suite

suite = Suite("augmentation")
SHAPES = ((5, 1, 8, 8), (3, 3, 9, 12), (1, 3, 32, 32))
_ROUNDING = 1e-6


def _images(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=_seeded(0))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@suite.states
def shape_type_and_range_stay(augmentation: Augmentation) -> None:
    """Of grey and colour images of several sizes, of black and white ones, too."""
    for shape in SHAPES:
        for images in (_images(shape), torch.zeros(shape), torch.ones(shape)):
            result = augmentation(images, _seeded(1))
            assert result.shape == images.shape, f"images {list(shape)} become {list(result.shape)}"
            assert result.dtype == torch.float32, f"float32 images become {result.dtype}"
            low, high = float(result.min()), float(result.max())
            assert low >= -_ROUNDING, f"images {list(shape)} reach down to {low:g}: expected at least 0"
            assert high <= 1 + _ROUNDING, f"images {list(shape)} reach up to {high:g}: expected at most 1"


@suite.states
def the_images_given_are_not_changed(augmentation: Augmentation) -> None:
    """They serve the next epoch, too."""
    images = _images(SHAPES[1])
    augmentation(images, _seeded(1))
    assert torch.equal(images, _images(SHAPES[1])), "the images are changed in place"


@suite.states
def the_generator_alone_decides(augmentation: Augmentation) -> None:
    """Torch's own random numbers play no part, and are left alone."""
    images, before = _images(SHAPES[2]), torch.get_rng_state()
    first = augmentation(images, _seeded(1))
    assert torch.equal(torch.get_rng_state(), before), "it draws from torch's global generator"
    assert torch.equal(augmentation(images, _seeded(1)), first), "the same generator gives other images"
    other = not torch.equal(augmentation(images, _seeded(2)), first)
    assert other is augmentation.random, f"`random` is {augmentation.random}, yet another generator says otherwise"


@suite.states
def parameters_are_drawn_for_each_sample(augmentation: Augmentation) -> None:
    """Eight copies of an image become eight images."""
    copies = _images((1, 3, 32, 32)).expand(8, -1, -1, -1)
    distinct = {result.numpy().tobytes() for result in augmentation(copies, _seeded(1))}
    expected = 8 if augmentation.random else 1
    assert len(distinct) == expected, f"8 copies become {len(distinct)} different images: expected {expected}"
