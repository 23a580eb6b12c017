"""What images are normalised with, where a network that was trained elsewhere expects other numbers than ours."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from prunekit import Backbone


class Normalised(Backbone):
    """A backbone that may say which mean and standard deviation it was trained with."""

    mean: list[float] | None = Field(default=None, min_length=1)
    """Mean of the images in [0, 1], per channel, that the network was trained with; with ``std``. By default that of
    the training images here."""
    std: list[float] | None = Field(default=None, min_length=1)
    """Their standard deviation, per channel."""

    @model_validator(mode="after")
    def _together(self) -> Normalised:
        if (self.mean is None) != (self.std is None) or (self.mean and self.std and len(self.mean) != len(self.std)):
            raise ValueError("mean and std go together, a number per channel each")
        if any(each <= 0 for each in self.std or ()):
            raise ValueError("std is a standard deviation: expected numbers above 0")
        return self

    @property
    def reading(self) -> str | None:
        """Say what images are normalised with, where it is said."""
        if self.mean is None or self.std is None:
            return None
        mean, std = (", ".join(f"{each:g}" for each in numbers) for numbers in (self.mean, self.std))
        return f"images are normalised with mean {mean} and standard deviation {std}"

    @property
    def normalisation(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and standard deviation per channel; None for those of the training images."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)
