"""Probe points: where a network holds something of every image, and how that is taken from it.

A point is the output of a module of the encoder, such as ``groups.0.0``, or with ``:input`` what goes into it, such as
``groups.0.0.conv2:input``. ``input`` are the images as the encoder gets them, ``softmax`` the class probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from prunekit.data import DeviceData
from prunekit.errors import InputError, did_you_mean
from prunekit.images import ImageShape
from prunekit.observed import Part, Representation

AT_ONCE = 300_000_000
"""Bytes of representations that are held at once: several small ones share a pass over the images, as a pass for each
would cost as many times the computation. One that is larger has a pass, and the memory, to itself."""
BATCH = 128
"""Images at once: few, to leave memory to what is held of them; on a CPU also faster. Bits may depend on it."""
INPUT, SOFTMAX = "input", "softmax"
BLOCKS, CONVOLUTIONS, PAPER = "blocks", "convolutions", "paper"
_INTO = ":input"
_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_IMAGES = 3
"""Images of the pass that finds the points."""


class ProbedNetwork(Protocol):
    """What is asked of a network: logits are ``head(encoder(images))``."""

    encoder: nn.Module
    head: nn.Linear
    probes: Mapping[str, Sequence[str]]
    """Sets of points that have a name for this encoder: what :meth:`prunekit.Backbone.probes` returned."""

    def logits(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, classes]."""


def representations(
    network: ProbedNetwork, data: DeviceData, part: Part, probes: str | Sequence[str], *, pool: bool
) -> Iterator[Representation]:
    """Yield what the probes hold of the training images and of ``part``, in the order of execution, float32.

    ``network`` is in eval mode. ``probes`` are a set's name (see :func:`find_points`) or patterns of names. Where
    ``part`` is the training images, bank and queries are the same array. Raises InputError as ``find_points`` does,
    before anything is yielded.
    """
    shape = ImageShape(*data.source.train.images.shape[1:])
    widths = find_points(network, shape, data.device, probes, pool=pool)
    parts: tuple[Part, ...] = ("train", part) if part != "train" else ("train",)
    examples = sum(len(data.part(each)) for each in parts)

    def stream() -> Iterator[Representation]:
        for names in _passes(widths, examples):
            some = {name: widths[name] for name in names}
            held = {each: _held(network, data, each, some, pool) for each in parts}
            for name in names:
                bank = held["train"].pop(name)
                yield Representation(name, bank, held[part].pop(name, bank))
                del bank

    return stream()


def find_points(
    network: ProbedNetwork, shape: ImageShape, device: str, probes: str | Sequence[str], *, pool: bool
) -> dict[str, int]:
    """Return the points that ``probes`` name, in the order of execution, and how many numbers each holds of an image.

    A set is ``blocks`` (the images, what every block returns, the class probabilities), ``convolutions`` (what every
    two-dimensional convolution returns) or one that the network names; ``paper`` is ``blocks`` where it names no such
    set. Patterns are globs on names of points; those
    without ``:`` match no input of a module. Of a module that runs several times the last counts; what is not run, or
    does not hold something of every image, is no point. Raises InputError on a set that does not exist and on a
    pattern that matches nothing, with the nearest names.
    """
    points = _all_points(network, shape, device, pool)
    if isinstance(probes, str):
        chosen = _set(network, points, probes)
    else:
        chosen = {name for pattern in probes for name in _matching(points, pattern)}
    return {name: width for name, width in points.items() if name in chosen}


def _set(network: ProbedNetwork, points: Mapping[str, int], name: str) -> set[str]:
    encoder, named = network.encoder, network.probes
    if name in named:
        return {each for pattern in named[name] for each in _matching(points, pattern)}
    if name in (BLOCKS, PAPER):
        return {INPUT, *blocks(encoder, points), SOFTMAX}
    if name != CONVOLUTIONS:
        known = did_you_mean(name, {BLOCKS, CONVOLUTIONS, *named})
        raise InputError(f"probes: the model has no set {name!r}{known}: take another, or a list of patterns")
    found = {path for path, module in encoder.named_modules() if isinstance(module, nn.Conv2d)} & points.keys()
    if not found:
        raise InputError(f"probes: the model has no convolutions: take {BLOCKS!r}, or a list of patterns")
    return found


def _matching(points: Mapping[str, int], pattern: str) -> list[str]:
    found = [name for name in points if fnmatchcase(name, pattern) and (":" in name) == (":" in pattern)]
    if not found:
        raise InputError(f"probes: nothing in the model matches {pattern!r}{did_you_mean(pattern, points)}")
    return found


def _passes(widths: Mapping[str, int], examples: int) -> Iterator[list[str]]:
    """Yield which points share a pass over the images, as many of those next to each other as may be held at once."""
    names: list[str] = []
    held = 0
    for name, width in widths.items():
        size = width * examples * np.dtype(np.float32).itemsize
        if names and held + size > AT_ONCE:
            yield names
            names, held = [], 0
        names.append(name)
        held += size
    yield names


# ----------------------------------------------------------------------------------------------------- taking


def _all_points(network: ProbedNetwork, shape: ImageShape, device: str, pool: bool) -> dict[str, int]:
    """Return every point, in the order of execution, and its width."""
    widths: dict[str, int] = {}

    def note(name: str, values: Tensor) -> None:
        widths.pop(name, None)
        if values.ndim > 1 and len(values) == _IMAGES and values.is_floating_point():
            widths[name] = _rows(values, shape, pool).shape[1]

    paths = [path for path, _ in network.encoder.named_modules() if path not in ("", INPUT, SOFTMAX)]
    names = [INPUT, *paths, *(path + _INTO for path in paths), SOFTMAX]
    with torch.no_grad(), _tapped(network, names, note):
        network.logits(torch.zeros(_IMAGES, shape.channels, shape.height, shape.width, device=device))
    return widths


def _held(
    network: ProbedNetwork, data: DeviceData, part: Part, widths: Mapping[str, int], pool: bool
) -> dict[str, NDArray[np.float32]]:
    """Return what the points hold of the images of ``part``, each [N, width], from one pass over them."""
    images = data.part(part).images
    shape = ImageShape(*images.shape[1:])
    held = {name: np.empty((len(images), width), np.float32) for name, width in widths.items()}
    begin = 0

    def take(name: str, values: Tensor) -> None:
        held[name][begin : begin + len(values)] = _rows(values, shape, pool).cpu().numpy()  # a copy: ReLUs overwrite

    with torch.no_grad(), _tapped(network, list(widths), take):
        for batch in data.batches(part, BATCH):
            network.logits(batch.images[0])
            begin += len(batch.labels)
    return held


@contextmanager
def _tapped(network: ProbedNetwork, names: Sequence[str], take: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Let ``take`` see what passes the points of these names, as long as the context lasts."""
    modules = {**dict(network.encoder.named_modules()), INPUT: network.encoder, SOFTMAX: network.head}
    hooks: list[torch.utils.hooks.RemovableHandle] = []

    def look(name: str, values: object) -> None:
        if isinstance(values, tuple | list):
            values = next((each for each in values if isinstance(each, Tensor)), None)
        if isinstance(values, Tensor):
            take(name, values)

    def tap(name: str) -> None:
        module = modules[name.removesuffix(_INTO)]
        if name == SOFTMAX:
            hook = module.register_forward_hook(lambda _, given, logits: take(name, logits.float().softmax(dim=1)))
        elif name == INPUT or name.endswith(_INTO):
            hook = module.register_forward_pre_hook(lambda _, given: look(name, given))
        else:
            hook = module.register_forward_hook(lambda _, given, returned: look(name, returned))
        hooks.append(hook)

    try:
        for name in names:
            tap(name)
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rows(values: Tensor, image: ImageShape, pool: bool) -> Tensor:
    """Return float32 [B, D]: averaged over positions or tokens with ``pool``, else flattened."""
    values = values.float()
    if pool and values.ndim == 3:  # [B, tokens, D]
        values = values.mean(dim=1)
    elif pool and values.ndim == 4:
        last = not _is_map(values.shape[2:], image) and _is_map(values.shape[1:3], image)
        values = values.mean(dim=(1, 2) if last else (2, 3))
    return values.flatten(1)


def _is_map(sizes: Sequence[int], image: ImageShape) -> bool:
    """Whether two dimensions have the proportions of the image: some transformers return [B, H, W, D]."""
    height, width = sizes
    return width == round(height * image.width / image.height)


# ----------------------------------------------------------------------------------------------------- blocks


def blocks(encoder: nn.Module, points: Collection[str] | None = None) -> list[str]:
    """Return the names of the blocks of an encoder; only of those that are ``points``, where these are given.

    A block is what a list of modules (``nn.Sequential`` and its like) repeats: an element with at least two layers that
    have weights, or, of stages that hold lists of their own, an element of those, if it is a point. An encoder without
    such lists is made of its direct parts with two layers (of GoogLeNet, the inceptions), or, where that is a single
    one, of the blocks in there; without such parts (VGG), of its layers.
    """
    layers = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear | _ConvNd)]
    there = {name for name, _ in encoder.named_modules()} if points is None else points
    return [name for name in _repeated(encoder, "", there) or layers if name in there]


def _repeated(module: nn.Module, path: str, points: Collection[str]) -> list[str]:
    if listed := _listed(module, path, points):
        return listed
    parts = {name: part for name, part in module.named_children() if _is_block(part) and not _is_list(part)}
    if len(parts) == 1:
        ((name, part),) = parts.items()
        return _repeated(part, f"{path}{name}.", points)
    return [f"{path}{name}" for name in parts]


def _listed(module: nn.Module, path: str, points: Collection[str]) -> list[str]:
    """Return the blocks in the lists that are direct children of a module."""
    found = []
    for name, child in module.named_children():
        if _is_list(child):
            found += _elements(child, f"{path}{name}.", points)
    return found


def _elements(modules: nn.Module, path: str, points: Collection[str]) -> list[str]:
    found = []
    for name, child in modules.named_children():
        if _is_list(child) and any(map(_is_block, child.children())):
            found += _elements(child, f"{path}{name}.", points)
        elif _is_block(child):
            # what a block repeats may run on patches of all images at once: then the block is what can be probed
            inner = _listed(child, f"{path}{name}.", points)
            found += inner if any(each in points for each in inner) else [f"{path}{name}"]
    return found


def _is_list(module: nn.Module) -> bool:
    """Whether a module holds nothing but a list: one of torch's own, or blocks of a class called ``b1``, ``b2``, …

    Numbered sequences are no list: the branches of a block, which run side by side.
    """
    children = dict(module.named_children())
    stems = {name.rstrip("0123456789") for name in children}
    numbered = len(stems) == 1 and all(name[-1].isdigit() for name in children)
    kinds = {type(child) for child in children.values()}
    return isinstance(module, _LISTS) or (numbered and len(kinds) == 1 and not kinds & {*_LISTS})


def _is_block(module: nn.Module) -> bool:
    return sum(isinstance(each, nn.Linear | _ConvNd) for each in module.modules()) > 1
