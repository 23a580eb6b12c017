"""Augmented images, against torchvision's functional operations with the same parameters."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.functional as reference
from pydantic import ValidationError
from torch import Tensor
from torchvision.transforms import InterpolationMode

from prunekit.plugins.augmentations import _colour as colour
from prunekit.plugins.augmentations import _crops as crops
from prunekit.plugins.augmentations.crop_flip import CropFlip
from prunekit.plugins.augmentations.none import NoAugmentation
from prunekit.plugins.augmentations.simclr import SimClrAugmentation


def random_images(count: int, channels: int, height: int, width: int) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(3))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def constant(value: float, count: int) -> Callable[..., Tensor]:
    return lambda *shape: torch.full((count, *shape), value)


def test_none_returns_the_images() -> None:
    images = random_images(2, 3, 5, 5)
    assert NoAugmentation()(images, seeded()) is images


# ---------------------------------------------------------------------------------------------------- crop and flip


@pytest.mark.parametrize(("horizontal", "vertical"), list(itertools.product([False, True], repeat=2)))
def test_every_crop_is_one_of_those_torchvision_can_make(horizontal: bool, vertical: bool) -> None:
    images = random_images(60, 2, 4, 5)
    crop_flip = CropFlip(padding=1, horizontal=horizontal, vertical=vertical)
    seen = set()
    for image, result in zip(images, crop_flip(images, seeded()), strict=True):
        padded = reference.pad(image, [1, 1, 1, 1])
        possible = {}
        for top, left, h, v in itertools.product(range(3), range(3), range(1 + horizontal), range(1 + vertical)):
            view = reference.crop(padded, top, left, 4, 5)
            view = reference.hflip(view) if h else view
            possible[top, left, h, v] = reference.vflip(view) if v else view
        matching = [key for key, view in possible.items() if torch.equal(view, result)]
        assert len(matching) == 1
        seen.add(matching[0])
    for axis, values in enumerate([range(3), range(3), range(1 + horizontal), range(1 + vertical)]):
        assert {key[axis] for key in seen} == set(values)


def test_without_padding_and_flips_nothing_changes() -> None:
    images = random_images(3, 1, 8, 8)
    assert torch.equal(CropFlip(padding=0, horizontal=False)(images, seeded()), images)


def test_flips_and_offsets_are_as_frequent_as_they_should_be() -> None:
    ramp = torch.arange(9.0).view(1, 1, 3, 3).expand(6000, 1, 3, 3) / 8
    flipped = CropFlip(padding=0, horizontal=True)(ramp, seeded())[:, 0, 0, 0] > 0
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.03)
    centre = torch.zeros(6000, 1, 3, 3)
    centre[:, :, 1, 1] = 1
    moved = CropFlip(padding=1, horizontal=False)(centre, seeded()).mean(dim=0)[0]
    torch.testing.assert_close(moved, torch.full((3, 3), 1 / 9), atol=0.015, rtol=0)


# --------------------------------------------------------------------------------------------------- resized crops


@pytest.mark.parametrize(("height", "width", "channels"), [(8, 8, 1), (32, 32, 3), (6, 9, 2)])
def test_a_resized_crop_is_what_torchvision_makes_of_the_box(height: int, width: int, channels: int) -> None:
    generator = seeded(5)
    images = random_images(40, channels, height, width)
    box_height = torch.randint(1, height + 1, (40,), generator=generator)
    box_width = torch.randint(1, width + 1, (40,), generator=generator)
    top = (torch.rand(40, generator=generator) * (height - box_height + 1)).floor()
    left = (torch.rand(40, generator=generator) * (width - box_width + 1)).floor()
    mirror = torch.rand(40, generator=generator) < 0.5
    ours = crops.resized_crop(images, crops.Boxes(top, left, box_height.float(), box_width.float()), mirror)
    for i in range(40):
        box = [int(each[i]) for each in (top, left, box_height, box_width)]
        expected = reference.resized_crop(images[i], *box, [height, width], InterpolationMode.BILINEAR, antialias=True)
        expected = reference.hflip(expected) if mirror[i] else expected
        torch.testing.assert_close(ours[i], expected, atol=1e-6, rtol=0)


def test_a_box_is_drawn_from_area_and_ratio() -> None:
    boxes = crops.draw_boxes(32, 32, [0.25, 0.25], [1.0, 1.0], constant(0.0, 1))
    assert [each.item() for each in (boxes.top, boxes.left, boxes.height, boxes.width)] == [0, 0, 16, 16]
    boxes = crops.draw_boxes(32, 32, [0.25, 0.25], [4.0, 4.0], constant(0.999, 1))
    assert [each.item() for each in (boxes.top, boxes.left, boxes.height, boxes.width)] == [24, 0, 8, 32]


@pytest.mark.parametrize(
    ("size", "ratio", "box"),
    [
        ((10, 100), [0.5, 2.0], (0, 40, 10, 20)),  # too wide: width = 2 · height
        ((100, 10), [0.5, 2.0], (40, 0, 20, 10)),  # too tall: height = width / 0.5
        ((9, 9), [3.0, 4.0], (3, 0, 3, 9)),  # square is too tall for a ratio of 3
    ],
)
def test_where_no_draw_fits_the_central_box_is_taken(
    size: tuple[int, int], ratio: list[float], box: tuple[int, int, int, int]
) -> None:
    boxes = crops.draw_boxes(*size, [1.0, 1.0], ratio, constant(0.5, 2))
    assert [each.tolist() for each in (boxes.top, boxes.left, boxes.height, boxes.width)] == [[v, v] for v in box]


def test_boxes_fit_and_their_areas_and_ratios_are_spread_as_asked() -> None:
    generator = seeded(1)
    boxes = crops.draw_boxes(64, 64, [0.2, 1.0], [3 / 4, 4 / 3], lambda *s: torch.rand(4000, *s, generator=generator))
    assert bool(((boxes.top >= 0) & (boxes.top + boxes.height <= 64)).all())
    assert bool(((boxes.left >= 0) & (boxes.left + boxes.width <= 64)).all())
    share = boxes.height * boxes.width / 64**2
    assert share.min().item() == pytest.approx(0.2, abs=0.02)
    assert share.max().item() > 0.95
    aspect = (boxes.width / boxes.height).log()
    assert aspect.mean().item() == pytest.approx(0.0, abs=0.01)
    assert aspect.abs().max().item() <= math.log(4 / 3) + 0.05


# ---------------------------------------------------------------------------------------------------------- colours

OPERATIONS = [
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
]


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_in_every_order_is_what_torchvision_makes(channels: int) -> None:
    orders = torch.tensor(list(itertools.permutations(range(4))))
    images = random_images(len(orders), channels, 7, 6)
    uniform = torch.rand(len(orders), 4, generator=seeded(2))
    factors = colour.draw_factors(colour.Strengths(0.8, 1.5, 0.6, 0.4), lambda *_: uniform)
    ours = colour.jitter(images, factors, orders)
    for image, result, factor, order in zip(images, ours, factors, orders, strict=True):
        expected = image
        for operation in order.tolist():
            expected = OPERATIONS[operation](expected, float(factor[operation]))
        torch.testing.assert_close(result, expected, atol=2e-6, rtol=0)


def test_factors_lie_around_one_and_never_below_nought() -> None:
    low = colour.draw_factors(colour.Strengths(0.4, 1.5, 0.0, 0.1), constant(0.0, 1))
    high = colour.draw_factors(colour.Strengths(0.4, 1.5, 0.0, 0.1), constant(1.0, 1))
    torch.testing.assert_close(low, torch.tensor([[0.6, 0.0, 1.0, -0.1]]))
    torch.testing.assert_close(high, torch.tensor([[1.4, 2.5, 1.0, 0.1]]))


def test_hue_of_greys_and_primaries() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    grey = torch.full((1, 3, 1, 1), 0.3)
    third = torch.tensor([1 / 3])
    torch.testing.assert_close(colour.adjust_hue(red, third), torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1))
    torch.testing.assert_close(colour.adjust_hue(grey, third), grey)


def test_grey_is_torchvisions() -> None:
    images = random_images(4, 3, 5, 5)
    torch.testing.assert_close(colour.to_grayscale(images), reference.rgb_to_grayscale(images))


# ----------------------------------------------------------------------------------------------------------- simclr

STILL = {"scale": [1.0, 1.0], "ratio": [1.0, 1.0], "flip": 0.0, "jitter": 0.0, "grayscale": 0.0}


def test_simclr_with_everything_off_changes_nothing() -> None:
    images = random_images(5, 3, 8, 8)
    torch.testing.assert_close(SimClrAugmentation.model_validate(STILL)(images, seeded()), images)


def test_simclr_always_flips_where_asked() -> None:
    images = random_images(5, 3, 8, 8)
    flipped = SimClrAugmentation.model_validate({**STILL, "flip": 1.0})(images, seeded())
    torch.testing.assert_close(flipped, images.flip(3))


def test_simclr_turns_a_fifth_of_the_images_grey() -> None:
    images = random_images(3000, 3, 2, 2)
    result = SimClrAugmentation.model_validate({**STILL, "grayscale": 0.2})(images, seeded())
    grey = (result[:, 0] == result[:, 1]).flatten(1).all(dim=1)
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_simclr_jitters_four_fifths_of_the_images_each_with_a_factor_of_its_own() -> None:
    images = torch.full((3000, 1, 1, 1), 0.5)
    result = SimClrAugmentation.model_validate({**STILL, "jitter": 0.8, "contrast": 0.0})(images, seeded()).flatten()
    changed = result[(result - 0.5).abs() > 1e-6]
    assert len(changed) / 3000 == pytest.approx(0.8, abs=0.03)
    assert len(changed.unique()) > 0.99 * len(changed)
    assert changed.min().item() == pytest.approx(0.3, abs=0.01)
    assert changed.max().item() == pytest.approx(0.7, abs=0.01)


def test_simclr_refuses_images_without_a_colour_model() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        SimClrAugmentation()(random_images(2, 4, 8, 8), seeded())


@pytest.mark.parametrize(
    "options",
    [
        {"scale": [0.0, 1.0]},
        {"scale": [0.9, 0.2]},
        {"scale": [0.2, 1.1]},
        {"ratio": [0.5]},
        {"ratio": [1.0, math.inf]},
        {"flip": 1.5},
        {"hue": 0.6},
        {"brightness": -0.1},
    ],
)
def test_simclr_refuses_impossible_options(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SimClrAugmentation.model_validate(options)
