"""How much memory a worker takes: one step of a stage on tensors that have a size but no data, counted."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from prunekit.data import EVALUATION_BATCH
from prunekit.images import Batch, DataSummary
from prunekit.network import Network, size_of
from prunekit.sources import precision
from prunekit.stages import Stage, TrainStage, as_recipe, parts_trained, pruning_of

PROCESS = 900_000_000
"""Bytes of a worker with torch and what data sets import, before it does anything."""
SLACK = 1.6
"""What the C library holds for every byte in use: it cannot hand out again all that a step frees."""
CUDA_PROCESS, CUDA_SLACK = 700_000_000, 1.25
"""The same on a GPU: CUDA's context and kernels, and what torch's allocator holds."""
PER_PRUNED_WEIGHT = 19
"""Bytes per weight that an update of the masks takes for a moment."""
_MATTERS = ("objective", "batch_size", "only", "optimizer", "augment", "precision")
"""The options of a stage that its memory depends on, beside whether it prunes."""


class Estimates:
    """About how many bytes a worker holds at most, stage by stage.

    On a CPU they are bytes of main memory, on a GPU bytes there. None where it cannot be told: where an objective or
    an augmentation looks at the values of tensors.
    """

    def __init__(self, network: Network, data: DataSummary, device: str = "cpu") -> None:
        self._network, self._data, self._device = network, data, device
        self._known: dict[str, int | None] = {}

    def of(self, stage: Stage) -> int | None:
        """Return the bytes held during ``stage``."""
        options = as_recipe(stage)
        prune = pruning_of(stage)
        looks = (prune.criterion.needs_data, prune.criterion.working_memory) if prune else None
        kind = str([*(options.get(name) for name in _MATTERS), looks])
        if kind not in self._known:
            self._known[kind] = self._whole(lambda: _held_by_stage(self._network, stage, self._data))
        return self._known[kind]

    @cached_property
    def observing(self) -> int | None:
        """The bytes held as a member is observed."""
        return self._whole(lambda: _held_by_forward(self._network, EVALUATION_BATCH, self._data))

    def most(self, stages: Sequence[Stage]) -> int | None:
        """Return the bytes that a worker holds at most as it does ``stages`` and observes; None where unknown."""
        known = [size for size in (self.observing, *map(self.of, stages)) if size is not None]
        return max(known) if len(known) > len(stages) else None

    def _whole(self, tensors: Callable[[], int]) -> int | None:
        process, slack = (PROCESS, SLACK) if self._device == "cpu" else (CUDA_PROCESS, CUDA_SLACK)
        try:
            return process + _held_by_data(self._data) + int(tensors() * slack)
        except Exception:  # noqa: BLE001  (a plugin that needs values fails here in ways of its own; it trains all the same)
            return None


def _held_by_stage(network: Network, stage: Stage, data: DataSummary) -> int:
    """Return the bytes of all tensors at the fullest moment of a stage."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    update = size_of(network) + PER_PRUNED_WEIGHT * weights
    prune = pruning_of(stage)
    if prune is not None and prune.criterion.needs_data:
        batch_size = stage.batch_size if isinstance(stage, TrainStage) else EVALUATION_BATCH
        update += _held_by_gradient(network, batch_size, data) + prune.criterion.working_memory
    if not isinstance(stage, TrainStage):
        return update
    return max(_held_by_step(network, stage, data), 0 if prune is None else update)


def _held_by_data(data: DataSummary) -> int:
    """Return the bytes of the images, their labels and ids."""
    shape = data.shape
    return (data.train + data.validation + data.test) * (shape.channels * shape.height * shape.width + 100)


def _held_by_step(network: Network, stage: TrainStage, data: DataSummary) -> int:
    """Return the bytes of all tensors at the fullest moment of a training step."""
    parts = parts_trained(stage)
    views, shape = stage.objective.views, data.shape
    batch_size = min(stage.batch_size, data.train)
    if parts == ("head",):
        features = 4 * network.head.in_features * (data.validation + (0 if stage.augment.random else 2 * data.train))
        at_once = batch_size * views if stage.augment.random else EVALUATION_BATCH
        return features + _held_by_forward(network, at_once, data)
    with _without_data(network, stage.objective.projector) as twin:
        for name, part in twin.parts.items():
            part.train(name in parts).requires_grad_(name in parts)
        parameters = [parameter for parameter in twin.parameters() if parameter.requires_grad]
        count = _Count(twin.state_dict().values())
        with count:
            optimizer = stage.optimizer.build(parameters)
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()  # the state that the optimiser keeps
            optimizer.zero_grad(set_to_none=True)
            images = torch.empty(batch_size, shape.channels, shape.height, shape.width)
            images = stage.augment(images.repeat(views, 1, 1, 1), torch.Generator())
            images = (images - images.mean()).contiguous(memory_format=torch.channels_last)
            batch = Batch(images.view(views, batch_size, *images.shape[1:]), torch.zeros(batch_size, dtype=torch.int64))
            with precision(stage, images.device):
                loss = stage.objective.loss(twin, batch)
            torch.autograd.backward(loss)
            optimizer.step()
        return count.most


def _held_by_forward(network: Network, images: int, data: DataSummary) -> int:
    """Return the bytes of all tensors at the fullest moment as features of ``images`` images are computed."""
    shape = data.shape
    images = min(images, max(data.train, data.test))
    with _without_data(network) as twin, torch.no_grad(), _Count(twin.state_dict().values()) as count:
        twin.eval().features(torch.empty(images, shape.channels, shape.height, shape.width))
    return int(count.most)


def _held_by_gradient(network: Network, images: int, data: DataSummary) -> int:
    """Return the bytes of all tensors at the fullest moment of one backward pass: what a criterion holds at least."""
    shape = data.shape
    with _without_data(network) as twin, _Count(twin.state_dict().values()) as count:
        batch = torch.empty(min(images, data.train), shape.channels, shape.height, shape.width)
        loss = twin.eval().requires_grad_(True).logits(batch).logsumexp(dim=1).mean()
        torch.autograd.backward(loss)
    return int(count.most)


@contextmanager
def _without_data(network: Network, projector: int | None = None) -> Iterator[Network]:
    """Give a twin of ``network`` whose tensors have no data; inside, all tensors are made so."""
    whole = Network(network.encoder, network.head)
    if projector is not None:
        with torch.random.fork_rng(devices=[]):
            whole.add_projector(projector)
    mode = FakeTensorMode()
    tensors: dict[int, Any] = {id(each): mode.from_tensor(each) for each in (*whole.buffers(), *whole.parameters())}
    with mode:
        yield copy.deepcopy(whole, tensors)


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of ``tensors`` and of those that operations return, for as long as each lives."""

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.most: int = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in tensors:
            self._see(tensor.untyped_storage())

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        number, size = storage._cdata, storage.nbytes()
        if number in self._alive:
            return
        self._alive[number] = weakref.ref(storage, lambda _: self._forget(number, size))
        self.now += size
        self.most = max(self.most, self.now)

    def _forget(self, number: int, size: int) -> None:
        del self._alive[number]
        self.now -= size
