"""What every registered criterion must keep to, on a plain CNN, a ResNet, a MobileNet and a vision transformer."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit import Criterion, ImageShape, InputError, Pruner, PruningContext
from prunekit.masks import find_targets, grow
from prunekit.protocols import Backbone, Target, Within
from prunekit.registry import registry
from prunekit.seeds import generator

NAMES = registry.names("criterion")
NEED_DATA = [name for name in NAMES if registry.find("criterion", name)[0].plugin.needs_data]  # type: ignore[attr-defined]
CLASSES = 3
SHAPES = {"cnn": (1, 9, 9), "wrn10_1": (3, 8, 8), "mobilenet": (3, 32, 32), "vit": (3, 32, 32)}
pytestmark = pytest.mark.filterwarnings("ignore:nothing is left of")
everywhere = pytest.mark.parametrize("architecture", SHAPES)
every = pytest.mark.parametrize("name", NAMES)


def build(architecture: str) -> nn.Module:
    import timm

    if architecture == "mobilenet":  # depthwise convolutions, squeeze-and-excite, hard swish
        model: nn.Module = timm.create_model("mobilenetv3_small_050", num_classes=CLASSES, drop_rate=0.3)
        return model
    if architecture == "vit":
        size = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
        vit: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, proj_drop_rate=0.3, **size)
        return vit
    if architecture == "wrn10_1":
        entry, options = registry.find("backbone", "wrn10_1")
        backbone = entry.plugin.model_validate(options)
        assert isinstance(backbone, Backbone)
        return nn.Sequential(backbone.build(ImageShape(*SHAPES[architecture])), nn.Linear(64, CLASSES))
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        *(nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(8, 6, 2, dilation=2, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 2 * 2, CLASSES)),
    )


@functools.cache
def data(architecture: str) -> list[tuple[Tensor, Tensor]]:
    draws = torch.Generator().manual_seed(11)
    shape = SHAPES[architecture]
    return [(torch.randn(6, *shape, generator=draws), torch.arange(6) % CLASSES) for _ in range(2)]


@functools.cache
def _trained(architecture: str) -> nn.Module:
    """With gradients and BatchNorm statistics that are not those of the initialisation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(architecture)
        loss(model, data(architecture)[0]).backward()
    return model


def fresh(architecture: str) -> nn.Module:
    return copy.deepcopy(_trained(architecture)).eval()


def make(name: str) -> Criterion:
    criterion = registry.find("criterion", name)[0].plugin.model_validate({})
    assert isinstance(criterion, Criterion)
    return criterion


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def context(model: nn.Module, architecture: str, seed: int = 0) -> PruningContext:
    draws = generator(seed, 0, 0, "criterion")
    return PruningContext(model, find_targets(model), draws, loss, lambda: iter(data(architecture)))


def score(name: str, model: nn.Module, architecture: str) -> dict[str, Tensor]:
    return dict(make(name).scores(context(model, architecture)))


@functools.cache
def scores(name: str, architecture: str) -> dict[str, Tensor]:
    return score(name, fresh(architecture), architecture)


# ------------------------------------------------------------------------------------------ the network as it was


def everything(model: nn.Module) -> dict[str, Any]:
    """Return a copy of all that a criterion might change."""
    return {
        "parameters": [(p.detach().clone(), p.requires_grad) for p in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "buffers": [b.clone() for b in model.buffers()],
        "objects": [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        "random": torch.get_rng_state(),
        "deterministic": (torch.is_grad_enabled(), torch.backends.cuda.flash_sdp_enabled()),
    }


def assert_same(left: Any, right: Any) -> None:
    if isinstance(left, Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def used(architecture: str) -> nn.Module:
    """In train mode but for one module, and with a parameter that needs no gradient and one that has none."""
    model = fresh(architecture).train()
    next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.LayerNorm)).eval()
    frozen, bare, *_ = model.parameters()
    frozen.requires_grad_(False)
    bare.grad = None
    return model


@every
@everywhere
def test_the_model_is_as_it_was(name: str, architecture: str) -> None:
    model = used(architecture)
    before = everything(model)
    score(name, model, architecture)
    after = everything(model)
    for key in before:
        assert_same(before[key], after[key])


class BrokenError(Exception):
    pass


@every
def test_the_model_is_as_it_was_where_it_raises(name: str) -> None:
    model = used("cnn")
    before = everything(model)

    def fail(*_: object) -> None:
        raise BrokenError

    hook = model[-1].register_forward_pre_hook(fail)  # type: ignore[index]
    with contextlib.suppress(BrokenError):  # some criteria never call the model
        score(name, model, "cnn")
    hook.remove()
    after = everything(model)
    for key in before:
        assert_same(before[key], after[key])


# ------------------------------------------------------------------------------------------ what scores are


@every
@everywhere
def test_every_target_has_finite_scores_of_its_shape(name: str, architecture: str) -> None:
    found = scores(name, architecture)
    targets = find_targets(fresh(architecture))
    assert len(targets) >= 4
    for target in targets:
        assert found[target.name].shape == target.parameter.shape
        assert found[target.name].isfinite().all()
        assert not found[target.name].requires_grad
    assert len(torch.cat([found[target.name].flatten() for target in targets]).unique()) > 100


@every
@everywhere
def test_the_same_generator_gives_the_same_scores(name: str, architecture: str) -> None:
    again = score(name, fresh(architecture), architecture)
    assert all(torch.equal(found, again[key]) for key, found in scores(name, architecture).items())


@every
@everywhere
def test_dropout_the_mode_and_frozen_parameters_do_not_matter(name: str, architecture: str) -> None:
    model = fresh(architecture).train().requires_grad_(False)
    with torch.no_grad():
        found = score(name, model, architecture)
    assert all(torch.equal(expected, found[key]) for key, expected in scores(name, architecture).items())


@every
@everywhere
def test_scores_belong_to_logical_positions_whatever_the_memory_format(name: str, architecture: str) -> None:
    model = fresh(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = score(name, model, architecture)
    for key, expected in scores(name, architecture).items():
        tolerance = 1e-3 * float(expected.abs().max())  # sums in another order
        torch.testing.assert_close(found[key], expected, rtol=1e-3, atol=tolerance)


@pytest.mark.parametrize("name", NEED_DATA)
def test_without_data_there_is_one_clear_line(name: str) -> None:
    model = fresh("cnn")
    with pytest.raises(InputError, match="looks at training data"):
        Pruner(model, criterion=name, sparsity=0.5)
    bare = PruningContext(model, find_targets(model), generator(0, 0, 0, "criterion"))
    with pytest.raises(InputError, match="looks at training data, and there are none"):
        make(name).scores(bare)
    bare.batches = lambda: iter([])
    with pytest.raises(InputError, match="there are no examples in them"):
        make(name).scores(bare)


@pytest.mark.parametrize("name", NEED_DATA)
def test_weights_that_are_not_numbers_are_refused_in_one_line(name: str) -> None:
    model = fresh("cnn")
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = torch.nan  # type: ignore[index]
    with pytest.raises(InputError, match=f"criterion {name}: .*(is nan|NaN)"):
        Pruner(model, criterion=name, sparsity=0.5, data=data("cnn"), loss=loss)


# ------------------------------------------------------------------------------------------ what is pruned


def groups(targets: Sequence[Target], within: str) -> Iterator[list[tuple[Target, slice | int]]]:
    """Yield what is ranked against each other: (target, which outputs of it)."""
    if within == "network":
        yield [(target, slice(None)) for target in targets]
    for target in targets if within != "network" else ():
        if within == "layer":
            yield [(target, slice(None))]
        else:
            yield from ([(target, output)] for output in range(len(target.mask)))


def asked(weights: int, sparsity: float, within: str) -> int:
    """How many of so many weights are pruned: rounded, in a row down."""
    return math.floor(weights * sparsity + 1e-9) if within == "row" else round(weights * sparsity)


def flat(group: Sequence[tuple[Target, slice | int]], tensors: dict[str, Tensor]) -> NDArray[Any]:
    return np.concatenate([tensors[target.name][which].reshape(-1).double().numpy() for target, which in group])


def check_lowest(targets: Sequence[Target], found: dict[str, Tensor], sparsity: float, within: str) -> None:
    masks = {target.name: target.mask for target in targets}
    for group in groups(targets, within):
        kept = flat(group, masks) > 0
        count = asked(len(kept), sparsity, within)
        assert (~kept).sum() == count
        lowest = np.argsort(flat(group, found), kind="stable")[:count]
        np.testing.assert_array_equal(np.flatnonzero(~kept), np.sort(lowest))


@every
@pytest.mark.parametrize("within", get_args(Within))
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1 - 1 / 500])
def test_exactly_the_weights_asked_for_are_pruned_and_the_lowest(name: str, within: Within, sparsity: float) -> None:
    targets = find_targets(fresh("cnn"))
    found = scores(name, "cnn")
    grow(targets, found, sparsity, within)
    check_lowest(targets, found, sparsity, within)


@every
@everywhere
def test_a_pruned_network_is_pruned_further_and_nothing_comes_back(name: str, architecture: str) -> None:
    model = fresh(architecture)
    options: dict[str, Any] = {"data": data(architecture), "loss": loss}
    half = Pruner(model, sparsity=0.5).masks
    pruner = Pruner(model, sparsity=0.8, criterion=name, masks=half, **options)
    total = sum(mask.numel() for mask in half.values())
    assert sum(int((~mask).sum()) for mask in pruner.masks.values()) == round(total * 0.8)
    assert all(not (mask & ~half[key]).any() for key, mask in pruner.masks.items())
    assert all(not target.parameter[~target.mask].any() for target in pruner.targets)


@every
@pytest.mark.parametrize("within", get_args(Within))
def test_it_prunes_gradually_in_a_loop(name: str, within: Within) -> None:
    options: dict[str, Any] = {"sparsity": 0.9, "end": "4it", "every": "1it", "data": data("cnn"), "loss": loss}
    pruner = Pruner(fresh("cnn"), "gmp", criterion=name, within=within, **options)
    for _ in range(4):
        before = {key: mask.clone() for key, mask in pruner.masks.items()}
        pruner.step()
        assert all(not (mask & ~before[key]).any() for key, mask in pruner.masks.items())
    for group in groups(pruner.targets, within):
        kept = flat(group, pruner.masks)
        assert (kept == 0).sum() == asked(len(kept), 0.9, within)


@every
@everywhere
def test_the_sign_of_scores_survives(name: str, architecture: str) -> None:
    """Scores far below zero and next to it keep their order: nothing on the way takes their magnitude."""
    targets = find_targets(fresh(architecture))
    centred = {key: (value.double() - value.mean()) * 1e-30 for key, value in scores(name, architecture).items()}
    grow(targets, centred, 0.3, "network")
    values = np.concatenate([centred[t.name].reshape(-1).numpy() for t in targets])
    kept = np.concatenate([t.mask.reshape(-1).numpy() for t in targets])
    assert values.min() < 0 < values.max()
    assert values[~kept].max() <= values[kept].min()
    assert (~kept).sum() == round(len(values) * 0.3)
