"""What tests of training share: a small network with all that has state, data, and a stage."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.data import DeviceData
from prunekit.images import ImageData, Split
from prunekit.network import Network
from prunekit.outcome import StageContext, StageOutcome
from prunekit.stages import TrainStage
from prunekit.training import train

CONTEXT = StageContext(member_seed=5, ordinal=2)


class Encoder(nn.Module):
    """A convolution, BatchNorm, dropout: all that has state or draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.deeper = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        features: Tensor = self.dropout(self.deeper(self.norm(self.conv(images)).relu()).relu().mean(dim=(2, 3)))
        return features


def new_network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(Encoder(), nn.Linear(6, 3))


def split(examples: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, examples)
    images = random.integers(0, 100, (examples, 1, 6, 6)) + 70 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels, tuple(f"{seed}-{i}" for i in range(examples)))


def make_data(validation: int = 12) -> DeviceData:
    return DeviceData(ImageData(("a", "b", "c"), split(22, 1), split(validation, 2), split(9, 3)))


DATA = make_data()


def stage(**options: Any) -> TrainStage:
    base = {"objective": "cross_entropy", "epochs": 3, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.05}}
    return TrainStage.model_validate(base | options)


def trained(
    network: Network, options: TrainStage, masks: Mapping[str, Tensor] | None = None, **more: Any
) -> StageOutcome:
    return train(
        network, options, more.pop("data", DATA), more.pop("context", CONTEXT), masks=dict(masks or {}), **more
    )


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def changed(before: Mapping[str, Tensor], network: nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


PRUNE = {"schedule": {"name": "gmp", "sparsity": 0.8, "begin": "1it", "end": "8it", "every": "2it"}}
