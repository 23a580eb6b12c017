"""Recipes that repeat stages and rewind to earlier points."""

from pathlib import Path

import pytest
import torch

from prunekit import InputError
from prunekit.network import build_network
from prunekit.recipe import load
from prunekit.runner import run
from prunekit.store import Store
from prunekit.study import resolve

LOTTERY = """\
name: lottery
data: digits
model: mlp_300_100
seeds: 1
populations:
  dense:
    stages:
      train: {objective: cross_entropy, epochs: 2, batch_size: 200, optimizer: {name: sgd, lr: 0.1}, keep: [1ep]}
  ticket:
    from: dense
    stages:
      tickets:
        repeat:
          rounds: 2
          stages:
            prune: {schedule: {name: lottery, sparsity: 0.75}}
            back: {rewind: start}
            again: {objective: cross_entropy, epochs: 1, batch_size: 200, optimizer: {name: sgd, lr: 0.1}}
  early:
    extends: ticket
    stages: {tickets: {repeat: {stages: {back: {rewind: train@1ep}}}}}
  end:
    extends: ticket
    stages: {tickets: {repeat: {stages: {back: {rewind: train}}}}}
measures: [accuracy]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "lottery.yaml"
    path.write_text(LOTTERY)
    return path


def test_repeated_stages_are_written_out_one_round_each(recipe: Path) -> None:
    population = resolve(load(recipe)).populations["ticket"]
    names = [f"tickets.{i}.{stage}" for i in (1, 2) for stage in ("prune", "back", "again")]
    assert [stage.name for stage in population.stages] == names
    assert [stage.updates for stage in population.stages if stage.updates] == [[(0, 0.5)], [(1, 0.75)]]
    assert [stage.point for stage in population.stages] == [0] * 6
    early, end = (resolve(load(recipe)).populations[name].stages for name in ("early", "end"))
    assert [stage.point for stage in early] == [stage.point for stage in end] == [0, 1, 0, 0, 1, 0]


def test_names_of_stages_make_no_other_key_but_points_do(recipe: Path) -> None:
    keys = {name: resolve(load(recipe)).populations[name].members[0].keys for name in ("ticket", "early", "end")}
    assert len({each[2] for each in keys.values()}) == 3  # after dense's and the pruning, which all share
    assert len({each[:2] for each in keys.values()}) == 1
    recipe.write_text(LOTTERY.replace("train: {", "learn: {").replace("rewind: train", "rewind: learn"))
    for name, before in keys.items():
        assert resolve(load(recipe)).populations[name].members[0].keys == before


def test_the_first_weights_of_a_ticket_are_those_of_its_point(recipe: Path, tmp_path: Path) -> None:
    result = run(recipe, out=tmp_path / "runs", jobs=1)
    assert not result.failures
    study, store = resolve(load(recipe)), Store(tmp_path / "runs")
    dense = study.populations["dense"].members[0].key
    first = build_network(study.recipe.model, study.data, seed=0).state_dict()
    points = {"ticket": first, "early": store.load_kept(dense, "1ep"), "end": store.load_stage(dense).weights}
    for name, weights in points.items():
        keys = study.populations[name].members[0].keys
        for pruned, rewound, kept in ((1, 2, 0.5), (4, 5, 0.25)):
            masks = store.load_stage(keys[pruned]).masks
            found = store.load_stage(keys[rewound])
            assert all(torch.equal(mask, found.masks[target]) for target, mask in masks.items())
            total = sum(mask.numel() for mask in masks.values())
            assert sum(int(mask.sum()) for mask in masks.values()) == total - round(total * (1 - kept))
            for target, weight in found.weights.items():
                expected = weights[target] * masks[target] if target in masks else weights[target]
                assert torch.equal(weight, expected), (name, target)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("rewind: train@1ep", "rewind: train@3ep", r"train keeps no weights at 3ep \(kept: 1ep\): put `keep: \[3ep\]`"),
        ("rewind: train@1ep", "rewind: trian@1ep", r"no stage before it is called 'trian' \(did you mean 'train'"),
        ("rewind: train@1ep", "rewind: train@x", "'x' is no time"),
        ("rewind: start", "rewind: strat", r"no stage before it is called 'strat' \(did you mean 'start'"),
        ("keep: [1ep]", "keep: [3ep]", r"lottery.yaml:\d+: populations.dense.stages.train.keep.0: 3ep lies after"),
        ("rewind: start", "rewind: start@1ep", r"start is before the first stage, and has no times: .* leave out @1ep"),
        ("train: {", "start: {", "stages.start: 'start' is what `rewind` calls the first weights: rename it"),
        ("rounds: 2", "rounds: 1001", "expected a whole number from 1 to 1000, not 1001"),
        (
            "name: lottery, s",
            "name: one_shot, s",
            "stages.tickets.repeat.stages.prune.schedule: one_shot has no rounds,",
        ),
        ("            back:", "            '':", "tickets.repeat.stages: a repeated stage needs a name"),
        (
            "      tickets:",
            "      tickets.1.back: {rewind: start}\n      tickets:",
            "tickets makes a stage of this name",
        ),
        (
            "rounds: 2",
            "rounds: 0",
            r"lottery.yaml:14: .*tickets.repeat.rounds: expected a whole number from 1 to 1000, not 0",
        ),
        ("rounds: 2", "round: 2", "repeat.round: unknown key .*rounds"),
        ("          rounds: 2\n", "", "stages.tickets.repeat: expected {repeat: {rounds: 5"),
        (
            "sparsity: 0.75}",
            "sparsity: 0.75, rounds: 1}",
            "schedule.rounds: each of the 2 repetitions makes one",
        ),
    ],
)
def test_what_cannot_be_repeated_or_rewound_to_is_refused(recipe: Path, before: str, after: str, words: str) -> None:
    assert before in LOTTERY
    recipe.write_text(LOTTERY.replace(before, after))
    if "keep" in before:
        recipe.write_text(recipe.read_text().replace("train@1ep", "train@3ep"))
    with pytest.raises(InputError, match=words):
        resolve(load(recipe))


def test_keeping_more_weights_redoes_the_stage_alone(recipe: Path) -> None:
    def keys(text: str) -> dict[str, tuple[str, ...]]:
        recipe.write_text(text)
        return {name: each.members[0].keys for name, each in resolve(load(recipe)).populations.items()}

    before = keys(LOTTERY)
    after = keys(LOTTERY.replace("keep: [1ep]", "keep: [1ep, 3it]"))
    assert before["dense"] != after["dense"]
    assert all(before[name][1:] == after[name][1:] for name in ("ticket", "early", "end"))
    assert keys(LOTTERY.replace("keep: [1ep]", "keep: [3it, 1ep, 1ep]"))["dense"] == after["dense"]


def test_selecting_the_best_epoch_needs_validation_images_and_a_trained_head(recipe: Path) -> None:
    text = LOTTERY.replace("keep: [1ep]", "select: best_validation, keep: [1ep]")
    recipe.write_text(text.replace("data: digits", "data: {name: digits, validation: 0}"))
    with pytest.raises(InputError, match=r"train.select: the data have no validation images \(see their option"):
        resolve(load(recipe))
    recipe.write_text(text.replace("objective: cross_entropy, epochs: 2", "objective: supcon, epochs: 2"))
    with pytest.raises(InputError, match=r"train\.select: supcon does not train the head"):
        resolve(load(recipe))


def test_the_control_of_a_ticket_is_rewound_too(recipe: Path) -> None:
    control = """\
  control:
    from: dense
    stages:
      back: {rewind: start}
      again: {objective: cross_entropy, epochs: 1, batch_size: 200, optimizer: {name: sgd, lr: 0.1}}
"""
    once = LOTTERY.replace("rounds: 2", "rounds: 1").replace("measures", f"{control}measures")
    recipe.write_text(once)
    assert resolve(load(recipe)).populations["ticket"].control == "control"
    assert resolve(load(recipe)).populations["early"].control is None
