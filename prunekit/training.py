"""A stage that trains: a pure function of the network it starts from, its options, its seed and the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunekit import masks as masking
from prunekit import seeds
from prunekit.checkpoint import Checkpoint, copied, optimizer_state, restore_optimizer
from prunekit.data import DeviceData
from prunekit.errors import PrunekitError
from prunekit.images import Batch
from prunekit.network import Network
from prunekit.outcome import StageContext, StageOutcome, criterion_seed, deterministic, masked_targets, plain_batches
from prunekit.pruner import Pruner
from prunekit.snapshots import Snapshots
from prunekit.sources import FrozenFeatures, Images, precision
from prunekit.stages import Prune, TrainStage, parts_trained
from prunekit.times import Progress
from prunekit.updates import Update, planned_updates

PROGRESS_INTERVAL = 0.5
"""Seconds between two reports of progress, at least."""


@deterministic()
def train(
    network: Network,
    stage: TrainStage,
    data: DeviceData,
    context: StageContext,
    *,
    masks: dict[str, Tensor],
    resume: Checkpoint | None = None,
    on_epoch: Callable[[Checkpoint, dict[str, Any]], None] = lambda checkpoint, row: None,
    on_progress: Callable[[dict[str, Any]], None] = lambda progress: None,
) -> StageOutcome:
    """Train ``network`` in place and return masks, history and pruning updates.

    Only the parts that the objective trains (the head alone with ``only: head``) change; weights masked by ``masks``
    stay exactly zero. ``on_epoch`` gets a checkpoint and the row of the history after every epoch; ``resume`` goes on
    from such a checkpoint, ``network`` then being the one that the stage began with. ``on_progress`` is called at most
    every half second. Raises PrunekitError where the loss is not finite, InputError where the stage makes no sense.
    """
    parts = parts_trained(stage)
    with _prepared(network, parts, stage, context):
        run = _Training(network, parts, stage, data, context, masks, resume, on_progress)
        while run.epoch < stage.epochs:
            row = run.train_epoch()
            on_epoch(run.checkpoint(), row)
        run.snapshots.finish()
    return StageOutcome(run.masks, run.history, run.updates, run.snapshots.best_epoch, run.snapshots.kept)


@contextmanager
def _prepared(network: Network, parts: tuple[str, ...], stage: TrainStage, context: StageContext) -> Iterator[None]:
    """Lend ``network`` a projector and the memory format that convolutions prefer; freeze all but ``parts``."""
    if stage.objective.projector is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(context.member_seed, context.ordinal, 0, "initialise"))
            network.add_projector(stage.objective.projector)
    network.to(context.device).to(memory_format=torch.channels_last)
    for name, part in network.parts.items():
        part.requires_grad_(name in parts)
    try:
        yield
    finally:
        network.drop_projector()
        network.zero_grad(set_to_none=True)
        network.requires_grad_(True).eval().to(memory_format=torch.contiguous_format)


class _Training:
    """A training stage under way."""

    def __init__(
        self,
        network: Network,
        parts: tuple[str, ...],
        stage: TrainStage,
        data: DeviceData,
        context: StageContext,
        masks: dict[str, Tensor],
        resume: Checkpoint | None,
        on_progress: Callable[[dict[str, Any]], None],
    ) -> None:
        self.network, self.parts, self.stage, self.data, self.context = network, parts, stage, data, context
        self.epoch = self.iteration = 0
        self.history: list[dict[str, Any]] = []
        self._updates: list[Update] = []
        self._per_epoch = data.iterations_per_epoch(stage.batch_size)
        self._progress = _ProgressReports(on_progress, stage, self._per_epoch)
        self._images, self._learner = Images(data, stage), network
        if parts == ("head",):
            self._images = FrozenFeatures(data, stage, network.encoder)
            self._learner = Network(nn.Identity(), network.head)
        self.snapshots = Snapshots(network, stage, self._now(), self._last_update())
        self._parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._optimizer = stage.optimizer.build(list(self._parameters.values()))
        if resume is not None:
            masks = self._restore(resume)
        self._pruner = self._build_pruner(stage.prune, masks) if stage.prune is not None else None
        pruned = self._pruner.masks if self._pruner else {}
        self._kept = masked_targets(network, {name: mask for name, mask in masks.items() if name not in pruned})
        masking.apply(self._kept)

    # ------------------------------------------------------------------------------------------------- the training

    def train_epoch(self) -> dict[str, Any]:
        """Train one epoch; return its row of the history."""
        self.epoch += 1
        for name, part in self.network.parts.items():
            part.train(name in self.parts)
        losses: list[Tensor] = []
        sizes: list[int] = []
        sparsity = self._sparsity()
        with self._seeded():
            for batch in self._images.epoch(self._generator("order"), self._generator("augment", self.context.device)):
                losses.append(self._step(batch))
                sizes.append(len(batch.labels))
                if self._pruner is not None and self._pruner.updates:
                    sparsity = self._pruner.updates[-1].sparsity
                self._progress.step(self.epoch, self.iteration, sizes[-1], losses[-1], sparsity)
        row = {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "loss": self._mean_loss(losses, sizes),
            "accuracy": self._validation_accuracy(),
            "sparsity": self._sparsity(),
            "lr": self._optimizer.param_groups[0]["lr"],
        }
        self.snapshots.after_epoch(row)
        self.history.append(row)
        return row

    def _step(self, batch: Batch) -> Tensor:
        """Do one optimiser step; return the loss, which stays on the device."""
        now = self._now()
        for group in self._optimizer.param_groups:
            group["lr"] = self.stage.optimizer.lr * self.stage.lr_schedule.factor(now)
        self._optimizer.zero_grad(set_to_none=True)
        with precision(self.stage, batch.images.device):
            loss = self.stage.objective.loss(self._learner, batch)
        torch.autograd.backward(loss)
        self._optimizer.step()
        self.iteration += 1
        if loss.device.type == "cpu":  # elsewhere reading it would wait for the device
            self._refuse_nonfinite(loss.detach()[None])
        masking.apply(self._kept)
        if self._pruner is not None:
            self._pruner.step()
        self.snapshots.after_step(self.iteration)
        return loss.detach()

    def _now(self) -> Progress:
        return Progress(self.iteration, self._per_epoch * self.stage.epochs, self._per_epoch)

    def _mean_loss(self, losses: list[Tensor], sizes: list[int]) -> float:
        """Return the mean over the images of an epoch. Reading losses waits for the device: once an epoch."""
        values = torch.stack(losses).double().cpu()
        self._refuse_nonfinite(values)
        weights = torch.tensor(sizes, dtype=torch.float64)
        return float((values * weights).sum() / weights.sum())

    def _refuse_nonfinite(self, losses: Tensor) -> None:
        """Raise PrunekitError where one of the last ``losses`` [n] is not finite, naming the first."""
        wrong = (~losses.isfinite()).nonzero().flatten().tolist()
        if wrong:
            iteration = self.iteration - len(losses) + wrong[0] + 1
            raise PrunekitError(
                f"stage {self.context.ordinal}, epoch {self.epoch}, iteration {iteration}: "
                f"the loss is {float(losses[wrong[0]])}; a smaller learning rate may help"
            )

    @torch.no_grad()
    def _validation_accuracy(self) -> float | None:
        """Return the share of validation images classified as labelled; None where there is no head or no such part."""
        total = len(self.data.part("validation"))
        if "head" not in self.parts or total == 0:
            return None
        self.network.eval()
        right = torch.zeros((), dtype=torch.int64, device=self.context.device)  # read once, at the end
        for batch in self._images.plain("validation"):
            with precision(self.stage, batch.images.device):
                logits = self._learner.logits(batch.images[0])
            right += (logits.argmax(dim=1) == batch.labels).sum()
        return int(right) / total

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Seed torch's global generators, which dropout and the like draw from, for one epoch."""
        device = torch.device(self.context.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seeds.derive(self.context.member_seed, self.context.ordinal, self.epoch, "network"))
            yield

    def _generator(self, stream: seeds.Stream, device: str = "cpu") -> torch.Generator:
        return seeds.generator(self.context.member_seed, self.context.ordinal, self.epoch, stream, device)

    # -------------------------------------------------------------------------------------------------- the pruning

    def _build_pruner(self, options: Prune, masks: dict[str, Tensor]) -> Pruner:
        objective = self.stage.objective

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(model, Network)
            views = batch.images.expand(objective.views, *batch.images.shape[1:])
            return objective.loss(model, Batch(views, batch.labels))

        return Pruner(
            self.network,
            options.schedule,
            criterion=options.criterion,
            within=options.within,
            targets=options.targets,
            parts=self.parts,
            iterations_per_epoch=self._per_epoch,
            iterations=self._per_epoch * self.stage.epochs,
            seed=criterion_seed(self.context),
            masks=masks,
            iteration=self.iteration,
            data=partial(plain_batches, self.data, self.stage.batch_size, self.context),
            loss=loss,
        )

    def _last_update(self) -> int:
        """Return the iteration of the last pruning update, 0 where there is none."""
        if self.stage.prune is None:
            return 0
        planned = planned_updates(self.stage.prune.schedule, self._per_epoch * self.stage.epochs, self._per_epoch)
        return planned[-1][0] if planned else 0

    def _sparsity(self) -> float:
        """Return the share of zeros among the weights that this stage prunes, else among those pruned before."""
        if self._pruner is not None:
            return self._pruner.sparsity
        return masking.sparsity(self._kept) if self._kept else 0.0

    @property
    def masks(self) -> dict[str, Tensor]:
        """All masks as they are now."""
        return {target.name: target.mask for target in self._kept} | (self._pruner.masks if self._pruner else {})

    @property
    def updates(self) -> list[Update]:
        """All pruning updates made so far."""
        return self._updates + (self._pruner.updates if self._pruner else [])

    # ----------------------------------------------------------------------------------------------- the checkpoint

    def checkpoint(self) -> Checkpoint:
        """Return copies of all that the rest of the stage depends on."""
        tensors = {f"weights/{name}": copied(tensor) for name, tensor in self.network.state_dict().items()}
        tensors |= {f"mask/{name}": copied(mask) for name, mask in self.masks.items()}
        optimizer, scalars = optimizer_state(self._optimizer, self._parameters)
        tensors |= {f"optimizer/{name}": tensor for name, tensor in optimizer.items()}
        tensors |= self.snapshots.tensors()
        meta = {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "history": list(self.history),
            "updates": [asdict(update) for update in self.updates],
            "optimizer": scalars,
            **self.snapshots.meta(),
        }
        return Checkpoint(tensors, meta)

    def _restore(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Take everything back but the masks, which are returned."""
        meta = checkpoint.meta
        self.epoch, self.iteration, self.history = meta["epoch"], meta["iteration"], list(meta["history"])
        self._updates = [Update(**update) for update in meta["updates"]]
        self.network.load_state_dict(checkpoint.under("weights"))
        self.snapshots.restore(checkpoint)
        restore_optimizer(self._optimizer, self._parameters, checkpoint.under("optimizer") | meta["optimizer"])
        return checkpoint.under("mask")


class _ProgressReports:
    """Tells how far a stage is, not too often."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], stage: TrainStage, per_epoch: int) -> None:
        self._tell, self._epochs, self._iterations = tell, stage.epochs, stage.epochs * per_epoch
        self._begun = self._told = time.monotonic()
        self._images = 0

    def step(self, epoch: int, iteration: int, images: int, loss: Tensor, sparsity: float) -> None:
        """Count a step; the loss is told only where reading it costs nothing: on a CPU."""
        self._images += images
        now = time.monotonic()
        if now - self._told < PROGRESS_INTERVAL:
            return
        self._told = now
        self._tell(
            {
                "iteration": iteration,
                "iterations": self._iterations,
                "epoch": epoch,
                "epochs": self._epochs,
                "loss": float(loss) if loss.device.type == "cpu" else None,
                "sparsity": sparsity,
                "images_per_second": self._images / (now - self._begun),
            }
        )
