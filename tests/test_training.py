"""One stage of one member: what changes, what does not, and the same bits after an interruption."""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunekit import (
    Augmentation,
    Batch,
    Criterion,
    InputError,
    Objective,
    Progress,
    PrunekitError,
    PruningContext,
    Schedule,
    training,
)
from prunekit.data import DeviceData
from prunekit.network import Network
from prunekit.plugins.optimizers.sgd import Sgd
from prunekit.protocols import ImageData, Split, TrainableNetwork
from prunekit.seeds import generator
from prunekit.stages import PruneStage, TrainStage
from prunekit.training import Checkpoint, StageContext, StageResult, prune, train

CONTEXT = StageContext(member_seed=5, ordinal=2)


class Encoder(nn.Module):
    """A convolution, BatchNorm, dropout: all that has state or draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.deeper = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        features: Tensor = self.dropout(self.deeper(self.norm(self.conv(images)).relu()).relu().mean(dim=(2, 3)))
        return features


def new_network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(Encoder(), nn.Linear(6, 3))


def split(examples: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, examples)
    images = random.integers(0, 100, (examples, 1, 6, 6)) + 70 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels, tuple(f"{seed}-{i}" for i in range(examples)))


def make_data(validation: int = 12) -> DeviceData:
    return DeviceData(ImageData(("a", "b", "c"), split(22, 1), split(validation, 2), split(9, 3)))


DATA = make_data()


def stage(**options: Any) -> TrainStage:
    base = {"objective": "cross_entropy", "epochs": 3, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.05}}
    return TrainStage.model_validate(base | options)


def trained(
    network: Network, options: TrainStage, masks: Mapping[str, Tensor] | None = None, **more: Any
) -> StageResult:
    return train(
        network, options, more.pop("data", DATA), more.pop("context", CONTEXT), masks=dict(masks or {}), **more
    )


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def changed(before: Mapping[str, Tensor], network: nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


# ---------------------------------------------------------------------------------------------------- the loop itself


def test_training_is_the_loop_anybody_would_write() -> None:
    ours, theirs = new_network(), new_network().to(memory_format=torch.channels_last)
    ours.encoder.dropout.p = theirs.encoder.dropout.p = 0.0  # type: ignore[union-attr, assignment]
    result = trained(ours, stage(lr_schedule={"name": "multi_step", "milestones": ["2ep"]}))
    images = torch.cat([batch.images[0] for batch in DATA.batches("train")])
    labels = DATA.part("train").labels
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    history = []
    for epoch in (1, 2, 3):
        if epoch == 3:
            optimizer.param_groups[0]["lr"] = 0.005
        theirs.train()
        total = 0.0
        for chosen in torch.randperm(22, generator=generator(5, 2, epoch, "order")).split(8):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            loss = F.cross_entropy(theirs(images[chosen]), labels[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(chosen)
        history.append(total / 22)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])
    assert [row["loss"] for row in result.history] == pytest.approx(history)
    assert [(row["epoch"], row["iteration"]) for row in result.history] == [(1, 3), (2, 6), (3, 9)]
    assert [row["lr"] for row in result.history] == pytest.approx([0.05, 0.05, 0.005])


def test_the_rate_is_set_before_every_step() -> None:
    rates: list[float] = []

    class Watched(Sgd):
        """Sgd that notes its rates."""

        def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
            optimizer = super().build(parameters)
            optimizer.register_step_pre_hook(lambda opt, args, kwargs: rates.append(opt.param_groups[0]["lr"]))
            return optimizer

    trained(new_network(), stage(epochs=2, optimizer=Watched(lr=0.2), lr_schedule={"name": "cosine", "warmup": "2it"}))
    expected = [0.1, 0.2, *(0.1 * (1 + math.cos(math.pi * i / 4)) for i in range(4))]
    assert rates == pytest.approx(expected)


def test_validation_accuracy_is_that_of_the_network_in_eval_mode() -> None:
    network = new_network()
    history = trained(network, stage(epochs=2)).history
    (batch,) = DATA.batches("validation")
    with torch.no_grad():
        right = (network.eval()(batch.images[0]).argmax(dim=1) == batch.labels).float().mean()
    assert history[-1]["accuracy"] == pytest.approx(right.item())


def test_there_is_no_accuracy_without_validation_images_or_without_a_head_that_is_trained() -> None:
    assert [row["accuracy"] for row in trained(new_network(), stage(epochs=1), data=make_data(0)).history] == [None]
    assert [row["accuracy"] for row in trained(new_network(), stage(epochs=1, objective="supcon")).history] == [None]


def test_seed_and_ordinal_decide_and_the_global_generator_does_not() -> None:
    def weights(context: StageContext, noise: int) -> dict[str, Tensor]:
        network = new_network()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        trained(network, stage(objective="supcon", augment="simclr", epochs=1), context=context)
        assert torch.equal(torch.get_rng_state(), before)
        return state(network)

    first = weights(StageContext(1, 1), 0)
    assert equal(first, weights(StageContext(1, 1), 1))
    assert not equal(first, weights(StageContext(2, 1), 0))
    assert not equal(first, weights(StageContext(1, 2), 0))


def test_a_stage_gives_the_same_bits_in_a_network_that_was_trained_before_and_in_one_that_was_loaded() -> None:
    kept, loaded = new_network(), new_network()
    trained(kept, stage(objective="supcon", epochs=1))
    loaded.load_state_dict(copy.deepcopy(kept.state_dict()))
    for network in (kept, loaded):
        trained(network, stage(epochs=1), context=StageContext(5, 3))
    assert equal(state(kept), state(loaded))


def test_afterwards_the_network_is_as_others_expect_it() -> None:
    network = new_network()
    names = list(network.state_dict())
    trained(network, stage(objective="supcon", epochs=1))
    assert list(network.state_dict()) == names
    assert not any(module.training for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())


# --------------------------------------------------------------------------------------------------- what is trained

ENCODER = {name for name in new_network().state_dict() if name.startswith("encoder.")}
HEAD = {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ENCODER | HEAD),
        ({"objective": "supcon"}, ENCODER),
        ({"objective": "simclr"}, ENCODER),
        ({"only": "head"}, HEAD),
        ({"only": "head", "augment": {"name": "crop_flip", "padding": 1}}, HEAD),
        ({"only": "head", "precision": "bf16"}, HEAD),
    ],
)
def test_only_what_the_stage_trains_changes(options: dict[str, Any], expected: set[str]) -> None:
    network = new_network()
    before = state(network)
    trained(network, stage(optimizer={"name": "sgd", "lr": 0.05, "weight_decay": 0.1}, **options))
    assert changed(before, network) == expected


def test_only_head_needs_an_objective_that_trains_it() -> None:
    with pytest.raises(InputError, match="only: head: the objective 'supcon' does not train the head"):
        trained(new_network(), stage(objective="supcon", only="head"))


class Still(Augmentation):
    """Changes nothing but says that it might."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images


def test_frozen_features_are_computed_once_and_change_nothing() -> None:
    once, always = new_network(), new_network()
    trained(once, stage(only="head"))
    trained(always, stage(only="head", augment=Still()))
    assert once.encoder.calls == 2  # training and validation images
    assert always.encoder.calls == 3 * 3 + 1
    for name, value in once.state_dict().items():
        torch.testing.assert_close(value, always.state_dict()[name])


def test_bf16_trains_float32_weights_to_about_the_same() -> None:
    exact, rough = new_network(), new_network()
    history = [trained(n, stage(precision=p)).history for n, p in ((exact, "fp32"), (rough, "bf16"))]
    assert all(p.dtype == torch.float32 for p in rough.parameters())
    assert not equal(state(exact), state(rough))
    assert history[1][-1]["loss"] == pytest.approx(history[0][-1]["loss"], rel=0.05)


# ------------------------------------------------------------------------------------------------------ interruption

PRUNE = {"schedule": {"name": "gmp", "sparsity": 0.8, "begin": "1it", "end": "8it", "every": "2it"}}
RESUMED = {
    "sgd": {},
    "plain sgd": {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.0}},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01}, "prune": PRUNE},
    "pruned": {"optimizer": {"name": "sgd", "lr": 0.05, "nesterov": True, "weight_decay": 0.01}, "prune": PRUNE},
    "drawn": {"prune": {**PRUNE, "criterion": "random", "within": "layer"}},
    "contrastive": {"objective": "supcon", "augment": "simclr", "prune": PRUNE},
    "head": {"only": "head", "lr_schedule": "cosine"},
    "bf16": {"precision": "bf16"},
    "contrastive bf16": {"objective": "simclr", "augment": "simclr", "precision": "bf16"},
}


def stored(checkpoint: Checkpoint) -> Checkpoint:
    """What comes back from a disk: contiguous tensors, and JSON."""
    assert all(tensor.is_contiguous() for tensor in checkpoint.tensors.values())
    return Checkpoint({k: v.clone() for k, v in checkpoint.tensors.items()}, json.loads(json.dumps(checkpoint.meta)))


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_an_interrupted_stage_ends_with_the_same_bits(options: dict[str, Any]) -> None:
    whole, checkpoints, rows = new_network(), [], []

    def keep(checkpoint: Checkpoint, row: dict[str, Any]) -> None:
        checkpoints.append(stored(checkpoint))
        rows.append(row)

    masks = {"encoder.conv.weight": torch.arange(54).view(6, 1, 3, 3) % 7 > 0}
    result = trained(whole, stage(epochs=4, **options), masks, on_epoch=keep)
    assert rows == result.history
    assert len(checkpoints) == 4
    for checkpoint in checkpoints:
        again, later = new_network(), list[Checkpoint]()

        def note(checkpoint: Checkpoint, row: dict[str, Any], later: list[Checkpoint] = later) -> None:
            later.append(checkpoint)

        resumed = trained(again, stage(epochs=4, **options), masks, resume=checkpoint, on_epoch=note)
        assert equal(state(again), state(whole))
        assert equal(resumed.masks, result.masks)
        assert (resumed.history, resumed.updates) == (result.history, result.updates)
        for one, other in zip(reversed(later), reversed(checkpoints), strict=False):
            assert equal(one.tensors, other.tensors)
            assert json.loads(json.dumps(one.meta)) == other.meta


def test_restored_optimiser_tensors_take_the_parameters_memory_format() -> None:
    made: list[torch.optim.Optimizer] = []

    class Watched(Sgd):
        """Sgd that can be looked at."""

        def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
            made.append(super().build(parameters))
            return made[-1]

    checkpoints: list[Checkpoint] = []
    options = stage(epochs=1, optimizer=Watched(lr=0.1))
    trained(new_network(), options, on_epoch=lambda checkpoint, row: checkpoints.append(checkpoint))
    strides: list[list[tuple[int, ...]]] = []

    class Looked(Watched):
        """Sgd whose state is looked at before its first step."""

        def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
            optimizer = super().build(parameters)
            optimizer.register_step_pre_hook(
                lambda opt, args, kwargs: strides.append(
                    [s for p in parameters for s in (p.stride(), opt.state[p]["momentum_buffer"].stride())]
                )
            )
            return optimizer

    trained(new_network(), stage(epochs=2, optimizer=Looked(lr=0.1)), resume=checkpoints[0])
    assert strides[0][0::2] == strides[0][1::2]
    assert (54, 1, 18, 6) in strides[0]  # encoder.deeper.weight, channels last


# ------------------------------------------------------------------------------------------------------------ pruning


def test_masked_weights_stay_exactly_zero_and_the_others_move() -> None:
    network = new_network()
    masks = {
        name: torch.rand_like(network.get_parameter(name)) > 0.5 for name in ("encoder.deeper.weight", "head.weight")
    }
    before = state(network)
    result = trained(network, stage(optimizer={"name": "adamw", "lr": 0.01}), masks)
    assert equal(result.masks, masks)
    for name, mask in masks.items():
        weight = network.get_parameter(name)
        assert torch.equal(weight == 0, ~mask)
        assert bool((weight != before[name])[mask].all())
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    assert result.history[-1]["sparsity"] == pytest.approx(pruned / sum(mask.numel() for mask in masks.values()))


def test_pruning_while_training_reaches_its_sparsity_and_keeps_masks_of_before() -> None:
    network = new_network()
    first = torch.ones(6, 1, 3, 3, dtype=torch.bool)
    first[0] = False
    rows: list[float] = []
    result = trained(
        network,
        stage(prune=PRUNE),
        {"encoder.conv.weight": first},
        on_epoch=lambda c, row: rows.append(row["sparsity"]),
    )
    weights = [network.get_parameter(name) for name in ("encoder.conv.weight", "encoder.deeper.weight", "head.weight")]
    total = sum(weight.numel() for weight in weights)
    assert sum(int((weight == 0).sum()) for weight in weights) == round(0.8 * total)
    assert bool((weights[0][0] == 0).all())
    assert [update.iteration for update in result.updates] == [1, 3, 5, 7, 8]
    assert rows == sorted(rows)


def test_a_stage_prunes_only_what_it_trains() -> None:
    once = {"schedule": {"name": "one_shot", "sparsity": 0.5}}
    for options, parts in (({"only": "head"}, {"head"}), ({"objective": "supcon"}, {"encoder"})):
        network = new_network()
        result = trained(network, stage(epochs=1, prune=once, **options))
        assert {name.split(".")[0] for name in result.masks} == parts
        zero = {name for name, p in network.named_parameters() if bool((p == 0).any()) and name.endswith("weight")}
        assert {name.split(".")[0] for name in zero} == parts


class Watching(Criterion):
    """Keeps what it is shown; scores by magnitude."""

    seen: ClassVar[list[PruningContext]] = []
    losses: ClassVar[list[float]] = []

    def scores(self, context: PruningContext) -> Mapping[str, Tensor]:
        assert context.loss is not None
        assert context.batches is not None
        self.seen.append(context)
        with torch.no_grad():
            self.losses.append(
                sum(float(context.loss(context.model, b)) * len(b.labels) for b in context.batches()) / 22
            )
        return {target.name: target.parameter.detach().abs() for target in context.targets}


class Rounds(Schedule):
    """Three equal rounds."""

    @property
    def rounds(self) -> int:
        return 3

    def target(self, now: Progress) -> float | None:
        assert now.total == 3
        return self.sparsity * (now.iteration + 1) / 3


def test_pruning_without_training_goes_through_the_rounds_of_the_schedule() -> None:
    network = new_network()
    before = state(network)
    result = prune(network, PruneStage(schedule=Rounds(sparsity=0.6)), DATA, CONTEXT, masks={})
    weights = {name: network.get_parameter(name) for name in result.masks}
    assert set(weights) == {"encoder.conv.weight", "encoder.deeper.weight", "head.weight"}
    total = sum(weight.numel() for weight in weights.values())
    assert [round(update.sparsity * total) for update in result.updates] == [round(total * s) for s in (0.2, 0.4, 0.6)]
    for name, weight in weights.items():
        assert torch.equal(weight, before[name] * result.masks[name])
    assert changed(before, network) == set(weights)
    everything = torch.cat([before[name].abs().flatten() for name in weights])
    kept = torch.cat([mask.flatten() for mask in result.masks.values()])
    assert everything[kept].min() > everything[~kept].max()


def test_criteria_see_the_loss_on_plain_training_images() -> None:
    Watching.seen.clear()
    Watching.losses.clear()
    network = new_network().eval()
    with torch.no_grad():
        (batch,) = DATA.batches("train")
        expected = float(F.cross_entropy(network(batch.images[0]), batch.labels))
    prune(network, PruneStage(schedule=Rounds(sparsity=0.0), criterion=Watching()), DATA, CONTEXT, masks={})
    assert Watching.losses == pytest.approx([expected] * 3)
    once = {"schedule": {"name": "one_shot", "sparsity": 0.0}, "criterion": Watching()}
    trained(network, stage(epochs=1, prune=once), context=StageContext(5, 3))
    trained(network, stage(epochs=1, prune=once, objective="simclr"), context=StageContext(5, 4))
    assert all(math.isfinite(loss) and loss > 0 for loss in Watching.losses[3:])
    assert len(Watching.losses) == 5
    draws = [context.generator.initial_seed() for context in Watching.seen]
    assert len(set(draws)) == 5


def test_random_masks_depend_on_member_and_stage() -> None:
    def mask(context: StageContext) -> dict[str, Tensor]:
        options = PruneStage.model_validate({"schedule": {"name": "one_shot", "sparsity": 0.5}, "criterion": "random"})
        return prune(new_network(), options, DATA, context, masks={}).masks

    first = mask(StageContext(1, 1))
    assert equal(first, mask(StageContext(1, 1)))
    assert not equal(first, mask(StageContext(2, 1)))
    assert not equal(first, mask(StageContext(1, 2)))


# ------------------------------------------------------------------------------------------------ failure and progress


class Failing(Objective):
    """Cross-entropy that is not finite from one call on."""

    calls: ClassVar[int] = 0
    at: int
    value: float = math.nan

    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        type(self).calls += 1
        factor = self.value if self.calls >= self.at else 1.0
        return F.cross_entropy(network.logits(batch.images[0]), batch.labels) * factor


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_not_finite_names_stage_epoch_and_iteration(value: float, text: str) -> None:
    Failing.calls = 0
    finished: list[int] = []
    options = stage(
        objective=Failing(at=5, value=value), prune={"schedule": {"name": "one_shot", "sparsity": 0.5, "begin": "5it"}}
    )
    with pytest.raises(PrunekitError, match=f"stage 2, epoch 2, iteration 5: the loss is {text}"):
        trained(new_network(), options, on_epoch=lambda checkpoint, row: finished.append(row["epoch"]))
    assert finished == [1]


def test_progress_says_how_far_the_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[dict[str, Any]] = []
    trained(new_network(), stage(), on_progress=reports.append)
    assert len(reports) <= 1  # seldom
    reports.clear()
    monkeypatch.setattr(training, "PROGRESS_INTERVAL", 0.0)
    trained(new_network(), stage(prune=PRUNE), on_progress=reports.append)
    assert [(r["iteration"], r["epoch"]) for r in reports] == [(i + 1, i // 3 + 1) for i in range(9)]
    assert all((r["iterations"], r["epochs"]) == (9, 3) for r in reports)
    assert all(r["images_per_second"] > 0 and math.isfinite(r["loss"]) for r in reports)
    assert reports[-1]["sparsity"] == pytest.approx(0.8, abs=0.02)


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        training.configure_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
