"""One stage of one member: what changes, what does not."""

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from helpers_training import DATA, PRUNE, changed, equal, make_data, new_network, stage, state, trained
from torch import Tensor, nn
from torch.backends import cudnn

from prunekit import Augmentation, Batch, InputError, Objective, PrunekitError, training
from prunekit.outcome import StageContext
from prunekit.plugins.objectives.cross_entropy import CrossEntropy
from prunekit.plugins.optimizers.sgd import Sgd
from prunekit.protocols import TrainableNetwork
from prunekit.seeds import generator

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


class Probe(CrossEntropy):
    """Cross-entropy that looks at cuDNN's settings."""

    seen: ClassVar[list[tuple[bool, bool, bool]]] = []

    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        self.seen.append((cudnn.enabled, cudnn.deterministic, cudnn.benchmark))
        return super().loss(network, batch)


def test_cudnn_is_on_and_deterministic_while_a_stage_lasts() -> None:
    before = (cudnn.enabled, cudnn.deterministic, cudnn.benchmark)
    with cudnn.flags(enabled=True, benchmark=True):
        trained(new_network(), stage(epochs=1, objective=Probe()))
        assert (cudnn.benchmark, cudnn.deterministic) == (True, False)
    assert set(Probe.seen) == {(True, True, False)}
    assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == before


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
