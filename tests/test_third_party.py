"""Packages of others: a wheel with entry points, built and installed as the documentation says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "write_a_pruner.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def command(folder: Path) -> dict[str, str]:
    """Return an environment in which the page's commands are those of this Python, and pip installs into a folder."""
    programs = folder / "bin"
    programs.mkdir()
    main = "-c 'from prunekit.cli.main import main; main()'"
    for name, arguments in {"python": "", "pip": "-m pip", "prunekit": main}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    installed = folder / "installed"
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(installed),
        "PIP_TARGET": str(installed),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as "no isolation": nothing is downloaded
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def sh(text: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def commands_of(section: int) -> list[str]:
    """Return the shell blocks of a section of the page."""
    text = re.split(r"^## \d\. ", PAGE, flags=re.MULTILINE)[section]
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def install(folder: Path, environment: dict[str, str]) -> None:
    """Go through the page's last section."""
    first, second = commands_of(6)
    made = sh(first, folder, environment)
    assert made.returncode == 0, made.stderr
    (folder / "my-pruners" / "pyproject.toml").write_text(blocks("toml")[0])
    installed = sh(second, folder, environment)
    assert installed.returncode == 0, installed.stderr + installed.stdout
    assert "my_idea (criterion): Keep the weights that are large for their layer" in installed.stdout
    assert "(package my-pruners 0.1)" in installed.stdout


@pytest.mark.slow
def test_an_installed_package_offers_its_criterion_to_everything(tmp_path: Path) -> None:
    environment = command(tmp_path)
    assert sh("prunekit plugins new criterion my_idea", tmp_path, environment).returncode == 0
    install(tmp_path, environment)
    listed = sh("prunekit plugins list", tmp_path, environment)
    assert re.search(r"^  my_idea +Keep the weights", listed.stdout, re.MULTILINE)
    recipe = (tmp_path / "my_idea.yaml").read_text().replace("plugins: [my_idea.py]\n", "")
    (tmp_path / "installed.yaml").write_text(recipe)
    planned = sh("prunekit run installed.yaml --dry-run", tmp_path, environment)
    assert planned.returncode == 0, planned.stderr
    small = (
        "--seeds 1 --set populations.dense.stages.train.epochs=1 --set populations.by_magnitude.stages.finetune=null"
    )
    ran = sh(f"prunekit run installed.yaml {small}", tmp_path, environment)
    assert ran.returncode == 0, ran.stderr
    script = (
        "import torch, prunekit\nmodel = torch.nn.Linear(20, 10)\n"
        "print(prunekit.Pruner(model, criterion='my_idea', sparsity=0.5).sparsity)\n"
    )
    used = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert used.stdout == "0.5\n"


@pytest.mark.slow
def test_every_command_of_the_page_works_in_its_order(tmp_path: Path) -> None:
    environment = command(tmp_path)
    for section in range(1, 5):
        for text in commands_of(section):
            done = sh(text, tmp_path, environment)
            assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"
    install(tmp_path, environment)


def test_the_page_shows_what_is_written(tmp_path: Path) -> None:
    sh("prunekit plugins new criterion my_idea", tmp_path, command(tmp_path))
    plugin, test, _ = blocks("python")
    assert plugin in (tmp_path / "my_idea.py").read_text()
    assert test in (tmp_path / "test_my_idea.py").read_text()


def offer(folder: Path, name: str, text: str, entry_point: str = "somebody") -> None:
    """Install a package of one module by hand, as pip would leave it."""
    (folder / f"{name}.py").write_text(text)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[prunekit.plugins]\n{entry_point} = {name}\n")


TAKEN = (
    "from prunekit import Schedule, register\n\n"
    '@register("gmp")\nclass Thief(Schedule):\n    """Not GMP."""\n\n    def target(self, now):\n        return None\n'
)


NO_MODULE = "ModuleNotFoundError: No module named 'no_such_module'"
ASK = """
from prunekit.errors import InputError
from prunekit.registry import registry
print("pie" in registry.names("measure"), registry.find("schedule", "gmp")[0].plugin.source)
try:
    registry.find("schedule", "theirs")
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("text", "entry_point", "reason"),
    [
        ("import no_such_module\n", "somebody", NO_MODULE),
        ("import sys\nsys.exit(3)\n", "schedule", "SystemExit: 3"),
        (TAKEN, "schedule", "the schedule 'gmp' is registered already, by "),
        (TAKEN, "measure", "the schedule 'gmp' is registered already, by "),  # read before the built-in schedules
    ],
)
def test_a_package_that_cannot_be_used_is_named_to_who_asks_for_it_and_takes_nothing_down(
    tmp_path: Path, text: str, entry_point: str, reason: str
) -> None:
    offer(tmp_path, "broken_pruners", text, entry_point)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    found, refused = done.stdout.splitlines()
    assert found.startswith("True Zhu & Gupta")
    assert refused.startswith("no schedule is called 'theirs'")
    _, said, why = refused.partition("; the plugins of the package broken_pruners 1.0 cannot be used: ")
    assert said
    assert reason in why


def test_the_list_of_plugins_names_a_package_that_cannot_be_used(tmp_path: Path) -> None:
    offer(tmp_path, "broken_pruners", "import no_such_module\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    main = [sys.executable, "-c", "from prunekit.cli.main import main; main()", "plugins", "list"]
    listed = subprocess.run(main, env=environment, capture_output=True, text=True, check=True)
    assert "  gmp " in listed.stdout
    assert listed.stderr == f"prunekit: the plugins of the package broken_pruners 1.0 cannot be used: {NO_MODULE}\n"
