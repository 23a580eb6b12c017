"""The recipes that ship: valid in every profile, faithful to the paper, and sharing what they have in common."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from prunekit.plugins.datasets.cifar import Cifar10
from prunekit.recipe import load, shipped
from prunekit.schema import recipe_schema
from prunekit.stages import TrainStage
from prunekit.study import PlannedStage, Study, resolve

COLUMNS = {
    "sup_gmp_90": ("dense_sup", "sup_gmp_0.9", None),
    "sup_oneshot_90": ("dense_sup", "sup_oneshot_0.9", "control_sup"),
    "scl_gmp_90": ("dense_scl", "scl_gmp_0.9", None),
    "scl_delayed_gmp_90": ("dense_scl", "scl_delayed_gmp_0.9", None),
    "scl_onshot_90": ("dense_scl", "scl_oneshot_0.9", "control_scl"),
}
"""The column of ``table1`` that each recipe is: its dense, sparse and control populations."""
PROFILES = [None, "paper", "reduced", "gpu"]


def study(name: str, profile: str | None = None) -> Study:
    return resolve(load(name, profile=profile))


def stages(study: Study, population: str) -> dict[str, PlannedStage]:
    return {stage.name: stage for stage in study.populations[population].stages}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_recipe_fits_the_schema_that_editors_check_it_against(name: str) -> None:
    document = yaml.safe_load(shipped()[name].read_text(encoding="utf-8"))
    errors = list(jsonschema.Draft202012Validator(recipe_schema()).iter_errors(document))
    assert not errors, errors[0].message


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_column_alone_does_what_table1_does(name: str, profile: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same keys, so that one study finds in the store what the other made.
    monkeypatch.setattr(Cifar10, "fingerprint", lambda self: "as if its files were there")
    alone, whole = (resolve(load(each, profile=profile, seeds=1)) for each in (name, "table1"))
    for mine, theirs in zip(("dense", "sparse", "control"), COLUMNS[name], strict=True):
        assert (mine in alone.populations) == (theirs is not None)
        if theirs is not None:
            assert alone.populations[mine].members[0].keys == whole.populations[theirs].members[0].keys


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_column_alone_has_the_published_numbers_that_table1_has(name: str) -> None:
    alone, whole = (load(each).recipe.published for each in (name, "table1"))
    assert alone is not None
    assert whole is not None
    assert alone.populations == {
        mine: whole.populations[theirs] for mine, theirs in zip(("dense", "sparse"), COLUMNS[name][:2], strict=True)
    }


def test_table1_has_every_column_at_every_sparsity_against_its_own_reference() -> None:
    table1 = study("table1")
    sparsities = (0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
    methods = ("sup_gmp", "sup_oneshot", "scl_gmp", "scl_delayed_gmp", "scl_oneshot")
    expected = {(f"dense_{m[:3]}", f"{m}_{s}") for m in methods for s in sparsities}
    assert {(c.reference, c.pruned) for c in table1.recipe.comparisons} == expected
    for method in methods:
        for sparsity in sparsities:
            last = [s.updates[-1][1] for s in table1.populations[f"{method}_{sparsity}"].stages if s.updates]
            assert set(last) == {sparsity}
    assert table1.populations["scl_oneshot_0.5"].control == "control_scl"
    assert table1.populations["scl_gmp_0.5"].control == "dense_scl"
    assert table1.populations["scl_delayed_gmp_0.5"].control == "dense_scl"


# ------------------------------------------------------------------------------------------- the published setting


def trained(stage: PlannedStage) -> dict[str, Any]:
    options = stage.options
    assert isinstance(options, TrainStage)
    return {
        "epochs": options.epochs,
        "batch": options.batch_size,
        "iterations": stage.iterations,
        **dict(options.optimizer),
        "augment": options.augment.name,
        "precision": options.precision,
    }


def test_the_paper_profile_has_the_papers_members_images_and_network() -> None:
    for name in (*COLUMNS, "table1"):
        paper = study(name, "paper")
        assert paper.recipe.seeds == 30
        assert (paper.data.train, paper.data.validation, paper.data.test) == (50_000, 0, 10_000)
        assert paper.recipe.model.name.format(**dict(paper.recipe.model)) == "wrn16_2"


def test_the_paper_profile_trains_as_the_paper_does() -> None:
    # Corti et al. 2022; iterations are epochs × ⌈50,000 / batch⌉.
    sgd = {"momentum": 0.9, "precision": "fp32"}
    whole = study("table1", "paper")
    assert trained(stages(whole, "dense_sup")["train"]) == {
        "epochs": 205,
        "batch": 128,
        "iterations": 80_155,
        "lr": 1.0,
        "weight_decay": 5e-4,
        "nesterov": False,
        "augment": "crop_flip",
        **sgd,
    }
    assert trained(stages(whole, "dense_scl")["encoder"]) == {
        "epochs": 500,
        "batch": 1024,
        "iterations": 24_500,
        "lr": 0.05,
        "weight_decay": 5e-4,
        "nesterov": False,
        "augment": "simclr",
        **sgd,
    }
    assert trained(stages(whole, "dense_scl")["classifier"]) == {
        "epochs": 100,
        "batch": 256,
        "iterations": 19_600,
        "lr": 0.1,
        "weight_decay": 0.0,
        "nesterov": False,
        "augment": "crop_flip",
        **sgd,
    }
    for population in ("sup_oneshot_0.5", "scl_oneshot_0.5", "control_sup", "control_scl"):
        assert trained(stages(whole, population)["finetune"]) == {
            "epochs": 30,
            "batch": 128,
            "iterations": 11_730,
            "lr": 1e-3,
            "weight_decay": 0.0,
            "nesterov": True,
            "augment": "crop_flip",
            **sgd,
        }


def test_the_paper_profile_augments_and_schedules_as_the_paper_does() -> None:
    whole = study("table1", "paper")
    train, encoder = stages(whole, "dense_sup")["train"].options, stages(whole, "dense_scl")["encoder"].options
    assert dict(train.augment) == {"padding": 4, "horizontal": True, "vertical": False}
    assert dict(encoder.augment) == {
        "scale": [0.2, 1.0],
        "ratio": [3 / 4, 4 / 3],
        "flip": 0.5,
        "jitter": 0.8,
        "grayscale": 0.2,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.1,
    }
    objective = encoder.objective
    assert (objective.name, objective.temperature, objective.base_temperature, objective.dimension) == (
        *("supcon", 0.5, 0.07, 128),
    )
    steps = stages(whole, "dense_sup")["train"].options.lr_schedule
    assert ([str(t) for t in steps.milestones], steps.gamma) == (["5ep", "30ep", "50ep", "80ep"], 0.1)
    steps = stages(whole, "dense_scl")["classifier"].options.lr_schedule
    assert ([str(t) for t in steps.milestones], steps.gamma) == (["60ep", "75ep", "90ep"], 0.2)
    assert (encoder.lr_schedule.name, encoder.lr_schedule.final, str(encoder.lr_schedule.warmup)) == (
        *("cosine", 1e-3, "0it"),
    )
    assert stages(whole, "dense_scl")["classifier"].options.only == "head"


@pytest.mark.parametrize(
    ("population", "stage", "updates", "second"),
    [
        ("sup_gmp_0.9", "train", (39, 1000, 20_000), 1500),
        ("scl_gmp_0.9", "encoder", (39, 125, 2476), 187),
        ("scl_delayed_gmp_0.9", "encoder", (39, 2440, 4760), 2502),
        ("scl_gmp_0.9", "classifier", (39, 500, 10_000), 750),
        ("scl_delayed_gmp_0.9", "classifier", (39, 500, 10_000), 750),
    ],
)
def test_gradual_pruning_is_done_at_the_papers_iterations(
    population: str, stage: str, updates: tuple[int, int, int], second: int
) -> None:
    planned = stages(study("table1", "paper"), population)[stage]
    assert (len(planned.updates), planned.updates[0][0], planned.updates[-1][0]) == updates
    assert planned.updates[1][0] == second
    assert (planned.updates[0][1], planned.updates[-1][1]) == (0.0, 0.9)
    assert planned.options.prune.within == "layer"


def test_one_shot_ranks_all_weights_of_the_network_and_no_biases() -> None:
    prune = stages(study("table1", "paper"), "scl_oneshot_0.7")["prune"].options
    assert (prune.within, prune.targets.parameters, prune.criterion.name) == ("network", ["weight"], "magnitude")
