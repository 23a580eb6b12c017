"""What the README shows is what works."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers_contract import MAY_NOT_APPLY

from prunekit.recipe import load
from prunekit.registry import registry
from prunekit.study import resolve

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_pruner_of_the_readme_is_short_and_runs_from_its_recipe(tmp_path: Path) -> None:
    plugin = next(block for block in blocks("python") if block.startswith("# softest.py"))
    assert len([line for line in plugin.splitlines() if line.strip()]) < 15
    (tmp_path / "softest.py").write_text(plugin)
    (tmp_path / "mine.yaml").write_text(next(block for block in blocks("yaml") if block.startswith("# mine.yaml")))
    study = resolve(load(tmp_path / "mine.yaml"))
    shipped = resolve(load("scl_onshot_90"))
    dense, before = study.populations["dense"].members, shipped.populations["dense"].members
    assert [member.keys for member in dense] == [member.keys for member in before]
    sparse, before = study.populations["sparse"].members, shipped.populations["sparse"].members
    assert all(mine.key != theirs.key for mine, theirs in zip(sparse, before, strict=True))


def test_the_pruner_of_the_readme_prunes(tmp_path: Path) -> None:
    import torch

    from prunekit import Pruner

    (tmp_path / "softest.py").write_text(next(block for block in blocks("python") if block.startswith("# softest.py")))
    softest = registry.with_files([tmp_path / "softest.py"]).find("criterion", "softest")[0].plugin
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8, 4))
    pruner = Pruner(model, criterion=softest(), sparsity=0.5)  # type: ignore[arg-type]
    assert pruner.sparsity == pytest.approx(0.5, abs=1 / 248)


def test_the_schedule_of_the_readme_prunes_in_two_steps(tmp_path: Path) -> None:
    from prunekit.updates import planned_updates

    plugin = next(block for block in blocks("python") if block.startswith("# twice.py"))
    assert len([line for line in plugin.splitlines() if line.strip()]) < 15
    (tmp_path / "twice.py").write_text(plugin)
    twice = registry.with_files([tmp_path / "twice.py"]).find("schedule", "twice")[0].plugin
    assert planned_updates(twice(sparsity=0.8), 40, 8) == [(16, 0.4), (40, 0.8)]  # type: ignore[arg-type]


def test_the_measure_of_the_readme_measures(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from prunekit import Comparison
    from prunekit.report.arrays import ArrayPopulation, ArrayStudy

    (tmp_path / "sureness.py").write_text(
        next(block for block in blocks("python") if block.startswith("# sureness.py"))
    )
    measure = registry.with_files([tmp_path / "sureness.py"]).find("measure", "sureness")[0].plugin()
    logits = np.array([[1.0, 3.0, 0.0], [5.0, 4.0, 4.5]])
    assert measure.observe(SimpleNamespace(logits=lambda: logits))["margin"].tolist() == [2.0, 0.5]  # type: ignore[attr-defined]
    populations = {
        name: ArrayPopulation(name, (0, 1), 0.0, {"margin": np.full((2, 3), value)})
        for name, value in (("dense", 2.0), ("sparse", 0.5))
    }
    study = ArrayStudy(("a", "b"), ("0", "1", "2"), np.zeros(3, np.int64), populations)
    summary = measure.summarise(study, [Comparison("dense", "sparse", None, True)])  # type: ignore[attr-defined]
    assert summary.comparisons == [{"change": -1.5}]
    assert summary.tables[0].rows == [("dense", 2.0), ("sparse", 0.5)]


@pytest.mark.parametrize("name", ["softest", "twice", "sureness"])
def test_the_plugins_of_the_readme_keep_to_their_contract(tmp_path: Path, name: str) -> None:
    from prunekit.testing import check

    file = tmp_path / f"{name}.py"
    file.write_text(next(block for block in blocks("python") if block.startswith(f"# {name}.py")))
    (entry,) = [entry for entry in registry.with_files([file]).entries() if entry.name == name]
    options = {"sparsity": 0.5} if entry.plugin.kind == "schedule" else {}
    others = [each for each in check(entry.plugin.model_validate(options)) if not each.held]
    assert all(each.held is None and each.name in MAY_NOT_APPLY for each in others), others


def test_the_recipe_of_the_readme_is_valid_and_so_is_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "how-much.yaml"
    path.write_text(next(block for block in blocks("yaml") if "name: how-much" in block))
    study = resolve(load(path))
    assert list(study.populations) == ["dense", "sparse-0.5", "sparse-0.9", "control"]
    assert study.populations["sparse-0.9"].control == "control"
    assert study.populations["sparse-0.9"].stages[0].updates[-1][1] == 0.9
    assert resolve(load(path, profile="quick")).recipe.seeds == 2


def test_the_tickets_of_the_readme_are_pruned_in_five_rounds_and_rewound(tmp_path: Path) -> None:
    path = tmp_path / "tickets.yaml"
    stages = next(block for block in blocks("yaml") if "repeat:" in block)
    path.write_text(stages)
    population = resolve(load(path)).populations["ticket"]
    assert len(population.stages) == 15
    targets = [stage.updates[0][1] for stage in population.stages if stage.updates]
    assert targets == pytest.approx([1 - 0.1 ** (i / 5) for i in range(1, 6)])
    assert [stage.point for stage in population.stages] == [0, 1, 0] * 5


@pytest.mark.filterwarnings("ignore:nothing is left of")
def test_the_loop_of_the_readme_prunes_exactly_and_goes_on_from_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import timm
    import torch

    create, made = timm.create_model, []

    def smaller(name: str, **options: int) -> torch.nn.Module:
        made.append(create(name, img_size=16, patch_size=8, depth=1, embed_dim=24, num_heads=3, **options))
        return made[-1]

    monkeypatch.setattr(timm, "create_model", smaller)
    monkeypatch.chdir(tmp_path)
    given = {"loader": [(torch.randn(4, 3, 16, 16), torch.arange(4))] * 2, "path": tmp_path / "state.pt"}
    exec(next(block for block in blocks("python") if "vit_tiny" in block), given)  # noqa: S102
    weights = [p for m in made[0].modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d) for p in [m.weight]]
    total = sum(weight.numel() for weight in weights)
    assert sum(int((weight == 0).sum()) for weight in weights) == round(0.9 * total)
    printed = capsys.readouterr().out
    assert "epoch 0: 0.0% of the weights are zero" in printed
    assert "epoch 9: 90.0% of the weights are zero" in printed
    assert printed.splitlines()[-1].split() == ["total", f"{total:,}", f"{round(0.9 * total):,}", "90.00%"]
    saved = torch.load("pruned.pt", weights_only=True)
    assert all(not saved[name][~mask].any() for name, mask in given["masks"].items())  # type: ignore[attr-defined]

    from prunekit import Pruner

    pruner = given["pruner"] = Pruner(made[0], sparsity=0.95)
    exec(next(block for block in blocks("python") if "pruner.load_state_dict" in block), given)  # noqa: S102
    assert pruner.sparsity == round(0.95 * total) / total


def test_pruning_without_a_loop_works_as_the_readme_says() -> None:
    import torch

    import prunekit

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    loader = [(torch.randn(16, 3, 2, 2), torch.arange(16) % 3)]
    given = {"prunekit": prunekit, "model": model, "loader": loader, "loss": torch.nn.functional.cross_entropy}
    exec(next(block for block in blocks("python") if block.startswith("masks = prunekit.prune")), given)  # noqa: S102
    assert sum(int((~mask).sum()) for mask in given["masks"].values()) == round(120 * 0.95)  # type: ignore[attr-defined]


def test_the_functions_for_others_work_as_the_readme_says() -> None:
    import torch

    given = {
        "dense_predictions": np.array([[0, 1], [0, 1], [1, 1]]),
        "sparse_predictions": np.array([[1, 1], [1, 1], [0, 1]]),
        "features": np.eye(3, 4),
        "projections": torch.nn.functional.normalize(torch.randn(4, 2, 8), dim=-1),
        "labels": torch.tensor([0, 0, 1, 1]),
    }
    exec(next(block for block in blocks("python") if block.startswith("from prunekit.plugins")), given)  # noqa: S102
    assert given["pies"].tolist() == [True, False]  # type: ignore[attr-defined]
    assert len(given["q"]) == 3  # type: ignore[arg-type]
    assert given["loss"].isfinite()  # type: ignore[attr-defined]


def test_the_commands_that_ci_runs_are_marked() -> None:
    for mark in ("main-job", "tests"):
        assert f"<!-- {mark} -->\n```sh\n" in README


def test_a_file_of_the_engine_imports_only_files_listed_above_it() -> None:
    import ast

    row = next(line for line in README.splitlines() if line.startswith("| `prunekit/` |"))
    order = [name.rstrip("/") for name in re.findall(r"`([a-z_]+/?)`", row)][1:]
    engine = Path(__file__).parent.parent / "prunekit"
    files = {path.stem for path in engine.glob("*.py")} - {"__init__"}
    assert files == set(order) - {"report", "testing"}
    for name in order[:-2]:
        imports = {
            (node.module or "").removeprefix("prunekit.").split(".")[0]
            for node in ast.walk(ast.parse((engine / f"{name}.py").read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prunekit.")
        }
        for imported in imports:
            assert order.index(imported) < order.index(name), f"{name} imports {imported}"


def test_every_file_that_the_readme_names_exists() -> None:
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists(), link
