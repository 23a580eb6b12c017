"""What every registered augmentation must keep to."""

import pytest
import torch
from torch import Tensor

from prunekit import Augmentation
from prunekit.registry import registry

NAMES = registry.names("augmentation")
SHAPES = [(5, 1, 8, 8), (3, 3, 9, 12), (1, 3, 32, 32)]


def make(name: str) -> Augmentation:
    augmentation = registry.find("augmentation", name)[0].plugin.model_validate({})
    assert isinstance(augmentation, Augmentation)
    return augmentation


def random_images(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_type_and_range_stay(name: str, shape: tuple[int, ...]) -> None:
    for images in (random_images(shape), torch.zeros(shape), torch.ones(shape)):
        result = make(name)(images, seeded(1))
        assert result.shape == images.shape
        assert result.dtype == torch.float32
        assert bool(((result >= -1e-6) & (result <= 1 + 1e-6)).all())


@pytest.mark.parametrize("name", NAMES)
def test_the_images_given_are_not_changed(name: str) -> None:
    images = random_images(SHAPES[1])
    make(name)(images, seeded(1))
    assert torch.equal(images, random_images(SHAPES[1]))


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_alone_decides(name: str) -> None:
    augmentation, images = make(name), random_images(SHAPES[2])
    before = torch.get_rng_state()
    first = augmentation(images, seeded(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(augmentation(images, seeded(1)), first)
    assert torch.equal(augmentation(images, seeded(2)), first) is not augmentation.random


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_drawn_for_each_sample(name: str) -> None:
    augmentation = make(name)
    copies = random_images((1, 3, 32, 32)).expand(8, -1, -1, -1)
    results = augmentation(copies, seeded(1))
    distinct = {result.numpy().tobytes() for result in results}
    assert len(distinct) == (8 if augmentation.random else 1)
