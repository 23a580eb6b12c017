"""What the contrastive objectives share: two views, and a projector onto a sphere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from prunekit import Batch, Objective, TrainableNetwork

Dimension = Annotated[int, Field(ge=1)]
"""Output dimension of the projector."""


class Contrastive(Objective):
    """An objective on the projections of two views of every image."""

    views: ClassVar[int] = 2
    trains: ClassVar[tuple[str, ...]] = ("encoder", "projector")

    temperature: float = Field(default=0.5, gt=0.0, allow_inf_nan=False)
    """Divides the cosine similarities: small values weigh the nearest negatives most."""

    if TYPE_CHECKING:
        dimension: Dimension  # each declares it, after options of its own

    @property
    def projector(self) -> int:
        """Output dimension of the projector."""
        return self.dimension


def project(network: TrainableNetwork, batch: Batch) -> Tensor:
    """Return the projections of a batch, [B, V, P]; one forward pass, so that BatchNorm sees all views together."""
    views, examples = batch.images.shape[:2]
    return network.projections(batch.images.flatten(0, 1)).view(views, examples, -1).transpose(0, 1)
