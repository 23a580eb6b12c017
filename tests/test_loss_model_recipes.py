"""The recipes of the study of loss models: the setting of Laurent et al. 2020, and what members share."""

from __future__ import annotations

import pytest

from prunekit.plugins.datasets.cifar import Cifar10
from prunekit.plugins.datasets.mnist import Mnist
from prunekit.recipe import load
from prunekit.stages import PruneStage, TrainStage
from prunekit.study import Study, resolve

GRID = [0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100]
PAPER = {  # data, model, sparsity, epochs, lr, milestones, (train, validation, test)
    "loss_models_mlp_mnist": ("mlp_300_100", 0.98847, 800, 0.01, [], (50_000, 10_000, 10_000)),
    "loss_models_vgg11_cifar10": ("vgg11", 0.956, 300, 0.01, [60, 120, 180, 240], (45_000, 5_000, 10_000)),
    "loss_models_preact_resnet18_cifar10": ("preact_resnet18", 0.956, 200, 0.1, [70, 140], (45_000, 5_000, 10_000)),
}


def study(name: str, profile: str | None = None) -> Study:
    return resolve(load(name, profile=profile))


def settings(study: Study) -> set[tuple[str, str, int, float | None]]:
    """(criterion, schedule, rounds, λ) of every pruned population."""
    found = []
    for population in study.populations.values():
        stage = next((s.options for s in population.stages if isinstance(s.options, PruneStage)), None)
        if stage is not None:
            regularisation = getattr(stage.criterion, "regularisation", None)
            found.append((stage.criterion.name, stage.schedule.name, stage.schedule.steps, regularisation))
    assert len(set(found)) == len(found), "no setting stands twice"
    return set(found)


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_profile_is_the_papers_setting(name: str) -> None:
    model, sparsity, epochs, lr, milestones, sizes = PAPER[name]
    paper = study(name, "paper")
    recipe = paper.recipe
    assert recipe.seeds == 5
    assert recipe.model.name.format(**dict(recipe.model)) == model
    assert getattr(recipe.model, "width", 1.0) == 1.0
    assert (paper.data.train, paper.data.validation, paper.data.test) == sizes
    expected = {("magnitude", "one_shot", 1, None)}
    for criterion in ("lm", "qm", "obd"):
        for schedule, rounds in (("exponential", (1, 14, 140)), ("linear", (14, 140))):
            expected |= {(criterion, schedule, each, float(value)) for each in rounds for value in GRID}
    assert settings(paper) == expected
    for population in paper.populations.values():
        for stage in population.lineage:
            options = stage.options
            if isinstance(options, PruneStage):
                assert (options.schedule.sparsity, options.within) == (sparsity, "network")
                assert options.targets.parameters == ["weight"]
                assert getattr(options.criterion, "examples", 1000) == 1000
            else:
                assert isinstance(options, TrainStage)
                assert (options.epochs, options.batch_size, options.select) == (epochs, 100, "best_validation")
                assert dict(options.optimizer) == {"lr": lr, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4}
                found = [str(each) for each in getattr(options.lr_schedule, "milestones", [])]
                assert found == [f"{each}ep" for each in milestones]
                assert options.precision == "fp32"


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("profile", [None, "paper"])
def test_dense_members_are_trained_once_and_every_population_is_compared_with_them(
    name: str, profile: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (Cifar10, Mnist):
        monkeypatch.setattr(data, "fingerprint", lambda self: "as if its files were there")
    plan = study(name, profile)
    first = {population.members[0].keys[0] for population in plan.populations.values()}
    assert len(first) == 1
    pruned = {population.name for population in plan.populations.values()} - {"dense", "control"}
    assert {(c.reference, c.pruned) for c in plan.recipe.comparisons} == {("dense", each) for each in pruned}
    assert all(plan.populations[each].control == "control" for each in pruned)


def test_pruning_at_initialisation_starts_from_the_weights_that_dense_members_start_from() -> None:
    plan = study("pruning_at_init")
    names = {"snip", "grasp", "synflow", "magnitude", "random"}
    expected = {f"{name}-{sparsity}" for name in names for sparsity in (0.9, 0.95, 0.98)}
    assert {population.name for population in plan.populations.values()} == {"dense", *expected}
    for name in expected:
        population = plan.populations[name]
        assert population.parent is None
        assert [stage.name for stage in population.stages] == ["prune", "train"]
        assert population.control == "dense"
        assert population.stages[0].updates[-1][1] == float(name.rpartition("-")[2])
    assert len(plan.populations["synflow-0.98"].stages[0].updates) == 100
