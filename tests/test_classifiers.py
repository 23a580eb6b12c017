"""Classifiers that were made elsewhere, as an encoder and a linear head that say the same."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from prunekit import InputError, split_classifier
from prunekit.images import ImageShape

SHAPE = ImageShape(3, 32, 32)
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Ends(nn.Module):
    """A classifier with something behind its last linear layer."""

    def __init__(self, end) -> None:
        super().__init__()
        self.hidden, self.out, self.end = nn.Linear(3 * 32 * 32, 6), nn.Linear(6, 5), end

    def forward(self, images):
        return self.end(self.out(F.relu(self.hidden(images.flatten(1)))))


@pytest.mark.parametrize(
    ("build", "head"),
    [
        (lambda: torchvision.models.resnet18(num_classes=7), "fc"),
        (lambda: torchvision.models.mobilenet_v3_small(num_classes=7), "classifier.3"),
        (lambda: torchvision.models.VisionTransformer(32, 16, 1, 2, 16, 16, num_classes=7), "heads.head"),
        (lambda: timm.create_model("resnet10t", num_classes=7), "fc"),
        (lambda: timm.create_model("convnext_atto", num_classes=7), "head.fc"),
        (lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=7), "head"),
    ],
)
def test_encoder_and_head_say_what_the_classifier_said(build, head):
    classifier = build().eval()
    whole, expected = copy.deepcopy(classifier), classifier.get_submodule(head)
    encoder, found = split_classifier(classifier, SHAPE)
    assert found is expected
    with torch.no_grad():
        torch.testing.assert_close(found(encoder(IMAGES)), whole(IMAGES), rtol=0, atol=0)


@pytest.mark.parametrize("end", [nn.LogSoftmax(dim=1), nn.Softmax(dim=1)])
def test_a_softmax_at_the_end_is_no_part_of_the_logits(end):
    classifier = Ends(end).eval()
    whole = copy.deepcopy(classifier)
    encoder, head = split_classifier(classifier, SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(end(head(encoder(IMAGES))), whole(IMAGES))
    copy.deepcopy(encoder)  # as estimates of memory do


def test_gradients_reach_the_encoder_through_a_softmax():
    encoder, head = split_classifier(Ends(nn.LogSoftmax(dim=1)), SHAPE)
    head(encoder(IMAGES)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_a_linear_layer_alone_is_its_own_head():
    class Flat(nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1))

    with pytest.raises(InputError, match="Flat returns a tensor of shape"):
        split_classifier(Flat(3 * 32 * 32, 5), SHAPE)
    encoder, head = split_classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5)), SHAPE)
    assert head(encoder(IMAGES)).shape == (4, 5)


def test_modes_are_left_as_they_are_and_no_statistics_are_changed():
    classifier = torchvision.models.resnet18(num_classes=3).train()
    before = copy.deepcopy(classifier.bn1.state_dict())
    encoder, _ = split_classifier(classifier, SHAPE)
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.bn1.state_dict().items())


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (
            torchvision.models.squeezenet1_0(num_classes=5),
            r"SqueezeNet returns a tensor of shape \[2, 5\] that none of",
        ),
        (Ends(lambda logits: logits * 2), r"Ends returns a tensor of shape \[2, 5\] that none of its torch.nn.Linear"),
        (Ends(lambda logits: (logits, logits)), "Ends returns a tuple that none of its torch.nn.Linear layers gives"),
    ],
)
def test_logits_that_no_linear_layer_gives_are_refused(classifier, message):
    with pytest.raises(InputError, match=message):
        split_classifier(classifier, SHAPE)
