"""On a GPU the training loop never waits for the device. There is none here, so its tensors are ones without values.

Such tensors go through all operations as those of a GPU would. Whatever needs a value of theirs on the host raises, and
copies between host and device are counted. Only the backward pass, which is torch's own, needs a real device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers_training import CONTEXT, PRUNE, Encoder, stage
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from prunekit import training
from prunekit.data import DeviceData
from prunekit.network import Network
from prunekit.outcome import StageContext


class Copies(TorchDispatchMode):
    """Counts the copies between host and device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        devices = {each.device.type for each in [*args, result] if isinstance(each, Tensor) and each.ndim}
        if function.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_) and len(devices) > 1:
            self.count += 1
        return result


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that there is a GPU, whose tensors have no values."""
    monkeypatch.setattr(training._Training, "_generator", lambda self, stream, device="cpu": torch.Generator())
    monkeypatch.setattr(training.masking, "sparsity", lambda targets: 0.0)  # counted once an epoch, from values
    with FakeTensorMode():
        yield


class Images(DeviceData):
    """Images of the size asked for, without values."""

    def __init__(self, channels: int, count: int) -> None:
        part = training_part(channels, count)
        self._parts = {"train": part, "validation": part, "test": part}
        self.device = "cuda"
        self.mean = self.std = torch.ones(channels, 1, 1, device="cuda")


def training_part(channels: int, count: int) -> Any:
    from prunekit.data import DeviceSplit

    images = torch.zeros(count, channels, 8, 8, dtype=torch.uint8, device="cuda")
    return DeviceSplit(images, torch.zeros(count, dtype=torch.int64, device="cuda"))


def network(channels: int) -> Network:
    made = Network(Encoder(), nn.Linear(6, 3))
    made.encoder.conv = nn.Conv2d(channels, 6, 3, padding=1)
    made.projector = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 8))
    for module in made.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach().to("cuda")))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to("cuda"))
    return made


def epoch_of(steps: int, channels: int = 3, **options: Any) -> int:
    """Train an epoch of ``steps`` steps; return the copies between host and device."""
    options = {"optimizer": "sgd", "lr_schedule": "cosine", "batch_size": 4, "epochs": 9} | options
    context = StageContext(CONTEXT.member_seed, CONTEXT.ordinal, device="cuda")
    chosen = stage(**options)
    parts = training.parts_trained(chosen)
    run = training._Training(
        network(channels), parts, chosen, Images(channels, 4 * steps), context, {}, None, lambda progress: None
    )

    def backward(loss: Tensor) -> None:
        for parameter in run._parameters.values():
            parameter.grad = torch.zeros_like(parameter)

    with pytest.MonkeyPatch.context() as patch, Copies() as copies:
        patch.setattr(torch.autograd, "backward", backward)
        done = 0
        for batch in run._images.epoch(torch.Generator(), torch.Generator()):
            loss = run._step(batch)
            done += 1
    assert done == steps
    assert loss.device.type == "cuda"
    return copies.count


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "supcon", "augment": "simclr"},
        {"objective": "simclr", "augment": "simclr"},
        {"augment": "crop_flip"},
        {"augment": {"name": "crop_flip", "vertical": True}},
        {"only": "head"},
        {"only": "head", "augment": "crop_flip"},
    ],
)
def test_only_the_order_of_the_images_is_copied_and_nothing_is_read(options: dict[str, Any]) -> None:
    assert epoch_of(2, **options) == 1
    assert epoch_of(5, **options) == 1


def test_images_of_one_channel_too() -> None:
    assert epoch_of(3, channels=1, objective="supcon", augment="simclr") == 1


def test_between_updates_pruning_reads_nothing() -> None:
    later = {"schedule": {**PRUNE["schedule"], "begin": "20it", "end": "30it"}}
    assert epoch_of(5, prune=later) == 1


def test_the_check_notices_a_step_that_reads_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    step = training._Training._step

    def reading(self: Any, batch: Any) -> Tensor:
        loss = step(self, batch)
        assert float(loss) >= 0
        return loss

    monkeypatch.setattr(training._Training, "_step", reading)
    with pytest.raises(DataDependentOutputException):
        epoch_of(1)


def test_the_check_notices_a_step_that_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    step = training._Training._step
    monkeypatch.setattr(
        training._Training, "_step", lambda self, batch: step(self, batch) * torch.tensor([2.0], device="cuda")
    )
    assert epoch_of(3) == 1 + 3
