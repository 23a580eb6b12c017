"""One process of a training benchmark, and how several of them are timed together.

The process is told what to do as JSON (:class:`Job`), trains once to warm up, says so, waits for the word, trains
again, and tells images and seconds. So several can begin at once, each with an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from prunekit.data import DeviceData
from prunekit.images import DataSummary, ImageData, ImageShape, Split
from prunekit.network import Network, build_network
from prunekit.outcome import StageContext
from prunekit.plugins.backbones.wide_resnet import WideResNet
from prunekit.plugins.objectives.supcon import supcon_loss
from prunekit.stages import TrainStage
from prunekit.training import train
from prunekit.worker import prepare_torch

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class Job:
    """What a process trains."""

    loop: Literal["released", "prunekit"]
    objective: Literal["supcon", "cross_entropy"]
    batch_size: int
    size: int = 32
    """Height and width of the images, which have 3 channels."""
    steps: int = 1
    """Steps that are timed, after as many that are not."""
    precision: str = "fp32"
    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Timing:
    """What a process took."""

    images: int
    seconds: float
    memory: int
    """Most bytes resident, of its whole life; on a GPU most bytes reserved there."""

    @property
    def speed(self) -> float:
        """Images per second."""
        return self.images / self.seconds


def timed(job: Job, copies: int = 1, environment: Mapping[str, str] | None = None) -> list[Timing]:
    """Run ``copies`` processes of ``job`` at once; return what each took from the same moment on."""
    command = [sys.executable, __file__, json.dumps(asdict(job))]
    everywhere = {**os.environ, "OMP_NUM_THREADS": str(job.threads), **(environment or {})}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=everywhere)
        for _ in range(copies)
    ]
    try:
        for process in processes:
            _told(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [Timing(**json.loads(_told(process))) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process of the benchmark failed")
    return line


# ------------------------------------------------------------------------------------------------------ the process


def main(text: str) -> None:
    """Do a job."""
    job = Job(**json.loads(text))
    prepare_torch(job.device, job.threads)
    images = job.batch_size * job.steps
    begun = 0.0

    def warm() -> None:
        nonlocal begun
        _wait_for(job.device)
        print("ready", flush=True)
        sys.stdin.readline()
        begun = time.perf_counter()

    loops: dict[str, Callable[[Job, Callable[[], None]], None]] = {"released": released, "prunekit": prunekit}
    loops[job.loop](job, warm)
    _wait_for(job.device)
    seconds = time.perf_counter() - begun
    print(json.dumps(asdict(Timing(images, seconds, _memory(job.device)))), flush=True)


def _wait_for(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _memory(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_reserved(device)
    with open("/proc/self/status") as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(kilobytes) * 1024


def random_split(count: int, channels: int, size: int) -> Split:
    """Return random images with labels."""
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    return Split(images, np.arange(count) % len(CLASSES), tuple(f"{count}-{i}" for i in range(count)))


def new_network(shape: ImageShape) -> Network:
    """Return a WRN-16-2."""
    summary = DataSummary(shape, CLASSES, train=1, validation=0, test=1)
    return build_network(WideResNet(depth=16, width=2), summary, seed=0)


# ---------------------------------------------------------------------------------------------- prunekit's own stage


def prunekit(job: Job, warm: Callable[[], None]) -> None:
    """Train a stage as a worker of ``prunekit run`` does, with half of the weights pruned."""
    splits = [random_split(count, 3, job.size) for count in (job.batch_size * job.steps, 0, 1)]
    data = DeviceData(ImageData(CLASSES, *splits), job.device)
    stage = TrainStage.model_validate(
        {
            "objective": job.objective,
            "epochs": 2,
            "batch_size": job.batch_size,
            "optimizer": {"name": "sgd", "lr": 0.01, "weight_decay": 5e-4},
            "augment": "simclr" if job.objective == "supcon" else "crop_flip",
            "precision": job.precision,
            "prune": {"schedule": {"name": "one_shot", "sparsity": 0.5}},
        }
    )

    def after_epoch(*_: Any) -> None:
        if next(epochs) == 0:
            warm()

    epochs = iter(range(stage.epochs))
    context = StageContext(member_seed=0, ordinal=1, device=job.device)
    train(new_network(ImageShape(3, job.size, job.size)), stage, data, context, masks={}, on_epoch=after_epoch)


# ------------------------------------------------------------------------------------ the plain loop of released code


class Pictures(Dataset[tuple[Any, int]]):
    """PIL images, each changed by ``change`` whenever it is asked for."""

    def __init__(self, split: Split, change: Callable[[Any], Any]) -> None:
        from torchvision.transforms.functional import to_pil_image

        self.pictures = [to_pil_image(torch.from_numpy(image)) for image in split.images]
        self.labels, self.change = split.labels, change

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.change(self.pictures[index]), int(self.labels[index])


class TwoCrops:
    """The same random transform twice."""

    def __init__(self, change: Callable[[Any], Tensor]) -> None:
        self.change = change

    def __call__(self, picture: Any) -> list[Tensor]:
        return [self.change(picture), self.change(picture)]


def released_transform(objective: str, size: int) -> Callable[[Any], Any]:
    """Return the augmentation of the released code, as torchvision makes it of one PIL image."""
    from torchvision import transforms

    scaled = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    flip = transforms.RandomHorizontalFlip()
    if objective == "cross_entropy":
        both: Callable[[Any], Tensor] = transforms.Compose([transforms.RandomCrop(size, padding=4), flip, *scaled])
        return both
    jitter = transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    crop, grey = transforms.RandomResizedCrop(size, scale=(0.2, 1.0)), transforms.RandomGrayscale(p=0.2)
    change: Callable[[Any], Tensor] = transforms.Compose([crop, flip, jitter, grey, *scaled])
    return TwoCrops(change)


def released(job: Job, warm: Callable[[], None]) -> None:
    """Train as the released code does: PIL transforms in a DataLoader without workers; eager, NCHW, float32."""
    pictures = Pictures(
        random_split(job.batch_size * job.steps, 3, job.size), released_transform(job.objective, job.size)
    )
    loader = DataLoader(pictures, batch_size=job.batch_size, shuffle=True, drop_last=True)
    network = new_network(ImageShape(3, job.size, job.size))
    if job.objective == "supcon":
        network.add_projector(128)
    network.to(job.device)
    loss_of = _two_crop_loss if job.objective == "supcon" else _classification_loss
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for epoch in range(2):
        for images, labels in loader:
            loss = loss_of(network, images, labels.to(job.device), job.device)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            loss.item()
        if epoch == 0:
            warm()


def _classification_loss(network: Network, images: Tensor, labels: Tensor, device: str) -> Tensor:
    return cross_entropy(network.logits(images.to(device)), labels)


def _two_crop_loss(network: Network, images: list[Tensor], labels: Tensor, device: str) -> Tensor:
    projections = network.projections(torch.cat(images).to(device))
    return supcon_loss(torch.stack(projections.chunk(2), dim=1), labels, 0.5, 0.07)


if __name__ == "__main__":
    main(sys.argv[1])
