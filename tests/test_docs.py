"""Every command on every page is run, and every block of Python: parsed here, for real in the slow tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from helpers_docs import (
    LEFT,
    PAGES,
    ROOT,
    RUN_ELSEWHERE,
    SMALLER,
    Block,
    as_run,
    begun_by,
    blocks,
    commands,
    files,
    inline_commands,
)

from prunekit import Measure
from prunekit.cli.main import cli
from prunekit.recipe import shipped
from prunekit.registry import registry

page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
LINES = [line for each in PAGES.values() for block in blocks(each) if block.language == "sh" for line in block.lines]
PLANNED = [
    command
    for command in dict.fromkeys(each for line in LINES for each in line.split(" && "))
    if re.match(rf"prunekit run (recipes/)?({'|'.join(shipped())})\b", command) and " audit" not in command
]


def commands_on(page: Path) -> list[list[str]]:
    """Return the arguments of every command on a page, in its blocks and in its text."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in block.lines]
    return [command for line in lines for command in commands(line)] + inline_commands(page)


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A command line that reads its arguments, and does nothing."""

    def idle(command: click.Command) -> None:
        monkeypatch.setattr(command, "callback", lambda *_, **__: None)
        for each in getattr(command, "commands", {}).values():
            idle(each)

    idle(cli)
    return CliRunner()


@page
def test_the_arguments_of_every_command_are_understood(page: Path, parser: CliRunner) -> None:
    named = inline_commands(page)  # a text may name `prunekit run` without saying what
    for command in commands_on(page):
        if command[0].removeprefix(".venv/bin/") == "prunekit" and command[1:]:
            error = parser.invoke(cli, command[1:], standalone_mode=False).exception
            lacking = isinstance(error, click.MissingParameter | click.exceptions.NoArgsIsHelpError)
            assert error is None or (lacking and command in named), f"{' '.join(command)}: {error}"


@page
def test_every_script_that_a_command_names_is_on_the_page_or_in_the_repository(page: Path) -> None:
    written = {*files(page), *(file for command in commands_on(page) for file in begun_by(command))}
    for command in commands_on(page):
        ours = [argument for argument in command if re.match(r"(tests|benchmarks|docs|\.ci)/", argument)]
        script = [each for each in command[1:2] if command[0] == "python" and each.endswith(".py")]
        for name in ours + script:
            assert name in written or (ROOT / name).exists(), f"{' '.join(command)}: there is no {name}"


@page
def test_every_block_of_python_is_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, page.name, "exec")


@page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)]*))?\)", text):
        target = (page.parent / link).resolve() if link else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            known = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in known, f"{link}#{anchor}: there is {known}"


@pytest.mark.parametrize("command", PLANNED)
def test_every_study_on_a_page_can_be_planned(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    result = CliRunner().invoke(cli, [*commands(command)[0][1:], "--dry-run"], standalone_mode=False)
    assert result.exception is None, str(result.exception)
    assert "Nothing was done" in result.stdout


def test_what_is_left_out_or_made_smaller_is_still_on_a_page() -> None:
    shown = [each for line in LINES for each in line.split(" && ")]
    unused = [start for start in [*LEFT, *SMALLER] if not any(re.match(start, each) for each in shown)]
    assert not unused
    for page, why in RUN_ELSEWHERE.items():
        (test,) = re.findall(r"`(.+)`", why)
        assert PAGES[page].name in (ROOT / "tests" / test).read_text(encoding="utf-8")


def test_a_fragment_is_told_from_a_program() -> None:
    assert not Block("python", "import os\nx = [y for y in os.environ if y]\nprint(x)\n").fragment
    assert Block("python", "for batch in loader:\n    pass\n").fragment
    assert Block("python", "def f():\n    ...\n").fragment


def test_the_page_on_audits_says_what_each_measure_needs() -> None:
    section = re.split(r"^## ", PAGES["audit.md"].read_text(encoding="utf-8"), flags=re.MULTILINE)[2]
    rows = re.findall(r"^\| (.*) \| (.*) \|$", section, re.MULTILINE)[1:]
    said = {name: columns for columns, names in rows for name in re.findall(r"`(\w+)`", names)}
    measures = {entry.name: entry.plugin for entry in registry.entries("measure")}
    assert said.keys() == measures.keys()
    for name, columns in said.items():
        plugin = measures[name]
        assert issubclass(plugin, Measure)
        needs = [column for column in ("label", "confidence") if column in plugin.needs]
        weights = plugin.model_construct().needs_networks
        assert "weights" in columns if weights else re.findall("`(label|confidence)`", columns) == needs, name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if name not in RUN_ELSEWHERE])
def test_every_command_and_every_program_of_a_page_works(name: str, tmp_path: Path) -> None:
    """In a folder of its own, with the files that the page names; ``helpers_docs`` says which are made smaller."""
    page = PAGES[name]
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PRUNEKIT_RUNS": str(tmp_path / "runs"),
        "OMP_NUM_THREADS": "1",
    }
    for file, text in files(page).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    for block in blocks(page):
        runs = [each for line in block.lines for each in line.split(" && ")] if block.language == "sh" else []
        shell = [command for each in runs if (command := as_run(each)) is not None]
        for command in [["bash", "-euo", "pipefail", "-c", each] for each in shell] + _programs(block, page):
            result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            allowed = (0, 3) if "--fail-if" in command[-1] else (0,)
            assert result.returncode in allowed, f"{command[-1]}\n{result.stdout}\n{result.stderr}"


def _programs(block: Block, page: Path) -> list[list[str]]:
    """Return how a block of Python is run that is no fragment, and that no command on the page runs."""
    run = any(block.file in command for command in commands_on(page))
    program = block.language == "python" and not block.fragment and not run
    return [[sys.executable, "-c", block.text]] if program else []
