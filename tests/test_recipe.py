"""From YAML to a validated recipe; what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.errors import InputError
from prunekit.recipe import load, locate, shipped
from prunekit.registry import registry
from prunekit.stages import PruneStage, TrainStage, as_recipe


def changed(tiny: Path, old: str, new: str) -> Path:
    text = tiny.read_text()
    assert old in text
    tiny.write_text(text.replace(old, new, 1))
    return tiny


def test_a_recipe_becomes_stages(tiny: Path) -> None:
    recipe = load(tiny).recipe
    assert list(recipe.populations) == ["dense", "sparse", "control"]
    prune = recipe.populations["sparse"].stages["prune"]
    assert isinstance(prune, PruneStage)
    assert prune.schedule.sparsity == 0.5
    assert prune.criterion.name == "magnitude"
    train = recipe.populations["dense"].stages["train"]
    assert isinstance(train, TrainStage)
    assert (train.epochs, train.batch_size, train.optimizer.lr) == (2, 200, 0.1)
    assert recipe.lineage("sparse") == ["dense", "sparse"]


def test_a_recipe_survives_the_round_trip(tiny: Path, tmp_path: Path) -> None:
    import json

    recipe = load(tiny).recipe
    again = tmp_path / "again.yaml"
    again.write_text(json.dumps(as_recipe(recipe)))
    assert load(again).recipe == recipe


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs: 2", "epoch: 2", ["tiny.yaml:8", "dense.stages.train.epoch: unknown key", "did you mean 'epochs'"]),
        ("seeds: 2", "seedz: 2", ["tiny.yaml:4", "seedz: unknown key", "'seeds'"]),
        ("seeds: 2", "seeds: 0", ["tiny.yaml:4", "seeds", "greater than 0", "not 0"]),
        ("seeds: 2", "seeds: -1", ["tiny.yaml:4", "seeds"]),
        ("seeds: 2", "seeds: '2'", ["tiny.yaml:4", "seeds", "integer"]),
        ("data: digits", "data: digit", ["tiny.yaml:2", "data", "did you mean 'digits'"]),
        ("model: wrn10_1", "model: wrn11_1", ["tiny.yaml:3", "model", "6n + 4"]),
        (
            "model: wrn10_1",
            "model: alexnet",
            ["tiny.yaml:3", "no backbone is called 'alexnet'", "known: import, mlp_{first}_{second}, preact_resnet18"],
        ),
        ("model: wrn10_1", "model: 3", ["tiny.yaml:3", "model", "expected the name of a backbone"]),
        ("name: one_shot", "name: oneshot", ["tiny.yaml:12", "schedule.name", "did you mean 'one_shot'"]),
        ("sparsity: 0.5", "sparsity: 1.0", ["tiny.yaml:12", "sparsity", "less than 1"]),
        ("sparsity: 0.5", "sparsity: -0.1", ["tiny.yaml:12", "sparsity", "at least 0"]),
        ("sparsity: 0.5", "sparsity: .nan", ["tiny.yaml:12", "sparsity"]),
        ("sparsity: 0.5", "sparsity: half", ["tiny.yaml:12", "sparsity", "number", "'half'"]),
        ("sparsity: 0.5", "sparsity: true", ["tiny.yaml:12", "sparsity", "number"]),
        ("from: dense", "from: dens", ["tiny.yaml:10", "from: there is no population 'dens'", "'dense'"]),
        ("  dense:\n", "  dense:\n    from: sparse\n", ["start from each other", "dense from sparse from dense"]),
        (
            "objective: cross_entropy, epochs: 2",
            "epochs: 2",
            ["tiny.yaml:8", "one of an objective (it trains), a schedule"],
        ),
        ("epochs: 2, ", "", ["tiny.yaml:8", "epochs: the key is missing"]),
        ("pruned: sparse", "pruned: spars", ["tiny.yaml:18", "there is no population 'spars'", "'sparse'"]),
        ("pruned: sparse", "pruned: dense", ["tiny.yaml:18", "compares 'dense' with itself"]),
        ("[accuracy, pie", "[accuracy, pies", ["tiny.yaml:19", "measures.1", "did you mean 'pie'"]),
        ("[accuracy, pie", "[accuracy, accuracy, pie", ["tiny.yaml:19", "stands twice"]),
        ("  sparse:", "  'spa rse':", ["no name"]),
        ("{name: one_shot, sparsity: 0.5}", "{name: gmp, sparsity: 0.5}", ["tiny.yaml:12", "prune:", "training stage"]),
        ("stages:\n      train:", "stages: {}\n  other:\n    stages:\n      train:", ["needs a stage"]),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(tiny: Path, old: str, new: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load(changed(tiny, old, new))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_extends_merges_over_another_recipe(tiny: Path) -> None:
    child = tiny.parent / "child.yaml"
    child.write_text(
        "extends: tiny.yaml\nname: child\nseeds: 5\npopulations: {dense: {stages: {train: {epochs: 7}}}}\n"
    )
    recipe = load(child).recipe
    assert (recipe.name, recipe.seeds) == ("child", 5)
    train = recipe.populations["dense"].stages["train"]
    assert isinstance(train, TrainStage)
    assert (train.epochs, train.batch_size) == (7, 200)


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(InputError, match=r"b\.yaml:1: extends: a\.yaml extends this recipe in turn"):
        load(tmp_path / "a.yaml")


def test_a_profile_changes_the_recipe_and_an_unknown_one_is_refused(tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + "profiles:\n  quick: {populations: {dense: {stages: {train: {epochs: 1}}}}}\n")
    assert load(tiny).recipe.populations["dense"].stages["train"].epochs == 2  # type: ignore[union-attr]
    assert load(tiny, profile="quick").recipe.populations["dense"].stages["train"].epochs == 1  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"no profile 'quik'.*did you mean 'quick'"):
        load(tiny, profile="quik")


def test_assignments_change_one_key_each(tiny: Path) -> None:
    changes = ["populations.dense.stages.train.epochs=9", "populations.sparse.stages.prune.criterion=random"]
    recipe = load(tiny, assignments=changes, seeds=3).recipe
    assert recipe.populations["dense"].stages["train"].epochs == 9  # type: ignore[union-attr]
    assert recipe.populations["sparse"].stages["prune"].criterion.name == "random"  # type: ignore[union-attr]
    assert recipe.seeds == 3


def test_an_assignment_may_give_options_to_a_plugin_named_by_text(tiny: Path) -> None:
    assert load(tiny, assignments=["data.validation=100"]).recipe.data.validation == 100  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("populations.dens.stages.train.epochs=1", ["no populations.dens", "'dense'"]),
        ("populations.dense.stages.train.epoch=1", ["unknown key", "'epochs'"]),
        ("seeds=many", ["--set seeds=many", "seeds", "integer"]),
        ("seeds", ["expected a path and a value"]),
        ("measures=[accuracy, pi]", ["--set measures=[accuracy, pi]: measures.1: no measure is called 'pi'"]),
    ],
)
def test_a_wrong_assignment_is_named(tiny: Path, assignment: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load(tiny, assignments=[assignment])
    for word in words:
        assert word in str(caught.value)


def test_for_repeats_a_population_and_its_comparisons(tiny: Path) -> None:
    text = tiny.read_text().replace("  sparse:\n", "  'sparse-{s}':\n    for: {s: [0.3, 0.9]}\n", 1)
    text = text.replace("sparsity: 0.5", "sparsity: '{s}'")
    text = text.replace(
        "{reference: dense, pruned: sparse}", "{reference: dense, pruned: 'sparse-{s}', for: {s: [0.3, 0.9]}}"
    )
    tiny.write_text(text)
    recipe = load(tiny).recipe
    assert list(recipe.populations) == ["dense", "sparse-0.3", "sparse-0.9", "control"]
    assert recipe.populations["sparse-0.9"].stages["prune"].schedule.sparsity == 0.9  # type: ignore[union-attr]
    assert [each.pruned for each in recipe.comparisons] == ["sparse-0.3", "sparse-0.9"]


def test_for_without_its_key_in_the_name_is_refused(tiny: Path) -> None:
    with pytest.raises(InputError, match="two populations would be called 'sparse'"):
        load(changed(tiny, "  sparse:\n", "  sparse:\n    for: {s: [0.3, 0.9]}\n"))


def test_for_needs_lists(tiny: Path) -> None:
    with pytest.raises(InputError, match="mapping of names to lists"):
        load(changed(tiny, "  sparse:\n", "  sparse:\n    for: {s: 0.3}\n"))


def test_only_head_needs_an_objective_that_trains_it(tiny: Path) -> None:
    with pytest.raises(InputError, match="supcon trains encoder and projector, not the head"):
        load(changed(tiny, "objective: cross_entropy, epochs: 2", "objective: supcon, only: head, epochs: 2"))


def test_a_plugin_file_is_found_beside_the_recipe(tiny: Path) -> None:
    plugin = tiny.parent / "halves.py"
    plugin.write_text(
        "from prunekit import Progress, Schedule, register\n\n"
        '@register("halves")\n'
        "class Halves(Schedule):\n"
        '    """Half of what was asked for."""\n\n'
        "    def target(self, now: Progress) -> float | None:\n"
        "        return self.sparsity / 2\n"
    )
    tiny.write_text("plugins: [halves.py]\n" + tiny.read_text().replace("one_shot", "halves"))
    source = load(tiny)
    assert source.recipe.populations["sparse"].stages["prune"].schedule.name == "halves"  # type: ignore[union-attr]
    assert "halves" not in registry.names("schedule")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["tiny.yaml:1", "there is no file"]),
        ("x = 1\n", ["registers no plugin"]),
        ("def broken(:\n", ["mine.py:1", "SyntaxError"]),
        ("x = 1\nraise RuntimeError('no')\n", ["mine.py:2", "RuntimeError: no"]),
    ],
)
def test_a_bad_plugin_file_is_named(tiny: Path, content: str | None, words: list[str]) -> None:
    if content is not None:
        (tiny.parent / "mine.py").write_text(content)
    tiny.write_text("plugins: [mine.py]\n" + tiny.read_text())
    with pytest.raises(InputError) as caught:
        load(tiny)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_recipe_is_found_by_path_or_by_name(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate(tiny) == tiny
    assert locate("scl_onshot_90") == shipped()["scl_onshot_90"]
    monkeypatch.chdir(tiny.parent)
    assert locate("recipes/scl_onshot_90.yaml") == shipped()["scl_onshot_90"]
    with pytest.raises(InputError, match="did you mean 'scl_onshot_90'"):
        locate("scl_oneshot_90")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recipe_is_valid_and_so_is_each_of_its_profiles(name: str) -> None:
    from prunekit.documents import read

    assert load(name).recipe.description
    for profile in read(shipped()[name]).plain().get("profiles", {}):
        load(name, profile=profile)
