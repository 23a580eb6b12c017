"""Every kind of loop that a pruner is put into."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers_pruner import batches, loss, small
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from prunekit import InputError, Pruner

GMP: dict[str, Any] = {"schedule": "gmp", "sparsity": 0.8, "begin": "1it", "end": "5it", "every": "2it"}
ZEROS = round(456 * 0.8)


def zeros(model: nn.Module) -> int:
    return sum(int((model.get_parameter(name) == 0).sum()) for name in ("0.weight", "4.weight"))


def train(model: nn.Module, steps: torch.optim.Optimizer, after: Callable[[], None] = lambda: None) -> None:
    for batch in batches(6):
        steps.zero_grad()
        loss(model, batch).backward()
        steps.step()
        after()


# ------------------------------------------------------------------------------------------------ optimizers


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
        lambda p: torch.optim.SGD([{"params": [each], "lr": 0.01 * (i + 1)} for i, each in enumerate(p)]),
        lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    ],
    ids=["sgd", "sgd-foreach", "adamw-foreach", "adamw-fused", "groups", "rmsprop"],
)
def test_the_optimizers_own_steps_are_followed(make: Callable[..., torch.optim.Optimizer]) -> None:
    model = small()
    steps = make(model.parameters())
    pruner = Pruner(model, **GMP, optimizer=steps)
    train(model, steps)
    assert pruner.iteration == 6
    assert [update.iteration for update in pruner.updates] == [1, 3, 5]
    assert zeros(model) == ZEROS


def test_a_scheduler_of_the_learning_rate_changes_nothing_about_it() -> None:
    model = small()
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(steps, 2)
    pruner = Pruner(model, **GMP, optimizer=steps)
    train(model, steps, after=schedule.step)
    assert pruner.iteration == 6
    assert zeros(model) == ZEROS


def test_a_step_with_a_closure_counts_once_however_often_it_is_called() -> None:
    model = small()
    steps = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4, line_search_fn="strong_wolfe")
    pruner = Pruner(model, **GMP, optimizer=steps)
    calls = 0
    for batch in batches(6):

        def closure(batch: Any = batch) -> Tensor:
            nonlocal calls
            calls += 1
            steps.zero_grad()
            value = loss(model, batch)
            value.backward()
            pruner.mask_gradients()
            return value

        steps.step(closure)
        assert all(bool((t.parameter[~t.mask] == 0).all()) for t in pruner.targets)
    assert calls > 6
    assert pruner.iteration == 6
    assert zeros(model) == ZEROS


# ------------------------------------------------------------------------------------------------ mixed precision


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_gradient_scaler_skips_are_not_counted(fused: bool) -> None:
    model = small()
    steps = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    pruner = Pruner(model, **GMP, optimizer=steps)
    for i, batch in enumerate(batches(8)):
        steps.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(model, batch)
        scaler.scale(value * (torch.inf if i in (1, 4) else 1.0)).backward()
        scaler.unscale_(steps)
        pruner.mask_gradients()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(steps)
        scaler.update()
    assert pruner.iteration == 6
    assert zeros(model) == ZEROS
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_by_hand_a_skipped_step_is_told_by_the_scale_that_fell() -> None:
    model = small()
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    pruner = Pruner(model, **GMP)
    for i, batch in enumerate(batches(8)):
        steps.zero_grad()
        scaler.scale(loss(model, batch) * (torch.inf if i in (1, 4) else 1.0)).backward()
        scale = scaler.get_scale()
        scaler.step(steps)
        scaler.update()
        if scaler.get_scale() >= scale:
            pruner.step()
    assert pruner.iteration == 6
    assert zeros(model) == ZEROS


def test_gradients_are_accumulated_over_batches_and_clipped_without_those_of_pruned_weights() -> None:
    model, whole = small(), small()
    steps = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, whole)]
    pruners = [Pruner(each, **GMP, optimizer=step) for each, step in zip((model, whole), steps, strict=True)]
    for each in (model, whole):
        each[1].eval()  # statistics of batches would differ
    for first, second in pairs():
        for step in steps:
            step.zero_grad()
        for batch in (first, second):
            (loss(model, batch) / 2).backward()
        loss(whole, (torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]))).backward()
        norms = []
        for each, pruner, step in zip((model, whole), pruners, steps, strict=True):
            pruner.mask_gradients()
            assert all(bool((t.parameter.grad[~t.mask] == 0).all()) for t in pruner.targets)
            norms.append(nn.utils.clip_grad_norm_(each.parameters(), 0.1))
            step.step()
        torch.testing.assert_close(*norms)
    assert [pruner.iteration for pruner in pruners] == [6, 6]
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert zeros(model) == ZEROS


def pairs() -> list[tuple[Any, Any]]:
    every = batches(12)
    return list(zip(every[::2], every[1::2], strict=True))


# ------------------------------------------------------------------------------------------------ compiled models


def compiled_part(model: nn.Sequential) -> nn.Sequential:
    model[0] = torch.compile(model[0], backend="aot_eager")
    return model


@pytest.mark.parametrize("criterion", ["magnitude", "grasp", "wanda"])
@pytest.mark.parametrize(
    "compile", [lambda m: torch.compile(m, backend="aot_eager"), compiled_part], ids=["whole", "part"]
)
def test_a_compiled_model_is_pruned_under_the_names_of_the_model(
    compile: Callable[[nn.Module], nn.Module], criterion: str
) -> None:
    plain, model = small(), compile(small())
    steps = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (plain, model)]
    pruners = [
        Pruner(each, **GMP, criterion=criterion, data=batches(2), optimizer=step)
        for each, step in zip((plain, model), steps, strict=True)
    ]
    for each, step in zip((plain, model), steps, strict=True):
        train(each, step)
    assert list(pruners[1].masks) == ["0.weight", "4.weight"]
    assert pruners[1].sparsity == ZEROS / 456
    assert all(torch.equal(mask, pruners[1].masks[name]) for name, mask in pruners[0].masks.items())


def test_the_model_inside_a_compiled_one_may_be_given_just_as_well() -> None:
    inner = small()
    model = torch.compile(inner, backend="eager")
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    Pruner(inner, **GMP, optimizer=steps)
    train(model, steps)
    assert zeros(inner) == ZEROS


@pytest.mark.slow
def test_inductors_code_sees_the_pruned_weights() -> None:
    inner = small()
    model = torch.compile(inner)
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    Pruner(model, **GMP, optimizer=steps)
    train(model, steps)
    assert zeros(inner) == ZEROS
    images = batches(1)[0][0]
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), inner.eval()(images))


# ------------------------------------------------------------------------------------------------ layers and layouts


def test_channels_last_stays_and_gets_the_masks_of_the_usual_layout() -> None:
    plain, last = small(), small().to(memory_format=torch.channels_last)
    for model in (plain, last):
        steps = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        pruner = Pruner(model, **GMP, optimizer=steps)
        train(model, steps)
        assert pruner.sparsity == ZEROS / 456
    assert torch.equal(plain[0].weight == 0, last[0].weight == 0)


def test_frozen_layers_are_pruned_and_stay_frozen() -> None:
    model = small()
    model[0].requires_grad_(False)
    steps = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    pruner = Pruner(model, **GMP, criterion="snip", data=batches(2), optimizer=steps)
    train(model, steps)
    assert zeros(model) == ZEROS
    assert (~pruner.masks["0.weight"]).any()
    assert not model[0].weight.requires_grad
    assert model[0].weight.grad is None


def test_tied_weights_count_once_in_a_loop() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 36), nn.Linear(36, 3))
    model[3].weight = model[1].weight
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, **GMP, optimizer=steps)
    train(model, steps)
    assert list(pruner.masks) == ["1.weight", "4.weight"]
    assert pruner.sparsity == round((36 * 36 + 108) * 0.8) / (36 * 36 + 108)
    assert model[3].weight is model[1].weight


def test_lazy_layers_are_pruned_once_they_have_values() -> None:
    model = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(InputError, match=r"0\.weight has no values yet: run one batch through the model"):
        Pruner(model, **GMP)
    model[0](batches(1)[0][0])
    with pytest.raises(InputError, match=r"1\.weight has no values yet"):  # though it is never pruned
        Pruner(model, **GMP, targets={"exclude": ["4.*"]})
    model(batches(1)[0][0])
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    Pruner(model, **GMP, optimizer=steps)
    train(model, steps)
    assert zeros(model) == ZEROS


# ------------------------------------------------------------------------------------------------ copies and averages


@pytest.mark.parametrize("options", [{}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}], ids=["swa", "ema"])
def test_averages_go_on_while_it_prunes_and_have_the_exact_sparsity_once_the_masks_are_applied(options: Any) -> None:
    model = small()
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    average = AveragedModel(model, **options)
    pruner = Pruner(model, **GMP, optimizer=steps)
    train(model, steps, after=lambda: average.update_parameters(model))
    assert zeros(average.module) < ZEROS  # weights that were pruned last had values before
    kept = {name: average.module.get_parameter(name)[mask] for name, mask in pruner.masks.items()}
    pruner.apply_to(average)
    assert zeros(average.module) == ZEROS
    assert all(torch.equal(average.module.get_parameter(n)[pruner.masks[n]], values) for n, values in kept.items())
    average.update_parameters(model)
    assert zeros(average.module) == ZEROS
    assert average.n_averaged == 7


def test_a_copy_of_ones_own_may_be_compiled_or_bare_and_must_have_the_same_parameters() -> None:
    model, other = small(), small()
    pruner = Pruner(model, sparsity=0.8)
    for copied in (other, torch.compile(small(), backend="eager")):
        pruner.apply_to(copied)
        assert zeros(getattr(copied, "_orig_mod", copied)) == ZEROS
    assert zeros(model) == ZEROS
    with pytest.raises(InputError, match=r"the other model has no parameter 0\.weight"):
        pruner.apply_to(nn.Sequential(nn.Flatten(), nn.Linear(3, 3)))
    wrong = small()
    wrong[4] = nn.Linear(8, 3)
    with pytest.raises(InputError, match=r"4\.weight of the other model is \[3, 8\]: expected \[3, 128\]"):
        pruner.apply_to(wrong)
    assert zeros(wrong) == 0


@pytest.mark.filterwarnings(
    "ignore:(?s).*(quantization is deprecated|quant_min and quant_max|quantized tensor creation)"
)
def test_a_copy_for_quantisation_aware_training_is_left_alone() -> None:
    model = small()
    pruner = Pruner(model, **GMP)
    pruner.step()
    twin = copy.deepcopy(model).train()
    twin.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    twin = torch.ao.quantization.prepare_qat(twin)
    assert isinstance(twin[4], torch.ao.nn.qat.Linear)
    with torch.no_grad():
        twin[4].weight.add_(1.0)
    before = twin[4].weight.clone()
    for _ in range(4):
        pruner.step()
    assert zeros(model) == ZEROS
    assert torch.equal(twin[4].weight, before)
    steps = torch.optim.SGD(twin.parameters(), lr=0.1)  # and is pruned as any other model, by a pruner of its own
    own = Pruner(twin, **GMP, optimizer=steps)
    train(twin, steps)
    assert own.sparsity == ZEROS / 456


# ------------------------------------------------------------------------------------------------ what is pruned where


def test_the_table_says_what_is_pruned_where_counted_in_the_weights() -> None:
    model = small()
    pruner = Pruner(model, sparsity=0.5, within="layer")
    table = pruner.table()
    assert table.rows == [
        ("0.weight", "8×1×3×3", 72, 36, 0.5),
        ("4.weight", "3×128", 384, 192, 0.5),
        ("total", "", 456, 228, 0.5),
    ]
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    assert pruner.table().rows[0] == ("0.weight", "8×1×3×3", 72, 0, 0.0)


def test_a_printed_table_is_aligned() -> None:
    pruner = Pruner(nn.Sequential(nn.Linear(100, 20), nn.Linear(20, 3)), sparsity=0.25, within="layer")
    assert str(pruner.table()).splitlines() == [
        "parameter  shape   weights  zeros  sparsity",
        "0.weight   20×100    2,000    500    25.00%",
        "1.weight   3×20         60     15    25.00%",
        "total                2,060    515    25.00%",
    ]
