"""The weights that a training stage keeps beside its last ones: at times that were asked for, and of its best epoch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from prunekit.checkpoint import Checkpoint, copied
from prunekit.errors import InputError
from prunekit.stages import TrainStage
from prunekit.times import Progress

Weights = dict[str, Tensor]
"""Parameters and buffers by name, on the CPU."""


class Snapshots:
    """Looks on as a stage trains. ``settled_at``: the iteration after which nothing is pruned any more."""

    def __init__(self, network: nn.Module, stage: TrainStage, stage_length: Progress, settled_at: int) -> None:
        self._network, self._settled_at = network, settled_at
        self._selects = stage.select == "best_validation"
        self._due: dict[int, list[str]] = {}
        for time in stage.keep:
            self._due.setdefault(stage_length.at(time), []).append(str(time))
        self.kept: dict[str, Weights] = {}
        """Weights by time."""
        self.best_epoch: int | None = None
        self._best: Weights = {}
        self._best_accuracy = -1.0
        self.after_step(0)

    def after_step(self, iteration: int) -> None:
        """Keep the weights where that was asked for."""
        for time in self._due.get(iteration, ()):
            weights = self._weights()  # a projector is dropped with the stage
            self.kept[time] = {name: tensor for name, tensor in weights.items() if not name.startswith("projector.")}

    def after_epoch(self, row: dict[str, Any]) -> None:
        """Keep the weights where the validation accuracy is higher than ever before."""
        if self._selects and row["accuracy"] is None:
            raise InputError("select: best_validation needs validation images, and a head that the stage trains")
        if self._selects and row["iteration"] >= self._settled_at and row["accuracy"] > self._best_accuracy:
            self.best_epoch, self._best_accuracy, self._best = row["epoch"], row["accuracy"], self._weights()

    def finish(self) -> None:
        """Give the network the weights that the stage ends with."""
        if self.best_epoch is not None:
            self._network.load_state_dict(self._best)

    def _weights(self) -> Weights:
        return {name: copied(tensor) for name, tensor in self._network.state_dict().items()}

    # ----------------------------------------------------------------------------------------------- the checkpoint

    def tensors(self) -> Weights:
        """Return all that is kept, for a checkpoint."""
        kept = {f"kept/{time}/{name}": t for time, weights in self.kept.items() for name, t in weights.items()}
        return kept | {f"best/{name}": tensor for name, tensor in self._best.items()}

    def meta(self) -> dict[str, Any]:
        """Return which epoch was the best, for a checkpoint."""
        return {"best_epoch": self.best_epoch, "best_accuracy": self._best_accuracy}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take back what :meth:`tensors` and :meth:`meta` gave."""
        self.kept = {}
        for path, tensor in checkpoint.under("kept").items():
            time, _, name = path.partition("/")
            self.kept.setdefault(time, {})[name] = tensor
        self._best = checkpoint.under("best")
        self.best_epoch = checkpoint.meta.get("best_epoch")
        self._best_accuracy = checkpoint.meta.get("best_accuracy", -1.0)
