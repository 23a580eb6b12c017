"""What is compared with what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """A reference population and a pruned one; the control had the same stages without the pruning."""

    reference: str
    pruned: str
    control: str | None
    paired: bool
    """Whether members of one seed grow from the same initial network, in the same order of batches."""

    @property
    def name(self) -> str:
        """``dense → sparse``."""
        return f"{self.reference} → {self.pruned}"

    @property
    def slug(self) -> str:
        """``dense-sparse``, for names of files; hyphens within a name are doubled, so that no two are alike."""
        return "-".join(name.replace("-", "--") for name in (self.reference, self.pruned))
