"""Pruned models on disk: ``prunekit.save_sparse`` against a dense safetensors file, as a Markdown table.

    python benchmarks/sparse_files.py [--sparsity 0.9] [--repeats 3] [NAME …]

Weights are random, float32, pruned by magnitude within the network; what is loaded is compared with what was saved.
Names are those of timm, or of torchvision after ``torchvision/``; the time is the least of the repeats.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

import prunekit

ARCHITECTURES = [
    "torchvision/resnet18",
    "torchvision/resnet50",
    "torchvision/densenet121",
    "torchvision/mobilenet_v3_large",
    "torchvision/vgg16",
    "efficientnet_b0",
    "regnety_016",
    "convnext_tiny",
    "vit_tiny_patch16_224",
    "deit_small_patch16_224",
    "swin_tiny_patch4_window7_224",
    "mixer_b16_224",
]


def main() -> int:
    """Print one row per architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=ARCHITECTURES)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| architecture | weights | dense file | at {arguments.sparsity:.4g} | ratio | save | load |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.names:
        print(row(name, arguments.sparsity, arguments.repeats), flush=True)
    return 0


def row(name: str, sparsity: float, repeats: int) -> str:
    """Return the row of one architecture."""
    model = build(name)
    prunekit.Pruner(model, sparsity=sparsity).finalize()
    state = model.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        dense, sparse = Path(folder) / "dense.safetensors", Path(folder) / "sparse.safetensors"
        save_file(state, dense)
        save = fastest(lambda: prunekit.save_sparse(model, sparse), repeats)
        load = fastest(lambda: prunekit.load_sparse(sparse), repeats)
        refuse_differences(prunekit.load_sparse(sparse), state)
        sizes = [path.stat().st_size for path in (dense, sparse)]
    weights = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"| {name} | {weights / 1e6:.1f} M | {sizes[0] / 1e6:.1f} MB | {sizes[1] / 1e6:.1f} MB "
        f"| {sizes[1] / sizes[0]:.1%} | {save:.2f} s | {load:.2f} s |"
    )


def build(name: str) -> nn.Module:
    """Return an architecture with random weights."""
    torch.manual_seed(0)
    library, _, rest = name.rpartition("/")
    model: nn.Module = models.get_model(rest) if library == "torchvision" else timm.create_model(name)
    return model


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the least seconds that ``work`` took."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def refuse_differences(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Stop where an entry is not the one that was saved."""
    same = list(found) == list(expected) and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )
    if not same:
        raise SystemExit("what was loaded is not what was saved")


if __name__ == "__main__":
    sys.exit(main())
