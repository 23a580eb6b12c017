"""What decoding makes of the modes that image files come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_images import pixels
from numpy.typing import NDArray
from PIL import Image

from prunekit import ImageShape, InputError
from prunekit.plugins.datasets._decoding import Decoder, channels_of

ALPHA = np.array([[0, 255], [51, 102]], np.uint8)


def decoded(path: Path, channels: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        height, width = size or (image.height, image.width)
    decoder = Decoder(path.parent, ImageShape(channels, height, width), size is not None, True, path.name, False)
    (block,) = decoder.blocks([path.name])
    assert block.shape == (1, channels, height, width)
    return block[0]


def saved(folder: Path, image: Image.Image, suffix: str = "png", **options: object) -> Path:
    path = folder / f"image.{suffix}"
    image.save(path, **options)
    return path


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    colours = pixels(1, (2, 2, 3))
    image = Image.fromarray(np.concatenate([colours, ALPHA[..., None]], axis=2))
    expected = 255 + (colours.astype(float) - 255) * ALPHA[..., None] / 255
    np.testing.assert_allclose(decoded(saved(tmp_path, image), 3).transpose(1, 2, 0), expected, atol=1)


def test_grey_with_transparency_is_grey_over_white(tmp_path: Path) -> None:
    grey = pixels(2, (2, 2))
    path = saved(tmp_path, Image.merge("LA", [Image.fromarray(grey), Image.fromarray(ALPHA)]))
    assert channels_of(Image.open(path)) == 1
    np.testing.assert_allclose(decoded(path, 1)[0], 255 + (grey.astype(float) - 255) * ALPHA / 255, atol=1)


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    path = saved(tmp_path, image, transparency=2)
    assert channels_of(Image.open(path)) == 3
    expected = [[(10, 20, 30), (40, 50, 60)], [(255, 255, 255), (40, 50, 60)]]
    np.testing.assert_array_equal(decoded(path, 3).transpose(1, 2, 0), expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_become_their_upper_eight(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256], [511, 40000, 65535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), suffix)
    assert channels_of(Image.open(path)) == 1
    np.testing.assert_array_equal(decoded(path, 1)[0], values // 256)


def test_black_and_white_is_grey(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.array([[True, False]])))
    np.testing.assert_array_equal(decoded(path, 1)[0], [[255, 0]])


def test_the_colours_of_print_become_those_of_a_screen(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "tif")
    np.testing.assert_array_equal(decoded(path, 3)[:, 0, 0], (255, 0, 0))


def test_colours_become_grey_by_their_luma(tmp_path: Path) -> None:
    colours = pixels(3, (4, 4, 3))
    grey = decoded(saved(tmp_path, Image.fromarray(colours)), 1)[0]
    np.testing.assert_allclose(grey, colours @ np.array([0.299, 0.587, 0.114]), atol=1)


def test_of_an_animation_the_first_picture_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (30, 220)]
    path = saved(tmp_path, frames[0], "gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(path, 3), 30)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.zeros((2, 2), np.float32)), "tif")
    with pytest.raises(InputError, match="its pixels are floating-point numbers"):
        decoded(path, 1)


def test_a_large_photograph_that_is_decoded_at_a_part_of_its_size_looks_the_same(tmp_path: Path) -> None:
    y, x = np.mgrid[:240, :320]
    waves = 128 + 60 * np.sin(x / 25) + 60 * np.cos(y / 30)
    path = saved(tmp_path, Image.fromarray(waves.astype(np.uint8)), "jpg", quality=95)
    blocks = waves[:, 40:280].reshape(16, 15, 16, 15).mean(axis=(1, 3))  # plain means of the centre crop
    np.testing.assert_allclose(decoded(path, 1, (16, 16))[0], blocks, atol=4)


def test_many_images_come_back_in_their_order(tmp_path: Path) -> None:
    names = []
    for i in range(600):
        Image.fromarray(np.full((1, 1), i % 251, np.uint8)).save(tmp_path / f"{i}.png")
        names.append(f"{i}.png")
    decoder = Decoder(tmp_path, ImageShape(1, 1, 1), False, False, names[0], False)
    blocks = list(decoder.blocks(names))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks).ravel(), np.arange(600) % 251)
