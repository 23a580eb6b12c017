"""Pruning in a loop of one's own."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers_pruner import Rounds, batches, loss, small
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune
from torch.optim.swa_utils import AveragedModel

from prunekit import Criterion, InputError, Progress, Pruner, PruningContext, prune
from prunekit.updates import Update, planned_rounds, planned_updates

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}

# ------------------------------------------------------------------------------------------------ when


def test_without_a_loop_it_prunes_at_once() -> None:
    model = small()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    pruner = Pruner(model, sparsity=0.9)
    total = 8 * 9 + 3 * 128
    squares = sum(float(before[name][~mask].square().sum()) for name, mask in pruner.masks.items())
    assert pruner.updates == [Update(0, None, round(total * 0.9) / total, pytest.approx(squares))]
    assert pruner.sparsity == round(total * 0.9) / total
    assert sum(int((w == 0).sum()) for w in (model[0].weight, model[4].weight)) == round(total * 0.9)


def test_updates_are_made_when_the_schedule_says_so_and_are_the_planned_ones() -> None:
    model = small()
    options = {"sparsity": 0.8, "begin": "2it", "end": "1ep5it", "every": "4it"}
    pruner = Pruner(model, "gmp", iterations_per_epoch=6, **options)
    for _ in range(12):
        pruner.step()
    assert [update.iteration for update in pruner.updates] == [2, 6, 10, 11]
    assert [update.epoch for update in pruner.updates] == [2 / 6, 1.0, 10 / 6, 11 / 6]
    planned = planned_updates(pruner.schedule, 12, 6)
    assert [update.sparsity for update in pruner.updates] == [round(456 * s) / 456 for _, s in planned]
    assert [iteration for iteration, _ in planned] == [2, 6, 10, 11]


def test_a_stage_that_only_prunes_makes_one_update_per_round() -> None:
    schedule = Rounds(sparsity=0.75)
    assert planned_rounds(schedule) == [(0, 0.25), (1, 0.5), (2, 0.75)]
    pruner = Pruner(small(), schedule, iterations=3, iterations_per_epoch=1)
    for _ in range(schedule.steps - 1):
        pruner.step()
    assert [(u.iteration, u.sparsity) for u in pruner.updates] == [(0, 0.25), (1, 0.5), (2, 0.75)]


def test_pruning_without_a_loop_goes_through_all_rounds() -> None:
    model, seen = small(), []
    masks = prune(model, Rounds(sparsity=0.75), on_round=lambda pruner: seen.append(pruner.sparsity))
    assert seen == [0.25, 0.5, 0.75]
    assert all(not model.get_parameter(name)[~mask].any() for name, mask in masks.items())
    assert sum(int((~mask).sum()) for mask in masks.values()) == 342


def test_pruning_without_a_loop_refuses_what_needs_one() -> None:
    with pytest.raises(InputError, match="gmp: prunes while a loop trains: use Pruner"):
        prune(small(), "gmp", sparsity=0.5)
    with pytest.raises(InputError, match="schedule one_shot: sparsty: unknown key"):
        prune(small(), "one_shot", sparsty=0.5)


def test_a_plan_with_an_impossible_sparsity_is_refused() -> None:
    class TooMuch(Rounds):
        def target(self, now: Progress) -> float | None:
            return 1.0 if now.iteration == 2 else None

    with pytest.raises(ValueError, match=r"wants a sparsity of 1\.0 at iteration 2"):
        planned_rounds(TooMuch(sparsity=0.5))
    with pytest.raises(ValueError, match="at iteration 2"):
        planned_updates(TooMuch(sparsity=0.5), 4, 2)


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_going_on_from_masks_and_iteration_gives_the_same_masks_and_repeats_no_update(criterion: str) -> None:
    options: dict[str, Any] = {"criterion": criterion, "sparsity": 0.9, "begin": "0it", "end": "9it", "every": "3it"}
    whole, first = small(), small()
    at_once, before = Pruner(whole, "gmp", seed=5, **options), Pruner(first, "gmp", seed=5, **options)
    for _ in range(9):
        at_once.step()
    for _ in range(3):
        before.step()
    second = small()
    second.load_state_dict(first.state_dict())
    after = Pruner(second, "gmp", seed=5, masks=before.masks, iteration=before.iteration, **options)
    assert after.updates == []
    for _ in range(6):
        after.step()
    assert before.updates + after.updates == at_once.updates
    assert all(torch.equal(after.masks[name], mask) for name, mask in at_once.masks.items())


def test_an_already_pruned_network_is_pruned_further() -> None:
    model = small()
    first = Pruner(model, sparsity=0.5).finalize()
    second = Pruner(model, sparsity=0.8, masks=first).finalize()
    assert all(not second[name][~first[name]].any() for name in first)
    assert sum(int((~mask).sum()) for mask in second.values()) == round(456 * 0.8)


# ------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("hooked", [False, True])
def test_pruned_weights_stay_exactly_zero_through_momentum_and_weight_decay(optimizer: str, hooked: bool) -> None:
    model = small()
    steps = OPTIMIZERS[optimizer](model.parameters())
    follow = {"optimizer": steps} if hooked else {}
    pruner = Pruner(model, "gmp", sparsity=0.9, begin="1it", end="7it", every="2it", **follow)
    for batch in batches(10):
        steps.zero_grad()
        loss(model, batch).backward()
        steps.step()
        if not hooked:
            pruner.step()
        assert all((t.parameter[~t.mask] == 0).all() for t in pruner.targets)
    assert pruner.iteration == 10
    assert pruner.sparsity == round(456 * 0.9) / 456
    assert [update.iteration for update in pruner.updates] == [1, 3, 5, 7]


def test_following_the_optimizer_ends_with_finalize() -> None:
    model = small()
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, sparsity=0.5, optimizer=steps)
    with pytest.raises(InputError, match="do not call it"):
        pruner.step()
    masks = pruner.finalize()
    model[4].weight.grad = torch.ones_like(model[4].weight)
    steps.step()
    assert pruner.iteration == 0
    assert (model[4].weight[~masks["4.weight"]] != 0).all()


def test_finalize_gives_masks_of_its_own_and_ends_the_pruning() -> None:
    model = small()
    pruner = Pruner(model, sparsity=0.5)
    masks = pruner.finalize()
    assert {name: mask.dtype for name, mask in masks.items()} == {"0.weight": torch.bool, "4.weight": torch.bool}
    assert all(torch.equal(mask, pruner.masks[name]) for name, mask in masks.items())
    assert masks["0.weight"] is not pruner.masks["0.weight"]
    with pytest.raises(InputError, match="finalised"):
        pruner.step()


def test_training_equals_torchs_own_hooks_under_gradient_clipping() -> None:
    ours, theirs = small(), small()
    pruner = Pruner(ours, sparsity=0.7)
    for name, index in (("0.weight", 0), ("4.weight", 4)):
        torch_prune.custom_from_mask(theirs[index], "weight", pruner.masks[name])
    steps = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (ours, theirs)]
    clipped = 0
    for batch in batches(8):
        for model, optimizer in zip((ours, theirs), steps, strict=True):
            optimizer.zero_grad()
            loss(model, batch).backward()
            if model is ours:
                pruner.mask_gradients()
            clipped += nn.utils.clip_grad_norm_(model.parameters(), 0.1).item() > 0.1
            optimizer.step()
        pruner.step()
    assert clipped == 16
    theirs(batch[0])  # their weights are computed before a forward pass
    for index in (0, 4):
        torch.testing.assert_close(ours[index].weight, theirs[index].weight, rtol=1e-5, atol=1e-7)


def test_copies_averages_and_state_dicts_work_in_the_middle_of_pruning() -> None:
    model = small()
    names = list(model.state_dict())
    average = AveragedModel(model)
    pruner = Pruner(model, "gmp", sparsity=0.9, end="4it", every="1it")
    for _ in range(4):
        pruner.step()
        average.update_parameters(model)
    twin = copy.deepcopy(model)
    assert list(model.state_dict()) == names
    other = small()
    other.load_state_dict(model.state_dict())
    for same in (twin, other):
        assert torch.equal(same.eval()(batches(1)[0][0]), model.eval()(batches(1)[0][0]))
    with torch.no_grad():
        twin[4].weight.add_(1)
    assert pruner.sparsity == round(456 * 0.9) / 456


def test_loaded_weights_are_masked_at_the_next_step() -> None:
    model = small()
    pruner = Pruner(model, sparsity=0.9)
    model.load_state_dict(small().state_dict())
    pruner.step()
    assert pruner.sparsity == round(456 * 0.9) / 456


def test_sparsity_nought_is_a_control() -> None:
    model, untouched = small(), small()
    pruner = Pruner(model, sparsity=0.0)
    assert pruner.updates == [Update(0, None, 0.0, 0.0)]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), untouched.parameters(), strict=True))


# ------------------------------------------------------------------------------------------------ criteria


class Watching(Criterion):
    """Looks at everything, and disturbs what it can."""

    name = "watching"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        assert context.loss is not None
        assert context.batches is not None
        context.model.train()
        for batch in context.batches():
            context.loss(context.model, batch).backward()
        assert all(t.parameter.grad is not None for t in context.targets)
        return {t.name: t.parameter.grad.abs() for t in context.targets if t.parameter.grad is not None}


def test_a_criterion_that_trains_leaves_gradients_statistics_and_mode_as_they_were() -> None:
    model = small()
    data = batches(3)
    loss(model, data[0]).backward()
    model[1].eval()
    state = copy.deepcopy(model.state_dict())
    gradients = [(p.grad, p.grad.clone()) for p in model.parameters() if p.grad is not None]
    pruner = Pruner(model, Rounds(sparsity=0.0), criterion=Watching(), data=data, loss=loss)
    pruner.step()  # data can be gone through again
    assert len(pruner.updates) == 2
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model] == [True, False, True, True, True]
    after = [p.grad for p in model.parameters()]
    assert len(after) == len(gradients)
    for now, (grad, values) in zip(after, gradients, strict=True):
        assert now is grad
        assert torch.equal(grad, values)


def test_data_may_be_a_function_but_not_an_iterator() -> None:
    def fresh() -> Iterator[Any]:
        return iter(batches(2))

    pruner = Pruner(small(), Rounds(sparsity=0.5), criterion=Watching(), data=fresh, loss=loss)
    pruner.step()
    assert len(pruner.updates) == 2
    with pytest.raises(InputError, match="only once"):
        Pruner(small(), sparsity=0.5, data=iter(batches(2)))


def test_random_criteria_go_by_seed_and_iteration() -> None:
    def masks(seed: int) -> Tensor:
        return Pruner(small(), sparsity=0.5, criterion="random", seed=seed).masks["4.weight"]

    assert torch.equal(masks(1), masks(1))
    assert not torch.equal(masks(1), masks(2))
    model, state = small(), torch.get_rng_state()
    Pruner(model, sparsity=0.5, criterion="random")
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_from_the_global_generator_go_by_seed_and_iteration_and_leave_it_as_it_was() -> None:
    class Global(Criterion):
        name = "global"

        def scores(self, context: PruningContext) -> dict[str, Tensor]:
            return {t.name: torch.rand_like(t.parameter) for t in context.targets}

    def masks(seed: int, before: int) -> list[Tensor]:
        model, found = small(), []
        torch.manual_seed(before)
        state = torch.get_rng_state()
        pruner = Pruner(model, Rounds(sparsity=0.75), criterion=Global(), seed=seed)
        for _ in range(2):
            found.append(pruner.masks["4.weight"].clone())
            assert torch.equal(torch.get_rng_state(), state)
            pruner.step()
        return found

    assert all(map(torch.equal, masks(1, before=3), masks(1, before=4)))
    assert not torch.equal(masks(1, before=3)[0], masks(2, before=3)[0])


def test_every_update_draws_its_own_random_numbers() -> None:
    drawn: list[float] = []

    class Drawing(Criterion):
        name = "drawing"

        def scores(self, context: PruningContext) -> dict[str, Tensor]:
            drawn.append(torch.rand((), generator=context.generator).item())
            return {t.name: t.parameter.abs() for t in context.targets}

    pruner = Pruner(small(), Rounds(sparsity=0.75), criterion=Drawing(), seed=4)
    pruner.step()
    assert drawn[0] != drawn[1]
    Pruner(small(), Rounds(sparsity=0.75), criterion=Drawing(), seed=4, iteration=1, masks=pruner.masks).step()
    pruner.step()
    assert drawn[2] == drawn[3]


def test_a_criterion_that_nobody_registered_goes_by_the_name_of_its_class() -> None:
    class Mine(Criterion):
        def scores(self, context: PruningContext) -> dict[str, Tensor]:
            return {}

    class Largest(Mine):
        def scores(self, context: PruningContext) -> dict[str, Tensor]:
            return {t.name: t.parameter.abs() for t in context.targets}

    with pytest.raises(InputError, match=r"criterion Mine: it gave no scores for 0\.weight"):
        Pruner(small(), sparsity=0.5, criterion=Mine())
    assert Pruner(small(), sparsity=0.5, criterion=Largest()).state_dict()["settings"]["criterion"] == "Largest"


def test_pruned_weights_are_zero_before_they_are_scored() -> None:
    seen: list[int] = []

    class Counting(Criterion):
        name = "counting"

        def scores(self, context: PruningContext) -> dict[str, Tensor]:
            seen.append(sum(int((t.parameter == 0).sum()) for t in context.targets))
            return {t.name: t.parameter.abs() for t in context.targets}

    model = small()
    pruner = Pruner(model, Rounds(sparsity=0.75), criterion=Counting())
    with torch.no_grad():
        model[4].weight.add_(1)  # an optimiser step that moves everything
    pruner.step()
    assert seen == [0, 114]


def test_a_criterion_that_changes_weights_is_refused_before_anything_is_pruned():
    from prunekit import Criterion, InputError

    class Careless(Criterion):
        """Forgets that detached tensors share memory."""

        def scores(self, context):
            return {target.name: target.parameter.detach().abs_() for target in context.targets}

    class Hidden(Criterion):
        """Writes where autograd does not count."""

        def scores(self, context):
            return {target.name: target.parameter.data.abs_().clone() for target in context.targets}

    for criterion in (Careless, Hidden):
        model = nn.Linear(8, 4)
        said = f"criterion {criterion.__name__}: changed the weights of weight: it has to work on a copy"
        with pytest.raises(InputError, match=said):
            Pruner(model, criterion=criterion(), sparsity=0.5)
        assert not (model.weight == 0).any()


def test_weights_that_are_no_numbers_are_no_change():
    model = nn.Linear(8, 4)
    with torch.no_grad():
        model.weight[0, 0] = torch.inf
    assert Pruner(model, criterion="random", sparsity=0.5).sparsity == 0.5
