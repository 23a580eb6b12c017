"""The layers of a network that have weights: how many, how many are zero, and the arithmetic they stand for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.images import ImageShape
from prunekit.masks import PRUNABLE, count_zeros, find_targets
from prunekit.observed import Layer
from prunekit.protocols import TargetSelection
from prunekit.ranking import TRANSPOSED
from prunekit.state import evaluating


def layers_of(network: nn.Module, shape: ImageShape) -> tuple[Layer, ...]:
    """Return the convolutions and linear layers of ``network``, in its order; tied weights once, by their first name.

    The multiply–accumulates are those of one image of ``shape`` in eval mode, without biases, as if no weight were
    zero. They are counted where a layer is called: a network that takes the weights of a layer without calling it, as
    torch.nn.MultiheadAttention does with its last one, has 0 there. The network is left as it was.
    Raises InputError where there is no such layer.
    """
    targets = find_targets(network, TargetSelection(exclude=[]))
    arithmetic = _multiply_accumulates(network, shape)
    return tuple(
        Layer(
            name=target.name.removesuffix("weight").removesuffix("."),
            kind="linear" if isinstance(target.module, nn.Linear) else "conv",
            parameters=target.parameter.numel(),
            zeros=count_zeros([target])[0],
            multiply_accumulates=arithmetic[id(target.parameter)],
        )
        for target in targets
    )


@torch.no_grad()
def _multiply_accumulates(network: nn.Module, shape: ImageShape) -> Counter[int]:
    """Count the multiply–accumulates of one image, by the identity of the weight that takes part in them."""
    found: Counter[int] = Counter()

    def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Each output meets the weights of its filter; of a transposed convolution each input does."""
        meeting = inputs[0] if isinstance(layer, TRANSPOSED) else output
        found[id(layer.weight)] += meeting.numel() * layer.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, PRUNABLE)]
    like = next(network.parameters())
    try:
        with evaluating(network):
            network(torch.zeros(1, shape.channels, shape.height, shape.width, device=like.device, dtype=like.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return found
