"""What is known of images before they are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """Labels and ids of the images for training, or of those for testing."""

    labels: NDArray[np.int64]
    """[N]."""
    ids: tuple[str, ...]
    """[N]."""

    def only(self, chosen: Sequence[int] | NDArray[np.int64]) -> Examples:
        """Return the examples with the ``chosen`` indices alone."""
        return Examples(self.labels[np.asarray(chosen, dtype=np.int64)], tuple(self.ids[i] for i in chosen))
