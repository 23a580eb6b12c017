"""Statistics of the training images, batches."""

import numpy as np
import pytest
import torch
from torch import Tensor

from prunekit import Augmentation, data
from prunekit.data import DeviceData, channel_statistics
from prunekit.images import ImageData, Split


class Noisy(Augmentation):
    """Adds a random number to every image, as a stand-in for an augmentation."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images + torch.rand(len(images), 1, 1, 1, generator=generator)


class Plain(Augmentation):
    """Changes nothing."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images


def split(count: int, channels: int = 2, seed: int = 0) -> Split:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, channels, 4, 5), dtype=np.uint8)
    return Split(images, np.arange(count) % 3, tuple(f"{seed}-{i}" for i in range(count)))


def image_data(train: int = 10, validation: int = 4, test: int = 5) -> ImageData:
    return ImageData(("a", "b", "c"), split(train, seed=1), split(validation, seed=2), split(test, seed=3))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -------------------------------------------------------------------------------------------------------- statistics


def test_statistics_are_numpys() -> None:
    images = split(50, channels=3).images
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 2, 3)), rtol=1e-6)


def test_statistics_of_many_images_are_counted_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(1).integers(0, 256, (101, 3, 4, 4), dtype=np.uint8)
    at_once = channel_statistics(images)
    monkeypatch.setattr(data, "_COUNTED_AT_ONCE", 500)
    for one, other in zip(channel_statistics(images), at_once, strict=True):
        assert torch.equal(one, other)


def test_a_constant_channel_is_only_shifted() -> None:
    mean, std = channel_statistics(np.full((3, 1, 2, 2), 51, dtype=np.uint8))
    assert mean.item() == pytest.approx(0.2)
    assert std.item() == 1


def test_only_training_images_count() -> None:
    data, other = image_data(), ImageData(("a", "b", "c"), split(10, seed=1), split(9, seed=7), split(9, seed=8))
    assert torch.equal(DeviceData(data).mean, DeviceData(other).mean)
    plain = torch.cat([batch.images[0] for batch in DeviceData(data).batches("train")])
    torch.testing.assert_close(plain.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(plain.std(dim=(0, 2, 3), correction=0), torch.ones(2))


# ----------------------------------------------------------------------------------------------------------- batches


def test_plain_batches_are_the_normalised_images_in_their_order() -> None:
    data = DeviceData(image_data())
    batches = list(data.batches("test", batch_size=2))
    assert [batch.images.shape for batch in batches] == [(1, 2, 2, 4, 5)] * 2 + [(1, 1, 2, 4, 5)]
    source = image_data().test
    images = torch.cat([batch.images[0] for batch in batches])
    expected = (torch.from_numpy(source.images) / 255 - data.mean) / data.std
    torch.testing.assert_close(images, expected)
    assert torch.cat([batch.labels for batch in batches]).tolist() == source.labels.tolist()


def test_an_empty_part_is_one_empty_batch() -> None:
    data = DeviceData(image_data(validation=0))
    (batch,) = data.batches("validation")
    assert batch.images.shape == (1, 0, 2, 4, 5)
    assert len(batch.labels) == len(data.part("validation")) == 0


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (64, [10])])
def test_an_epoch_shows_every_image_once_with_its_label(batch_size: int, sizes: list[int]) -> None:
    data = DeviceData(image_data())
    batches = list(data.epoch(batch_size, Plain(), 1, seeded(), seeded()))
    assert [len(batch.labels) for batch in batches] == sizes
    assert data.iterations_per_epoch(batch_size) == len(sizes)
    known = {
        image.numpy().tobytes(): int(label)
        for b in data.batches("train")
        for image, label in zip(b.images[0], b.labels, strict=True)
    }
    shown = [
        (image.numpy().tobytes(), int(label))
        for b in batches
        for image, label in zip(b.images[0], b.labels, strict=True)
    ]
    assert dict(shown) == known
    assert len(shown) == len(known) == 10
    assert [name for name, _ in shown] != list(known)  # shuffled


def test_views_are_augmented_independently() -> None:
    (batch,) = DeviceData(image_data()).epoch(10, Noisy(), 3, seeded(), seeded())
    assert batch.images.shape == (3, 10, 2, 4, 5)
    data = DeviceData(image_data())
    (plain,) = data.epoch(10, Plain(), 1, seeded(), seeded())
    noise = ((batch.images - plain.images) * data.std)[:, :, 0, 0, 0]
    assert len(noise.flatten().unique()) == 30
    torch.testing.assert_close(noise.flatten(), torch.rand(30, generator=seeded()), atol=1e-5, rtol=0)


def test_the_generators_alone_decide() -> None:
    data = DeviceData(image_data())

    def epoch(order: int, randomness: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(order * 7 + randomness)  # must not matter
        (batch,) = data.epoch(10, Noisy(), 1, seeded(order), seeded(randomness))
        return batch.images, batch.labels

    images, labels = epoch(0, 0)
    assert torch.equal(images, epoch(0, 0)[0])
    assert not torch.equal(images, epoch(0, 1)[0])
    assert torch.equal(labels, epoch(0, 1)[1])
    assert not torch.equal(labels, epoch(1, 0)[1])


def test_images_come_channels_last_also_when_the_views_are_joined() -> None:
    (batch,) = DeviceData(image_data()).epoch(10, Plain(), 2, seeded(), seeded())
    assert batch.images.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batch.images.flatten(0, 1).data_ptr() == batch.images.data_ptr()
