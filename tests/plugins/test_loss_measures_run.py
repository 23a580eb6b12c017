"""What the measures of loss models note of members that were really trained and pruned."""

from __future__ import annotations

import pytest

from prunekit.report.load import load_study
from prunekit.runner import run

RECIPE = """\
name: rounds
data: {name: digits, validation: 100}
model: mlp_300_100
seeds: 1
populations:
  dense:
    stages:
      train: {objective: cross_entropy, epochs: 1, batch_size: 200, optimizer: {name: sgd, lr: 0.1}}
  whole:
    from: dense
    stages:
      prune: {schedule: {name: exponential, sparsity: 0.9, rounds: 6}}
  single:
    from: dense
    stages:
      each: {repeat: {rounds: 6, stages: {prune: {schedule: {name: exponential, sparsity: 0.9}}}}}
  tickets:
    from: dense
    stages:
      each:
        repeat:
          rounds: 2
          stages:
            prune: {schedule: {name: lottery, sparsity: 0.9}}
            train: {objective: cross_entropy, epochs: 1, batch_size: 200, optimizer: {name: sgd, lr: 0.1}}
measures: [{name: loss_change, per_round: true}, validation_gap]
"""


@pytest.fixture(scope="module")
def populations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounds")
    (folder / "rounds.yaml").write_text(RECIPE)
    assert not run(folder / "rounds.yaml", out=folder / "runs", jobs=1).failures
    return load_study(folder / "runs").columns.populations


def note(populations, name, measure):
    (found,) = populations[name].notes(measure)
    return found


def test_rounds_made_one_by_one_change_as_much_as_those_of_one_stage(populations):
    whole, single = (note(populations, name, "loss_change") for name in ("whole", "single"))
    assert single == whole
    assert (single["pruning"]["rounds"], single["sole"]) == (6, True)
    assert len(single["deltas"]) == len(single["squared_changes"]) == 6
    assert single["deltas"][-1] == single["delta"] > 0


def test_rounds_made_one_by_one_have_the_gap_of_those_of_one_stage(populations):
    whole, single = (note(populations, name, "validation_gap") for name in ("whole", "single"))
    assert single == whole
    assert single["original"] == note(populations, "dense", "validation_gap")["error"]


def test_of_tickets_the_gap_is_to_the_dense_network_and_the_change_that_of_the_last_round(populations):
    loss, gap = (note(populations, "tickets", measure) for measure in ("loss_change", "validation_gap"))
    assert loss["sole"] is gap["sole"] is False
    assert gap["original"] == note(populations, "dense", "validation_gap")["error"]
    assert loss["before"] != note(populations, "dense", "loss_change")["loss"]
    assert loss["pruning"]["rounds"] == 1
