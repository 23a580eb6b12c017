"""Pruning in a stage, with training and without."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers_training import CONTEXT, DATA, PRUNE, changed, equal, new_network, split, stage, state, trained
from torch import Tensor
from torch.backends import cudnn

from prunekit import Criterion, Progress, PruningContext, Schedule
from prunekit.data import DeviceData
from prunekit.images import ImageData, Split
from prunekit.outcome import StageContext
from prunekit.pruning import prune
from prunekit.stages import PruneStage


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
    def steps(self) -> int:
        return 3

    def target(self, now: Progress) -> float | None:
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


class Peeking(Criterion):
    """Goes through the data twice; scores by magnitude."""

    labels: ClassVar[list[list[int]]] = []
    cudnn: ClassVar[list[tuple[bool, bool]]] = []

    def scores(self, context: PruningContext) -> Mapping[str, Tensor]:
        assert context.batches is not None
        for _ in range(2):
            self.labels.append([int(label) for batch in context.batches() for label in batch.labels])
        self.cudnn.append((cudnn.enabled, cudnn.deterministic))
        return {target.name: target.parameter.detach().abs() for target in context.targets}


def seen_by_criteria(context: StageContext, trains: bool) -> list[list[int]]:
    """Labels of the training images in the order that criteria get them; the data are sorted by class."""
    train, other = split(90, 1), split(9, 3)
    order = np.argsort(train.labels, kind="stable")
    train = Split(train.images[order], train.labels[order], train.ids)
    data = DeviceData(ImageData(("a", "b", "c"), train, other, other))
    Peeking.labels.clear()
    if trains:
        options = {"schedule": Rounds(sparsity=0.0), "criterion": Peeking()}
        trained(new_network(), stage(epochs=1, batch_size=30, prune=options), data=data, context=context)
    else:
        prune(new_network(), PruneStage(schedule=Rounds(sparsity=0.0), criterion=Peeking()), data, context, masks={})
    return list(Peeking.labels)


@pytest.mark.parametrize("trains", [True, False])
def test_criteria_get_all_images_shuffled_in_one_order_per_stage(trains: bool) -> None:
    first = seen_by_criteria(StageContext(1, 1), trains)
    assert len(first) >= 6
    assert all(labels == first[0] for labels in first)
    assert sorted(first[0]) == sorted(split(90, 1).labels.tolist())
    assert set(first[0][:20]) == {0, 1, 2}
    assert first == seen_by_criteria(StageContext(1, 1), trains)
    assert first[0] != seen_by_criteria(StageContext(2, 1), trains)[0]
    assert first[0] != seen_by_criteria(StageContext(1, 2), trains)[0]


def test_cudnn_is_on_and_deterministic_while_criteria_look() -> None:
    Peeking.cudnn.clear()
    with cudnn.flags(enabled=True):
        seen_by_criteria(CONTEXT, trains=False)
    assert set(Peeking.cudnn) == {(True, True)}


def test_random_masks_depend_on_member_and_stage() -> None:
    def mask(context: StageContext) -> dict[str, Tensor]:
        options = PruneStage.model_validate({"schedule": {"name": "one_shot", "sparsity": 0.5}, "criterion": "random"})
        return prune(new_network(), options, DATA, context, masks={}).masks

    first = mask(StageContext(1, 1))
    assert equal(first, mask(StageContext(1, 1)))
    assert not equal(first, mask(StageContext(2, 1)))
    assert not equal(first, mask(StageContext(1, 2)))
