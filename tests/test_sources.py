"""A frozen encoder sees an image again only where the image has changed, and remembers nothing for a backward pass."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from helpers_training import DATA, Encoder, new_network, stage

from prunekit.images import Batch
from prunekit.protocols import Objective
from prunekit.sources import FrozenFeatures
from prunekit.stages import TrainStage


class TwoViews(Objective):
    """Wants two views of every image; its loss is of no interest."""

    name: ClassVar[str] = "two_views"
    views: ClassVar[int] = 2

    def loss(self, network: object, batch: Batch) -> torch.Tensor:
        raise NotImplementedError


def features_of(options: TrainStage) -> tuple[FrozenFeatures, Encoder]:
    encoder = new_network().encoder
    assert isinstance(encoder, Encoder)
    return FrozenFeatures(DATA, options, encoder), encoder


def epoch(features: FrozenFeatures, seed: int = 0) -> list[Batch]:
    return list(features.epoch(torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)))


def test_unchanged_images_are_encoded_once_for_all_views_and_epochs() -> None:
    features, encoder = features_of(stage(batch_size=8).model_copy(update={"objective": TwoViews()}))
    for seed in range(3):
        for batch in epoch(features, seed):
            assert batch.images.shape[::2] == (2, 6)
            assert torch.equal(batch.images[0], batch.images[1])
        list(features.plain("validation"))
    assert encoder.calls == 2, "22 training and 12 validation images, each in one pass"


def test_features_follow_their_labels() -> None:
    features, encoder = features_of(stage(batch_size=5))
    [whole] = DATA.batches("train")
    with torch.no_grad():
        known = encoder.eval()(whole.images[0])
    for batch in epoch(features):
        for feature, label in zip(batch.images[0], batch.labels, strict=True):
            [place] = (known == feature).all(dim=1).nonzero()
            assert whole.labels[place] == label


@pytest.mark.parametrize("augment", ["none", {"name": "crop_flip", "padding": 1}])
def test_nothing_is_remembered_for_a_backward_pass(augment: object) -> None:
    features, encoder = features_of(stage(augment=augment))
    seen = []
    encoder.conv.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    assert not any(batch.images.requires_grad for batch in [*epoch(features), *features.plain("validation")])
    assert seen
    assert not any(seen)


def test_changing_images_are_encoded_as_they_come_and_validation_images_once() -> None:
    features, encoder = features_of(stage(batch_size=8, augment={"name": "crop_flip", "padding": 1}))
    for seed in range(2):
        epoch(features, seed)
        list(features.plain("validation"))
    assert encoder.calls == 2 * 3 + 1
