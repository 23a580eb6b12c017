"""SynFlow: how much of the flow through the network passes a weight. Looks at no data."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from prunekit import Criterion, InputError, PruningContext, register

from ._examples import device_of, first_examples, gradients, inputs_of
from ._modes import scoring
from ._precision import has_float64


@register("synflow", source="Tanaka et al. 2020, arXiv 2006.05467, algorithm 1")
class Synflow(Criterion):
    """Keep the weights of largest |θ ⊙ ∂R/∂θ|, R the sum of the outputs of the network |θ| for an input of ones.

    Meant for many rounds of an exponential schedule, 100 in the paper. The absolute value is taken of all parameters
    and of the buffers of the state dict, as in the authors' code: of biases, of BatchNorm's scale and shift and of its
    running means too. BatchNorm normalises with running statistics. R is 1ᵀ∏|θ|·1 for linear layers, ReLU, pooling and
    BatchNorm at its initialisation; through tanh, GELU, LayerNorm, attention, or means that BatchNorm has learnt, R is
    what that network of absolute weights says, its derivative may have either sign, and a gate that saturates (the hard
    sigmoid of squeeze-and-excite) leaves weights behind it without a score. Computed in float64, on the CPU where the
    device has none, on a copy of the weights.
    """

    input_shape: list[Annotated[int, Field(ge=1)]] | None = None
    """Shape of one example, such as [3, 32, 32]; null: that of the first training example."""

    @property
    def reading(self) -> str:
        """Say what the absolute value is taken of, and in which mode and precision."""
        return f"{self.name}: |θ| of all parameters and saved buffers, BatchNorm with running statistics, in float64"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return |θ ⊙ ∂R/∂θ|, float64; on a device without float64 float32, divided by the largest.

        Raises InputError where no shape of an input is known, the model cannot be called with ones in float64, or R or
        a score is not finite.
        """
        device = device_of(context)
        wide = has_float64(device)
        tensors = _absolute(context, device if wide else torch.device("cpu"))
        names = {id(parameter): name for name, parameter in context.model.named_parameters()}
        leaves = [tensors[names[id(target.parameter)]].requires_grad_() for target in context.targets]
        with scoring(context.model), torch.enable_grad():
            total = _flow(context, tensors, self._shape(context))
            found = gradients(total, leaves)
        scores = [(leaf.detach() * gradient).abs() for leaf, gradient in zip(leaves, found, strict=True)]
        for target, score in zip(context.targets, scores, strict=True):
            if not bool(score.isfinite().all()):
                raise InputError(f"scores of {target.name} are not finite, even in float64: {_REMEDY}")
        if not wide:
            largest = max(float(score.max()) for score in scores) or 1.0
            scores = [(score / largest).float().to(device) for score in scores]
        return {target.name: score for target, score in zip(context.targets, scores, strict=True)}

    def _shape(self, context: PruningContext) -> list[int]:
        """Return the shape of one example."""
        if self.input_shape is not None:
            return self.input_shape
        if context.batches is None:
            raise InputError("it needs the shape of an input: pass data=, or set input_shape, such as [3, 32, 32]")
        first = inputs_of(next(first_examples(context, 1)))
        if not first.is_floating_point():
            raise InputError(f"it calls the model with ones, and the inputs are {first.dtype}: expected real numbers")
        return list(first.shape[1:])


_REMEDY = "the weights are too large for so deep a network; scale them down, or begin from an initialisation"


def _absolute(context: PruningContext, device: torch.device) -> dict[str, Tensor]:
    """Return float64 copies by name: absolute values of parameters and saved buffers, other buffers as they are."""
    parameters = dict(context.model.named_parameters())
    positive = parameters.keys() | context.model.state_dict().keys()
    copies = {}
    for name, tensor in {**parameters, **dict(context.model.named_buffers())}.items():
        real = tensor.is_floating_point()
        copy = tensor.detach().to(device, torch.float64 if real else tensor.dtype, copy=True)
        copies[name] = copy.abs_() if real and name in positive else copy
    return copies


def _flow(context: PruningContext, tensors: dict[str, Tensor], shape: list[int]) -> Tensor:
    """Return R, a scalar."""
    device = tensors[next(iter(tensors))].device
    ones = torch.ones(1, *shape, dtype=torch.float64, device=device)
    try:
        outputs: object = functional_call(context.model, tensors, (ones,))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the model cannot be called with ones {[1, *shape]} in float64: {reason}") from error
    if not isinstance(outputs, Tensor):
        raise InputError(f"it needs a model that returns a tensor, not a {type(outputs).__name__}")
    total = outputs.sum()
    if not bool(total.detach().isfinite()):
        raise InputError(f"the sum of the outputs is {float(total.detach())}, even in float64: {_REMEDY}")
    return total
