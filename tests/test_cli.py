"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_command import prunekit

COMMAND = [sys.executable, "-c", "from prunekit.cli.main import main; main()"]


def process(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Do the same as ``prunekit`` in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def refused(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Return the one line with which bad input is refused."""
    result = prunekit(*arguments, cwd=cwd)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("prunekit: ")
    return lines[0]


@pytest.mark.parametrize(
    "arguments",
    [(), ("run",), ("report",), ("store",), ("store", "delete"), ("plugins",), ("plugins", "show"), ("recipes",)],
)
def test_help_has_an_example_or_a_list_of_commands(arguments: tuple[str, ...]) -> None:
    result = prunekit(*arguments, "--help")
    assert result.returncode == 0
    assert "Usage: prunekit" in result.stdout
    if len(arguments) < 2:
        assert "Example" in result.stdout


def test_help_and_version_import_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from prunekit.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'rich', 'pydantic', 'yaml', 'sklearn', 'pyarrow', 'timm'} & sys.modules.keys()\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert process("--version").stdout.startswith("prunekit, version ")


def test_a_recipe_with_an_error_is_refused_before_anything_is_written(tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(tiny.read_text().replace("epochs: 2", "epoch: 2"))
    line = refused("run", tiny, "--out", tmp_path / "runs")
    assert f"{tiny}:8: populations.dense.stages.train.epoch: unknown key (did you mean 'epochs'?)" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nowhere.yaml"), "no such file"),
        (("run", "."), "is a folder"),
        (("run", "tiny.yaml", "--profile", "paper"), "no profile 'paper'"),
        (("run", "tiny.yaml", "--set", "seeds"), "expected a path and a value"),
        (("run", "tiny.yaml", "--set", "seedz=3"), "did you mean 'seeds'"),
        (("run", "tiny.yaml", "--seeds", "0"), "--seeds: seeds: expected greater than 0"),
        (("run", "tiny.yaml", "--seeds", "-3"), "--seeds: seeds: expected greater than 0, not -3"),
        (("run", "tiny.yaml", "--seeds", "7:3"), "--seeds 7:3: names no seed"),
        (("run", "tiny.yaml", "--seeds", "a:b"), "--seeds a:b: expected a number of members, or FIRST:END"),
        (("run", "tiny.yaml", "--seeds", "0:20000"), "--seeds: seeds: expected less than or equal to 10000, not 20000"),
        (("run", "tiny.yaml", "--jobs", "0"), "--jobs"),
        (("run", "tiny.yaml", "--device", "gpu9"), "expected cpu, cuda or cuda:N"),
        (("run", "tiny.yaml", "--out", "tiny.yaml"), "cannot write results there"),
        (("run", "tiny.yaml", "--format", "xml"), "xml"),
        (("run", "tiny.yaml", "--nonsense"), "--nonsense"),
        (("report", "--out", "none"), "nothing was run there yet"),
        (("report", "tiny", "--out", "none"), "nothing was run there yet"),
        (("store", "list", "--out", "none"), "none: there is no store"),
        (("store", "delete", "--out", "none"), "say what to delete"),
        (("store", "delete", "--unused", "--older-than", "3x"), "--older-than 3x: expected hours, days or weeks"),
        (("plugins", "show", "gmpp"), "did you mean 'gmp'"),
        (("plugins", "show", "mine", "--file", "none.py"), "none.py: cannot read the plugin file"),
        (("recipes", "show", "scl_one_shot_90"), "did you mean 'scl_onshot_90'"),
        (("rum",), "run"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tiny: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(*arguments, cwd=tiny.parent)


def test_the_command_alone_shows_its_help_as_it_is() -> None:
    result = prunekit()
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) > 10
    assert result.stderr.startswith("Usage: prunekit")


def test_a_terminal_without_our_characters_still_gets_the_plan(tiny: Path) -> None:
    result = process("run", tiny, "--dry-run", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^sparse +dense +prune +2 ", result.stdout, re.MULTILINE)


def test_debug_shows_the_traceback(tiny: Path) -> None:
    for arguments in (("--debug", "run", "nowhere.yaml"), ("run", "nowhere.yaml", "--debug")):
        result = process(*arguments)
        assert result.returncode == 2
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("prunekit: nowhere.yaml")


def test_a_dry_run_prints_the_plan_and_writes_nothing(tiny: Path) -> None:
    result = prunekit("run", tiny, "--dry-run", "--format", "json", cwd=tiny.parent)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["populations"]["sparse"]["stages"][0]["updates"] == [{"iteration": 0, "epoch": 0.0, "sparsity": 0.5}]
    assert plan["populations"]["dense"]["stages"][0]["iterations"] == 8
    assert plan["populations"]["sparse"]["stages"][0]["prunes"] > 0
    assert plan["populations"]["dense"]["stages"][0]["prunes"] == 0
    assert list(tiny.parent.iterdir()) == [tiny]
    table = prunekit("run", tiny, "--dry-run", cwd=tiny.parent)
    assert re.search(r"^sparse +dense +prune +2 .* 0\.5 +1 +0\.\d GB +0 of 2$", table.stdout, re.MULTILINE)
    assert plan["memory"]["worker_bytes"] >= max(
        stage["memory_bytes"] for each in plan["populations"].values() for stage in each["stages"]
    )
    assert plan["memory"]["bytes"] == plan["memory"]["jobs"] * plan["memory"]["worker_bytes"]
    assert re.search(r"^Memory: about \d+\.\d GB per process", table.stdout, re.MULTILINE)
    assert "control is the control of sparse: the same without pruning" in table.stdout
    assert "Nothing was done." in table.stdout
    assert "\x1b[" not in table.stdout


def test_the_results_go_where_the_variable_says(tiny: Path, tmp_path: Path) -> None:
    result = prunekit("run", tiny, "--dry-run", "--format", "json", PRUNEKIT_RUNS=str(tmp_path / "elsewhere"))
    assert json.loads(result.stdout)["store"] == str(tmp_path / "elsewhere")


def test_plugins_are_listed_and_shown_with_type_default_meaning_and_source(tmp_path: Path) -> None:
    listed = prunekit("plugins", "list").stdout
    for name in (
        "gmp",
        "delayed_gmp",
        "one_shot",
        "magnitude",
        "random",
        "digits",
        "supcon",
        "pie",
        "wrn{depth}_{width}",
    ):
        assert f"  {name} " in listed
    shown = prunekit("plugins", "show", "gmp").stdout
    assert "gmp (schedule)" in shown
    assert "source: " in shown
    assert "sparsity: number ≥ 0 < 1, required" in shown
    assert "begin: time (30ep, 500it, 2ep100it, 5%), default" in shown
    assert "import: string, required" in prunekit("plugins", "show", "import").stdout
    assert "wrn{depth}_{width} (backbone)" in prunekit("plugins", "show", "wrn16_2").stdout
    both = prunekit("plugins", "show", "simclr").stdout
    assert "simclr (augmentation)" in both
    assert "simclr (objective)" in both


def test_the_plugins_of_a_file_can_be_shown(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from prunekit import Schedule, register\n\n"
        '@register("mine", source="my head")\nclass Mine(Schedule):\n    """My own."""\n\n'
        '    steps: int = 3\n    """How often."""\n\n'
        "    def target(self, now):\n        return self.sparsity\n"
    )
    shown = prunekit("plugins", "show", "mine", "--file", file).stdout
    assert "mine (schedule): My own." in shown
    assert "steps: integer, default 3\n      How often." in shown
    assert "source: my head" in shown


def test_a_shipped_recipe_is_printed_as_it_is() -> None:
    from prunekit.recipe import shipped

    assert "scl_onshot_90" in prunekit("recipes", "list").stdout
    assert prunekit("recipes", "show", "scl_onshot_90").stdout == shipped()["scl_onshot_90"].read_text()


def test_a_plugin_shows_all_that_is_said_about_it() -> None:
    shown = prunekit("plugins", "show", "one_shot").stdout
    assert shown.startswith("one_shot (schedule): Prune to the sparsity asked for in one update.\n")
    assert "targets: {parameters: [weight, bias]}" in shown


def test_the_schema_knows_every_plugin_by_its_own_fields() -> None:
    schema = json.loads(prunekit("recipes", "schema").stdout)
    assert schema["additionalProperties"] is False
    gmp = next(c for c in schema["$defs"]["schedule"]["anyOf"] if c["properties"]["name"].get("const") == "gmp")
    number, template = gmp["properties"]["sparsity"]["anyOf"]  # a recipe's `for` replaces {s}
    assert number["exclusiveMaximum"] == 1
    assert re.fullmatch(template["pattern"], "{s}")
    assert gmp["properties"]["begin"]["pattern"]
    assert "sparsity" in gmp["required"]
    names = [choice.get("pattern") or choice.get("const") for choice in schema["$defs"]["backbone"]["anyOf"]]
    assert "^wrn([?]:[0-9]+)_([?]:[0-9]+)$" not in names
    assert any(name and name.startswith("^wrn") for name in names)


def test_output_can_be_piped_into_something_that_stops_reading() -> None:
    result = subprocess.run(
        f"{sys.executable} -c 'from prunekit.cli.main import main; main()' recipes schema | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "{\n"
    assert result.stderr == ""


def test_an_example_in_the_description_of_a_plugin_keeps_its_lines() -> None:
    shown = prunekit("plugins", "show", "lottery").stdout
    assert "\n          stages:\n            prune: {schedule: {name: lottery, sparsity: 0.9}}\n" in shown
    assert "::" not in shown
