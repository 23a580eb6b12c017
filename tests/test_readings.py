"""Which readings of the method a plan says its options are."""

from __future__ import annotations

from pathlib import Path

from prunekit.outline import describe
from prunekit.recipe import load
from prunekit.study import resolve

RECIPE = """
name: readings
data: digits
model: wrn10_1
seeds: 1
populations:
  "gmp_{s}":
    title: Sup/GMP
    for: {s: [0.5, 0.9]}
    stages:
      train:
        objective: cross_entropy
        epochs: 4
        optimizer: {name: sgd, lr: 0.2, weight_decay: 5.0e-4}
        prune: {schedule: {name: gmp, sparsity: "{s}", begin: 0it, end: 2ep, every: 1ep}}
  control:
    stages: {train: {objective: cross_entropy, epochs: 4, optimizer: {name: sgd, lr: 0.2, weight_decay: 5.0e-4}}}
"""


def readings(folder: Path, *assignments: str) -> list[str]:
    path = folder / "readings.yaml"
    path.write_text(RECIPE)
    found = describe(resolve(load(path, assignments=assignments)))["readings"]
    assert isinstance(found, list)
    return found


def test_what_all_stages_share_is_said_once(tmp_path: Path) -> None:
    assert readings(tmp_path) == [
        "sgd: weight decay 0.0005",
        "gmp: updates at begin, begin + every, … and at end, each with its own target",
        "weights are pruned, biases are not",
    ]


def test_where_stages_differ_each_reading_names_its_own_by_title(tmp_path: Path) -> None:
    found = readings(tmp_path, "populations.control.stages.train.optimizer.weight_decay=4.0e-4")
    assert found[:2] == ["sgd: weight decay 0.0005 (Sup/GMP train)", "sgd: weight decay 0.0004 (control train)"]


def test_another_reading_is_said(tmp_path: Path) -> None:
    found = readings(tmp_path, "populations.gmp_{s}.stages.train.prune.schedule.lagging=true")
    assert "gmp: updates at multiples of every, each with the target of the one before" in found


def test_which_epoch_a_stage_ends_with_and_where_weights_go_back_to_is_said(tmp_path: Path) -> None:
    again = "{rewind: start}, again: {objective: cross_entropy, epochs: 1, select: best_validation}"
    changed = RECIPE.replace("control:\n    stages: {", f"control:\n    stages: {{back: {again}, ")
    (tmp_path / "changed.yaml").write_text(changed)
    found = describe(resolve(load(tmp_path / "changed.yaml")))["readings"]
    assert "weights and statistics go back to start, and what was pruned stays pruned" in found
    assert "training ends with the first epoch of highest validation accuracy" in found
