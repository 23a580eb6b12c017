"""The exact Gauss–Newton diagonal on 32×32 images: prunekit, one backward pass per class with hooks, and BackPACK.

    python benchmarks/gauss_newton.py [--examples 100] [--repeats 3] [--whole 1000] [--allocator] [--rounds 140]

*hooks* is the method of Laurent et al.: a backward pass per class, in which hooks multiply out the weight gradient of
every example, square it and add. *BackPACK* is DiagGGNExact, on VGG11 alone: it takes no residual networks as they are.
Seconds are those that one core computed, in one thread, so that other work on the machine matters less; each
measurement is a process of its own, and they take turns. The time of all three is proportional to the examples, so the
comparison takes ``--examples`` of them; prunekit goes through ``--whole`` besides. ``--rounds``: quadratic-model
pruning of VGG11 in so many exponential rounds: all of the masking, and the scoring of a few rounds.

``--allocator``: with the settings of the C library that processes of ``prunekit run`` have, under which it keeps memory
for the next step. All gain by them; the hooks, which allocate most, gain most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.images import ImageShape
from prunekit.masks import find_targets, grow
from prunekit.plugins.criteria._gauss_newton import gauss_newton_diagonal
from prunekit.plugins.criteria.qm import QuadraticModel
from prunekit.pool import worker_environment
from prunekit.protocols import PruningContext
from prunekit.registry import registry

CLASSES = 10
BATCHES = {"hooks": 32, "backpack": 16, "prunekit": 100}
"""Examples at a time: the references materialise a gradient of each. prunekit takes smaller chunks by itself."""
SCORED_ROUNDS = (0, 70, 139)
SPARSITY = 0.956
Diagonal = dict[str, Tensor]


def network(name: str) -> nn.Sequential:
    """Return a backbone as it is initialised, with its head; a residual network's BatchNorm has seen some images."""
    torch.manual_seed(0)
    entry, options = registry.find("backbone", name)
    backbone: Any = entry.plugin(**options)
    encoder = backbone.build(ImageShape(3, 32, 32))
    model = nn.Sequential(encoder, backbone.head(512, CLASSES))
    with torch.no_grad():
        model.train()(images(64))
    return model.eval()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def layers(model: nn.Module) -> dict[str, nn.Module]:
    return {f"{n}.weight": module for n, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def hooks(model: nn.Sequential, inputs: Tensor) -> Diagonal:
    chosen = layers(model)
    sums = {name: torch.zeros_like(module.weight) for name, module in chosen.items()}
    taken: dict[str, Tensor] = {}

    def after_forward(name: str, module: nn.Module, args: Any, output: Tensor) -> None:
        taken[name] = args[0].detach()
        output.register_hook(lambda gradient: add(name, module, gradient))

    def add(name: str, module: nn.Module, gradient: Tensor) -> None:
        each = taken[name][:, :, None]
        if isinstance(module, nn.Conv2d):
            each = F.unfold(taken[name], module.kernel_size, module.dilation, module.padding, module.stride)
        weights = torch.bmm(gradient.flatten(2) if gradient.dim() > 2 else gradient[:, :, None], each.transpose(1, 2))
        sums[name] += (weights**2).sum(0).view_as(sums[name])

    handles = [m.register_forward_hook(lambda *a, n=n: after_forward(n, *a)) for n, m in chosen.items()]
    for some in inputs.split(BATCHES["hooks"]):
        some = some.clone().requires_grad_()
        logits = model(some)
        p = logits.detach().softmax(1)
        for label in range(CLASSES):  # √p (e − p): the columns of a square root of diag(p) − p pᵀ
            column = p[:, label : label + 1].sqrt() * (F.one_hot(torch.tensor(label), CLASSES) - p)
            torch.autograd.grad(logits, some, column, retain_graph=label < CLASSES - 1)
    for handle in handles:
        handle.remove()
    return {name: each / len(inputs) for name, each in sums.items()}


def backpack(model: nn.Sequential, inputs: Tensor) -> Diagonal:
    import backpack
    from backpack.extensions import DiagGGNExact

    encoder, head = model
    flat = backpack.extend(nn.Sequential(*encoder.children(), head))
    loss = backpack.extend(nn.CrossEntropyLoss(reduction="sum"))
    of = {id(p): name for name, p in model.named_parameters()}
    sums: Diagonal = {}
    for some in inputs.split(BATCHES["backpack"]):
        with backpack.backpack(DiagGGNExact()):
            loss(flat(some), torch.zeros(len(some), dtype=torch.int64)).backward()
        for p in flat.parameters():
            sums[of[id(p)]] = sums.get(of[id(p)], 0) + p.diag_ggn_exact
            del p.diag_ggn_exact
    return {name: each / len(inputs) for name, each in sums.items() if name in layers(model)}


def prunekit(model: nn.Sequential, inputs: Tensor) -> Diagonal:
    wanted = {name: module.weight for name, module in layers(model).items()}
    return gauss_newton_diagonal(model, wanted, inputs.split(BATCHES["prunekit"]))


SIDES: dict[str, Callable[[nn.Sequential, Tensor], Diagonal]] = {
    "hooks": hooks,
    "backpack": backpack,
    "prunekit": prunekit,
}


def measure(side: str, name: str, examples: int, found: str) -> dict[str, float]:
    """Return core seconds, and peak memory of this process in GB; save the diagonal."""
    model, inputs = network(name), images(examples)
    begun = time.process_time()
    diagonal = SIDES[side](model, inputs)
    seconds = time.process_time() - begun
    torch.save(diagonal, found)
    return {"seconds": seconds, "peak": peak()}


def peak() -> float:
    """Return the largest resident set so far in GB (``ru_maxrss`` would begin with the parent process's). Linux."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def in_a_process(*arguments: Any) -> Any:
    """Return what this file finds out in a process that does nothing else, of one thread."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    tuned = worker_environment(threads=1)
    if "--allocator" not in sys.argv:
        tuned = {key: value for key, value in tuned.items() if not key.startswith("MALLOC")}
    environment = {**os.environ, **tuned}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def rounds(count: int, examples: int) -> dict[str, float]:
    """Return core seconds of all maskings, and of all scorings as a few of them foretell."""
    model, data = network("vgg11"), images(examples)
    labels = torch.arange(examples) % CLASSES
    batches = list(zip(data.split(100), labels.split(100), strict=True))
    context = PruningContext(model, find_targets(model), torch.Generator(), None, lambda: iter(batches))
    criterion = QuadraticModel(examples=examples)
    scoring, masking = [], 0.0
    for done in range(count):
        begun = time.process_time()
        if done in SCORED_ROUNDS or not scoring:
            scores = criterion.scores(context)
            scoring.append(time.process_time() - begun)
        begun = time.process_time()
        grow(context.targets, scores, 1 - (1 - SPARSITY) ** ((done + 1) / count), "network")
        masking += time.process_time() - begun
    return {"masking": masking, "scoring": statistics.mean(scoring) * count, "scored": len(scoring)}


def compare(name: str, examples: int, repeats: int) -> None:
    """Print a table of all sides, which take turns, and how far their diagonals lie apart."""
    sides = [side for side in SIDES if side != "backpack" or name == "vgg11"]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for side in sides:
                found[side].append(in_a_process(side, name, examples, Path(folder) / side))
        diagonals = {side: torch.load(Path(folder) / side) for side in sides}
    medians = {side: statistics.median(each["seconds"] for each in found[side]) for side in sides}
    table = Table(
        "", "core seconds", "prunekit is faster", "peak memory", "differs by", title=f"{name}, {examples} examples"
    )
    for side in sides:
        ours = diagonals["prunekit"]
        apart = max(float((ours[n] - d).norm() / d.norm()) for n, d in diagonals[side].items())
        assert apart < 1e-5
        assert ours.keys() == diagonals[side].keys()
        most = max(each["peak"] for each in found[side])
        ratio = f"{medians[side] / medians['prunekit']:.1f}×"
        table.add_row(side, f"{medians[side]:.1f}", ratio, f"{most:.2f} GB", f"{apart:.0e}")
    Console(width=100).print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--examples", type=int, default=100)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--whole", type=int, default=1000)
    options.add_argument("--rounds", type=int)
    options.add_argument("--allocator", action="store_true")
    options.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.measure:
        side, *rest = chosen.measure
        if side == "rounds":
            print(json.dumps(rounds(*map(int, rest))))
        else:
            print(json.dumps(measure(side, rest[0], int(rest[1]), rest[2])))
        return
    if chosen.rounds:
        took = in_a_process("rounds", chosen.rounds, chosen.whole)
        scoring = f"scoring {took['scoring']:.0f} (from {took['scored']:.0f} of them)"
        print(f"{chosen.rounds} rounds of qm on vgg11, {chosen.whole} examples, core seconds:")
        print(f"masking {took['masking']:.1f}, {scoring}: {took['masking'] / took['scoring']:.2%}")
        return
    for name in ("vgg11", "preact_resnet18"):
        compare(name, chosen.examples, chosen.repeats)
        with tempfile.NamedTemporaryFile() as file:
            whole = in_a_process("prunekit", name, chosen.whole, file.name)
        print(f"{name}, {chosen.whole} examples: {whole['seconds']:.0f} core seconds, peak {whole['peak']:.2f} GB")


if __name__ == "__main__":
    main()
