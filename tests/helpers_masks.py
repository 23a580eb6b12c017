"""What tests of masks share."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.protocols import Target


class Network(nn.Module):
    """Convolution, normalisation, head and projector, named as in prunekit's own networks."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten())
        self.head = nn.Linear(6 * 4 * 4, 5)
        self.projector = nn.Linear(6 * 4 * 4, 7)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(images))


def random_scores(targets: Sequence[Target], seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {t.name: torch.randn(t.mask.shape, generator=generator) for t in targets}


def flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return np.concatenate([t.detach().contiguous().reshape(-1).numpy() for t in tensors])
