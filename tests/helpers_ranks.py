"""Two processes that train one model together, over gloo; what each found is written to a file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from helpers_pruner import Rounds, batches, loss, small
from torch import Tensor, distributed, nn
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from prunekit import Criterion, InputError, Pruner, PruningContext
from prunekit.masks import find_targets
from prunekit.ranks import Ranks
from prunekit.registry import registry
from prunekit.seeds import generator

RANKS = 2
NAMES = ("magnitude", "random", "snip", "taylor", "lm", "qm", "obd", "grasp", "synflow", "wanda")
BATCHES = 4
"""Of all ranks together."""


class Careless(Criterion):
    """Scores by gradients of the rank's own data, as somebody writes who never heard of ranks."""

    name = "careless"
    needs_data = True

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        assert context.loss is not None
        assert context.batches is not None
        for batch in context.batches():
            context.loss(context.model, batch).backward()
        return {t.name: t.parameter.grad.abs() for t in context.targets if t.parameter.grad is not None}


def shard(rank: int) -> list[Any]:
    return batches(BATCHES)[rank::RANKS]


def scores(name: str, data: list[Any], ranks: Ranks) -> dict[str, Tensor]:
    """Return the scores of ``data`` in a model that has seen some training."""
    model = small()
    model(batches(1)[0][0])
    criterion = registry.find("criterion", name)[0].plugin.model_validate({})
    assert isinstance(criterion, Criterion)
    draws = generator(0, 0, 0, "criterion")
    return dict(criterion.scores(PruningContext(model, find_targets(model), draws, loss, lambda: iter(data), ranks)))


def training(rank: int) -> dict[str, Any]:
    model = DistributedDataParallel(small())
    steps = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options = {"begin": "1it", "end": "5it", "every": "2it", "criterion": "snip"}
    pruner = Pruner(model, "gmp", sparsity=0.8, optimizer=steps, data=shard(rank), loss=loss, **options)
    for both in range(6):
        steps.zero_grad()
        loss(model, batches(12)[2 * both + rank]).backward()
        steps.step()
    sparsity = pruner.sparsity
    return {"masks": pruner.finalize(), "sparsity": sparsity, "weights": model.module.state_dict()}


def masks(rank: int, criterion: Any, wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
    """Return the masks after three rounds; whatever is drawn outside of criteria differs from rank to rank."""
    torch.manual_seed(100 + rank)
    pruner = Pruner(wrap(small()), Rounds(sparsity=0.75), criterion=criterion, data=shard(rank), loss=loss)
    for _ in range(2):
        pruner.step()
    return pruner.masks


def wrapped_twice(model: nn.Module) -> nn.Module:
    compiled = torch.compile(DistributedDataParallel(model), backend="eager")
    assert isinstance(compiled, nn.Module)
    return compiled


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    file = Path(folder) / "meeting"
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=RANKS)
    try:
        wraps: dict[str, Callable[[nn.Module], nn.Module]] = {
            "inner": lambda model: DistributedDataParallel(model).module,
            "wrapper": DistributedDataParallel,
            "compiled": wrapped_twice,
        }
        found = {
            "masks": {name: masks(rank, name, DistributedDataParallel) for name in NAMES},
            "careless": masks(rank, Careless(), DistributedDataParallel),
            "wraps": {name: masks(rank, "snip", wrap) for name, wrap in wraps.items()},
            "scores": {name: scores(name, shard(rank), Ranks.here()) for name in NAMES},
            "alone": {name: masks(rank, name, alone) for name in ("snip", "random")},
            "training": training(rank),
            "split": split(rank),
            "uneven": Ranks.here().mean(torch.tensor([1.0, 5.0]) * (rank + 1), weight=3 - 2 * rank),
        }
        torch.save(found, Path(folder) / f"{rank}.pt")
    finally:
        distributed.destroy_process_group()


def split(rank: int) -> str:
    """Return what is said of a model whose weights are split over the ranks."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    model = small()
    mesh = init_device_mesh("cpu", (RANKS,))
    model[4].weight = nn.Parameter(distribute_tensor(model[4].weight.detach(), mesh, [Shard(1)]))
    try:
        Pruner(model, sparsity=0.5)
    except InputError as error:
        return str(error)
    return "nothing"


def alone(model: nn.Module) -> nn.Module:
    """Return a model that this process trains by itself, in a group of one."""
    groups = [distributed.new_group([rank]) for rank in range(RANKS)]
    return DistributedDataParallel(model, process_group=groups[distributed.get_rank()])


def run(folder: Path) -> list[dict[str, Any]]:
    """Return what each rank found."""
    sys.stdout.flush()
    spawn(work, (str(folder),), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]
