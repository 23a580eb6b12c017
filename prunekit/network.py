"""A network of encoder, head and, while a contrastive stage lasts, projector; and what it says about a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit import seeds
from prunekit.classifiers import split_classifier
from prunekit.data import DeviceData
from prunekit.errors import InputError, PrunekitError
from prunekit.foreign import read_state_dict
from prunekit.images import DataSummary, ImageShape
from prunekit.layers import layers_of
from prunekit.observed import Layer, Part, PastStage, Representation
from prunekit.probes import representations
from prunekit.protocols import Backbone
from prunekit.weights import load_into


class Network(nn.Module):
    """An encoder, images to features [B, D], and a linear head, features to logits [B, classes]."""

    def __init__(self, encoder: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.projector: nn.Sequential | None = None
        self.probes: Mapping[str, Sequence[str]] = {}
        """Sets of probe points that have a name for this encoder: see :meth:`prunekit.Backbone.probes`."""

    def features(self, images: Tensor) -> Tensor:
        """Float [B, C, H, W] → [B, D]."""
        features: Tensor = self.encoder(images)
        return features

    def logits(self, images: Tensor) -> Tensor:
        """Float [B, C, H, W] → [B, classes]."""
        logits: Tensor = self.head(self.features(images))
        return logits

    forward = logits

    def projections(self, images: Tensor) -> Tensor:
        """Float [B, C, H, W] → float32 [B, P], each row of length 1."""
        if self.projector is None:
            raise RuntimeError("the network has no projector: call add_projector first")
        return F.normalize(self.projector(self.features(images)).float(), dim=1)

    def add_projector(self, dimension: int) -> None:
        """Add D → D → ReLU → ``dimension``; random numbers come from torch's global generator."""
        hidden = self.head.in_features
        layers = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dimension))
        self.projector = layers.to(self.head.weight.device)

    def drop_projector(self) -> None:
        """Remove the projector, where there is one."""
        self.projector = None

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The parts that it has now, by name: encoder, head and perhaps projector."""
        return dict(self.named_children())


def build_network(backbone: Backbone, summary: DataSummary, seed: int, *, weights: bool = True) -> Network:
    """Return a freshly initialised network for the images and classes of a data set, on the CPU, in training mode.

    ``seed`` is the member's. ``weights`` is False where the backbone's weights made elsewhere are not needed.
    Raises InputError where the backbone cannot take such images, returns no [B, D] or no linear head for them,
    PrunekitError where its weights cannot be loaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, 0, 0, "initialise"))
        try:
            encoder, head = _made(backbone, summary)
            features = _features_of_zeros(encoder, summary.shape)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"backbone {_name(backbone)}: cannot take {_size(summary.shape)} images: {_reason(error)}"
            ) from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
            found = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise InputError(f"backbone {_name(backbone)}: expected features [B, D] of 2 images, got {found}")
        head = head if head is not None else _head(backbone, features.shape[1], len(summary.classes))
        _check_head(backbone, head, features.shape[1], len(summary.classes))
        network = Network(encoder, head).train()
        network.probes = backbone.probes(encoder)
        if weights:
            _load_weights(backbone, encoder, summary.shape)
        return network


def load_checkpoint(network: Network, backbone: Backbone, summary: DataSummary, path: Path) -> None:
    """Load weights that were made elsewhere into ``network``: under its own names, or those of the whole classifier.

    Raises InputError, naming the file, where it cannot be read or does not fit.
    """
    state = read_state_dict(path)
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{path}: {name} holds values that are not finite (NaN or infinite)")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what a classifier begins with does not matter
        classifier = backbone.classifier(summary.shape, len(summary.classes))
    own = len(state.keys() & network.state_dict().keys())
    if classifier is None or own > len(state.keys() & classifier.state_dict().keys()):
        load_into(network, state, path)
        return
    load_into(classifier, state, path)
    encoder, head = split_classifier(classifier, summary.shape)
    load_into(network.encoder, encoder.state_dict(), path)
    load_into(network.head, head.state_dict(), path)


def size_of(network: Network) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _made(backbone: Backbone, summary: DataSummary) -> tuple[nn.Module, nn.Linear | None]:
    """Return a fresh encoder, with its head where the backbone makes whole classifiers."""
    if (of := backbone.normalisation) is not None and len(of[0]) not in (1, summary.shape.channels):
        channels = f"images of {summary.shape.channels} channels"
        raise InputError(f"backbone {_name(backbone)}: mean and std are of {len(of[0])} channels: expected {channels}")
    classifier = backbone.classifier(summary.shape, len(summary.classes)) if backbone.whole else None
    return (backbone.build(summary.shape), None) if classifier is None else split_classifier(classifier, summary.shape)


def _head(backbone: Backbone, features: int, classes: int) -> nn.Linear:
    try:
        return backbone.head(features, classes)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"backbone {_name(backbone)}: cannot make its head: {_reason(error)}") from error


def _check_head(backbone: Backbone, head: object, features: int, classes: int) -> None:
    expected = f"backbone {_name(backbone)}: expected a head torch.nn.Linear({features}, {classes})"
    if not isinstance(head, nn.Linear):
        raise InputError(f"{expected}, got {type(head).__name__}")
    if tuple(head.weight.shape) != (classes, features):
        raise InputError(f"{expected}, got one of {head.in_features} features and {head.out_features} classes")


def _load_weights(backbone: Backbone, encoder: nn.Module, shape: ImageShape) -> None:
    try:
        backbone.load_weights(encoder, shape)
    except PrunekitError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise PrunekitError(f"backbone {_name(backbone)}: cannot load its weights: {kind}: {_reason(error)}") from error


def _features_of_zeros(encoder: nn.Module, shape: ImageShape) -> object:
    with torch.no_grad():
        return encoder.eval()(torch.zeros(2, shape.channels, shape.height, shape.width))


def _name(backbone: Backbone) -> str:
    return repr(backbone.name.format(**dict(backbone)))


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _size(shape: ImageShape) -> str:
    return f"{shape.channels}×{shape.height}×{shape.width}"


class ObservedNetwork:
    """A trained network on one part of a data set, as measures see it: in eval mode, computed once, in float32."""

    def __init__(
        self, network: Network, data: DeviceData, part: Part = "test", past: Callable[[], Sequence[PastStage]] = tuple
    ) -> None:
        self._network = network.to(data.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._data = data
        self._part: Part = part
        self._past = past
        self._judged: dict[Part, tuple[float | None, float | None]] = {}

    def past(self) -> Sequence[PastStage]:
        """Return the stages that it went through, first to last."""
        return self._stages

    @cached_property
    def _stages(self) -> Sequence[PastStage]:
        return self._past()

    def loss(self, part: Part) -> float | None:
        """Return the mean cross-entropy of a part of the data, in nats, un-augmented; None where it is empty."""
        return self._judge(part)[0]

    def accuracy(self, part: Part) -> float | None:
        """Return the share of a part of the data that is classified as labelled; None where it is empty."""
        return self._judge(part)[1]

    @torch.no_grad()
    def _judge(self, part: Part) -> tuple[float | None, float | None]:
        """Return loss and accuracy of a part, computed once."""
        if part not in self._judged:
            examples, loss, right = len(self._data.part(part)), 0.0, 0
            for batch in self._data.batches(part) if examples else ():
                logits = self._network.logits(batch.images[0]).float()
                loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
                right += int((logits.argmax(dim=1) == batch.labels).sum())
            self._judged[part] = (loss / examples, right / examples) if examples else (None, None)
        return self._judged[part]

    def features(self) -> NDArray[np.float32]:
        """[N, D]: the input of the head."""
        return self._features.cpu().numpy()

    def logits(self) -> NDArray[np.float32]:
        """[N, classes]."""
        return self._logits

    def labels(self) -> NDArray[np.int64]:
        """[N]: true classes of the observed part."""
        labels: NDArray[np.int64] = getattr(self._data.source, self._part).labels
        return labels

    def bank_labels(self) -> NDArray[np.int64]:
        """[B]: true classes of the training images."""
        return self._data.source.train.labels

    def representations(self, probes: str | Sequence[str], *, pool: bool) -> Iterator[Representation]:
        """Yield what the probes hold of the training images and of the observed part: see :mod:`prunekit.probes`."""
        return representations(self._network, self._data, self._part, probes, pool=pool)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers with weights, in the order of the network."""
        return layers_of(self._network, ImageShape(*self._data.source.train.images.shape[1:]))

    @cached_property
    def _features(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._network.features(b.images[0]).float() for b in self._data.batches(self._part)])

    @cached_property
    def _logits(self) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: Tensor = self._network.head(self._features)
        return logits.cpu().numpy()


def base_columns(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """Return what is kept of every member: prediction (int64), confidence and loss (float32), each [N].

    ``logits`` is [N, classes], ``labels`` [N]. The prediction is the smallest class of the largest logit, the
    confidence its softmax probability in (0, 1], the loss the cross-entropy of the label in nats.
    """
    wide = logits.astype(np.float64)
    prediction = wide.argmax(axis=1)
    shifted = wide - wide.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    rows = np.arange(len(wide))
    return {
        "prediction": prediction.astype(np.int64),
        "confidence": np.exp(-log_total).astype(np.float32),
        "loss": (log_total - shifted[rows, labels]).astype(np.float32),
    }
