"""The exact diagonal of the Gauss–Newton matrix of softmax cross-entropy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from prunekit import InputError

from ._layer_calls import Calls, Layer, hooked_layers, recording
from ._layer_squares import bias_squares, transient_elements, weight_squares
from ._modes import scoring

MEMORY = 3 << 28
"""Bytes that a pass over some of the examples may take, by default: 768 MiB."""
_MOST_EXAMPLES = 128
"""Examples of one pass: more would not make it faster."""


def gauss_newton_diagonal(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], batches: Iterable[Tensor], *, memory: int = MEMORY
) -> dict[str, Tensor]:
    """Return the mean over examples of diag(Jᵀ (diag(p) − p pᵀ) J), by name, in the shape of each parameter.

    J is the Jacobian of an example's logits [C] with respect to the parameter, p their softmax; no labels are needed.
    The model is in eval mode meanwhile, and is left as it was found. With a factor S Sᵀ of the middle matrix, which
    has C − 1 columns, an entry is Σ_c (∂ (s_c · logits) / ∂ θ)²: C − 1 backward passes for each chunk of examples.

    ``batches``: inputs of the model [B, …], on its device. Examples go through it in chunks of any size.
    ``memory``: bytes that activations and gradients of a chunk may take; at least one example is taken.

    Linear layers and convolutions of one to three dimensions are summed from what goes in and the gradient of what
    comes out, without a gradient per example. Weights of anything else get theirs from one backward pass per example
    and column, which is as exact and slow: transposed convolutions, modules called several times or not at all
    (``torch.nn.MultiheadAttention`` takes the weight of its ``out_proj``), shared weights, subclasses with a forward of
    their own, layers whose input has the examples in no dimension of its own (windows of attention).

    Source: Schraudolph 2002; Laurent et al. 2020, arXiv 2006.12279, §2; the factor: Tanabe & Sagae 1992.
    Raises InputError where the model's outputs are not logits [B, C], C ≥ 2, or depend on none of the parameters.
    """
    seen = 0
    # compiled code would hide its layers
    with scoring(model), torch.enable_grad(), torch.compiler.set_stance("force_eager"):
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        totals = {name: torch.zeros_like(p, dtype=_precision(p), requires_grad=False) for name, p in parameters.items()}
        plan: _Plan | None = None
        for batch in batches:
            if not len(batch):
                continue
            inputs = batch.detach()
            if plan is None or plan.shape != inputs.shape[1:]:
                plan = _Plan(model, parameters, inputs, memory)
            plan.add(inputs, totals)
            seen += len(inputs)
    if not seen:
        raise InputError("the Gauss–Newton diagonal is a mean over examples, and there are none")
    return {name: total.div_(seen) for name, total in totals.items()}


def covariance_factor(logits: Tensor) -> Tensor:
    """Return S [C − 1, B, C] with Σ_c S[c] S[c]ᵀ = diag(p) − p pᵀ, p the softmax of logits [B, C].

    The Cholesky factor in closed form (Tanabe & Sagae 1992): with the tails t_j = Σ_{k>j} p_k, column j is
    √(p_j t_j / t_{j−1}) on the diagonal and −p_i / t_j times that below. No differences, and p_i ≤ t_j: it is exact
    to rounding for p near 0 and 1.
    """
    p = logits.detach().to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    tails = p.flip(1).cumsum(1).flip(1)  # t_{j−1}
    before, after = tails[:, :-1], tails[:, 1:]
    share = torch.where(before > 0, p[:, :-1] / before, 0)
    diagonal = share.sqrt() * after.sqrt()
    below = torch.where(after[:, :, None] > 0, p[:, None, :] / after[:, :, None], 0).triu(1)  # [B, C − 1, C]
    columns = torch.diag_embed(diagonal, dim1=1, dim2=2)
    factor = nn.functional.pad(columns, (0, 1)) - below * diagonal[:, :, None]
    return factor.transpose(0, 1).to(logits.dtype)


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the model's logits [B, C]. Raises InputError where it returns anything else."""
    logits: object = model(inputs)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(inputs) or logits.shape[1] < 2:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            "the Gauss–Newton diagonal is of softmax cross-entropy: expected logits "
            f"[{len(inputs)}, at least 2 classes] of {len(inputs)} examples, and the model returned {found}"
        )
    if not logits.requires_grad:
        raise InputError("the model's logits depend on none of the weights: is its forward under torch.no_grad()?")
    return logits


class _Plan:
    """How examples of one shape are gone through: which layers are hooked, how many examples and columns at a time."""

    def __init__(self, model: nn.Module, parameters: Mapping[str, nn.Parameter], inputs: Tensor, memory: int) -> None:
        self.model, self.shape = model, inputs.shape[1:]
        self.layers = hooked_layers(model, parameters, inputs, logits_of)
        hooked = {name for layer in self.layers for name in layer.names.values()}
        self.rest = {name: parameter for name, parameter in parameters.items() if name not in hooked}
        self.examples, self.columns = self._sizes(inputs[:1], memory) if self.layers else (_MOST_EXAMPLES, 1)

    def add(self, inputs: Tensor, totals: Mapping[str, Tensor]) -> None:
        """Add the sum over ``inputs`` to ``totals``."""
        for some in torch.split(inputs, self.examples):
            if self.layers:
                self._add_layers(some, totals)
            if self.rest:
                _add_one_by_one(self.model, self.rest, some, totals)

    def _add_layers(self, inputs: Tensor, totals: Mapping[str, Tensor]) -> None:
        with recording(self.layers) as calls:
            logits = logits_of(self.model, inputs)
        for columns in torch.split(covariance_factor(logits), self.columns):
            deltas = _deltas(logits, calls, columns)
            for layer, call, of_columns in zip(self.layers, calls, deltas, strict=True):
                of_layer = torch.stack([delta.movedim(layer.batch, 0) for delta in of_columns])
                of_columns.clear()
                _add_layer(layer, call.input.movedim(layer.batch, 0), of_layer, totals)

    def _sizes(self, example: Tensor, memory: int) -> tuple[int, int]:
        """Return how many examples, and how many columns of each, fit into ``memory`` bytes."""
        ours = {p.untyped_storage().data_ptr() for p in (*self.model.parameters(), *self.model.buffers())}
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in ours:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with recording(self.layers) as calls, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            logits = logits_of(self.model, example)
        size = max(4, logits.element_size())
        activations = 2 * sum(kept.values())  # the backward pass has about as much again
        column = size * sum(call.output_shape.numel() for call in calls)
        columns = min(logits.shape[1] - 1, max(1, (memory - activations) // (2 * column)))
        transient = max(
            transient_elements(layer.module, call.input.movedim(layer.batch, 0), columns)
            for layer, call in zip(self.layers, calls, strict=True)
        )
        each = activations + columns * column + transient * size
        return max(1, min(_MOST_EXAMPLES, memory // each)), columns


def _precision(tensor: Tensor) -> torch.dtype:
    """Return what sums are computed in: at least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _deltas(logits: Tensor, calls: Sequence[Calls], columns: Tensor) -> list[list[Tensor]]:
    """Return, by layer, the gradient of each column [B, C] · logits with respect to the layer's output."""
    edges = [call.edge for call in calls if call.edge is not None]
    deltas: list[list[Tensor]] = [[] for _ in calls]
    for column in columns:
        gradients = torch.autograd.grad(logits, edges, column, retain_graph=True, allow_unused=True)
        for of_layer, call, gradient in zip(deltas, calls, gradients, strict=True):
            of_layer.append(logits.new_zeros(call.output_shape) if gradient is None else gradient)
    return deltas


def _add_layer(layer: Layer, inputs: Tensor, deltas: Tensor, totals: Mapping[str, Tensor]) -> None:
    """Add the squares of a layer: inputs [B, …], deltas [C, B, …]."""
    precision = _precision(layer.module.weight)
    inputs, deltas = inputs.to(precision), deltas.to(precision)
    if "weight" in layer.names:
        totals[layer.names["weight"]].add_(weight_squares(layer.module, inputs, deltas))
    if "bias" in layer.names:
        totals[layer.names["bias"]].add_(bias_squares(layer.module, deltas))


def _add_one_by_one(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], inputs: Tensor, totals: Mapping[str, Tensor]
) -> None:
    """Add the squares of the Jacobian products of each example and column."""
    for example in torch.split(inputs, 1):
        logits = logits_of(model, example)
        for column in covariance_factor(logits):
            gradients = torch.autograd.grad(
                logits, list(parameters.values()), column, retain_graph=True, allow_unused=True
            )
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    totals[name].addcmul_(gradient, gradient)
