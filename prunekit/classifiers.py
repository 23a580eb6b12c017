"""Classifiers that were made elsewhere: taken apart into an encoder and a linear head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunekit.errors import InputError
from prunekit.images import ImageShape
from prunekit.state import evaluating


def split_classifier(classifier: nn.Module, images: ImageShape) -> tuple[nn.Module, nn.Linear]:
    """Return ``classifier`` without its last linear layer, and that layer; images [B, C, H, W] → [B, D] → [B, classes].

    The head is the linear layer whose output is the classifier's, or of which that is the softmax or its logarithm: the
    logits say the same. The classifier is changed in place: its head is taken out of it.
    Raises InputError where no linear layer has the last word.
    """
    probe = torch.rand(2, images.channels, images.height, images.width, generator=torch.Generator().manual_seed(0))
    calls: list[tuple[str, nn.Linear, Tensor, Tensor]] = []

    def record(name: str) -> object:
        def hook(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls.append((name, layer, inputs[0], output))

        return hook

    layers = [(name, layer) for name, layer in classifier.named_modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(record(name)) for name, layer in layers]  # type: ignore[arg-type]
    try:
        with torch.no_grad(), evaluating(classifier):
            said = classifier(probe)
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer, inputs, output in reversed(calls):
        if isinstance(said, Tensor) and inputs.ndim == 2 and _says(output, said):
            return _without(classifier, name, softened=not torch.equal(said, output)), layer
    kind = f"a tensor of shape {list(said.shape)}" if isinstance(said, Tensor) else f"a {type(said).__name__}"
    raise InputError(
        f"{type(classifier).__name__} returns {kind} that none of its torch.nn.Linear layers gives: expected logits "
        "[images, classes] of a linear layer (write its predictions to files and name these: `predictions:`)"
    )


def _says(output: Tensor, said: Tensor) -> bool:
    """Return whether ``said`` is the output of a layer, its softmax or the logarithm of that."""
    return output.shape == said.shape and any(
        torch.equal(said, each) for each in (output, F.log_softmax(output, dim=1), F.softmax(output, dim=1))
    )


def _without(classifier: nn.Module, head: str, softened: bool) -> nn.Module:
    """Return what comes before ``head``; where a softmax follows it, that must not touch the features."""
    if not head:
        return nn.Identity()
    parent, _, name = head.rpartition(".")
    tap = _Tap() if softened else nn.Identity()
    setattr(classifier.get_submodule(parent), name, tap)
    return _Tapped(classifier, tap) if isinstance(tap, _Tap) else classifier


class _Tap(nn.Module):
    """Stands where the head was and holds what it was given."""

    held: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        self.held = features
        return features


class _Tapped(nn.Module):
    """A classifier that returns what its head is given, whatever it makes of the logits afterwards."""

    def __init__(self, classifier: nn.Module, tap: _Tap) -> None:
        super().__init__()
        self.classifier = classifier
        self.tap = tap

    def forward(self, images: Tensor) -> Tensor:
        self.classifier(images)
        features, self.tap.held = self.tap.held, None
        assert features is not None
        return features
