"""``prunekit plugins new``: what it writes works, or nothing is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from prunekit.cli.plugins import plugins
from prunekit.errors import InputError
from prunekit.recipe import load
from prunekit.study import resolve

KINDS = ["criterion", "schedule", "measure", "objective"]


def new(*arguments: str) -> Result:
    return CliRunner().invoke(plugins, ["new", *arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_its_test_and_its_recipe_are_written_and_the_next_commands_said(kind: str, tmp_path: Path) -> None:
    said = new(kind, "my_idea").output
    assert {path.name for path in tmp_path.iterdir()} == {"my_idea.py", "test_my_idea.py", "my_idea.yaml"}
    assert said.splitlines()[-3:] == [
        "  prunekit plugins check my_idea.py",
        "  python -m pytest test_my_idea.py",
        "  prunekit run my_idea.yaml",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_plugin_has_under_15_lines_of_code(kind: str, tmp_path: Path) -> None:
    new(kind, "my_idea")
    lines = [line for line in (tmp_path / "my_idea.py").read_text().splitlines() if line.strip()]
    assert len(lines) < 15


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_is_valid_and_uses_the_plugin_and_what_it_is_compared_with(kind: str, tmp_path: Path) -> None:
    new(kind, "my_idea")
    study = resolve(load(tmp_path / "my_idea.yaml"))
    text = (tmp_path / "my_idea.yaml").read_text()
    rivals = {"criterion": ["magnitude"], "schedule": ["one_shot", "gmp"], "objective": ["cross_entropy"]}
    assert all(rival in text for rival in ["my_idea", *rivals.get(kind, [])])
    assert len(study.recipe.comparisons) == {"measure": 1}.get(kind, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_of_the_plugin_holds(kind: str) -> None:
    new(kind, "my_idea")
    checked = CliRunner().invoke(plugins, ["check", "my_idea.py"], catch_exceptions=False)
    assert checked.exit_code == 0
    assert "✗" not in checked.output
    assert checked.output.count("✓") >= 5


@pytest.mark.parametrize("kind", ["schedule", "objective"])
def test_the_test_that_is_written_passes(kind: str, tmp_path: Path) -> None:
    new(kind, "my_idea")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_idea.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_that_is_written_runs_and_is_reported(kind: str, tmp_path: Path) -> None:
    new(kind, "my_idea")
    main = [sys.executable, "-c", "from prunekit.cli.main import main; main()"]
    subprocess.run([*main, "run", "my_idea.yaml"], check=True, capture_output=True, cwd=tmp_path)
    report = subprocess.run([*main, "report"], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "MyIdea" in report if kind == "measure" else "by_my_idea" in report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("criterio", "x"), r"no kind 'criterio' of plugin \(did you mean 'criterion'\?\)"),
        (("backbone", "x"), "no template for a backbone: expected one of criterion, schedule, measure, objective"),
        (("criterion", "my-idea"), "'my-idea' is no name for a Python file: .* such as my_idea"),
        (("criterion", "1st"), "such as my_1st"),
        (("criterion", "class"), "such as my_class"),
        (("criterion", "idée"), "such as id_e"),
        (("criterion", "magnitude"), r"'magnitude' is registered already, by .*magnitude\.py"),
        (("criterion", "json"), r"json is a Python module already .* such as my_json"),
    ],
)
def test_a_kind_or_name_that_cannot_be_is_refused_and_nothing_is_written(
    arguments: tuple[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        new(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_files_that_exist_are_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "my_idea.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"my_idea\.yaml: exists already"):
        new("criterion", "my_idea")
    assert [path.name for path in tmp_path.iterdir()] == ["my_idea.yaml"]
    new("criterion", "my_idea", "--force")
    assert (tmp_path / "my_idea.yaml").read_text().startswith("# Which weights to keep: my_idea")


def test_another_folder_is_made_and_a_file_in_its_place_refused(tmp_path: Path) -> None:
    new("schedule", "my_idea", "--out", "a/b")
    assert len(list((tmp_path / "a" / "b").iterdir())) == 3
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot write there"):
        new("schedule", "my_idea", "--out", "file")
