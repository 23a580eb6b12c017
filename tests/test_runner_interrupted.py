"""Runs that are killed or stopped: what is finished stays, and the end has the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from helpers_runner import prunekit, start, sums, wait_for

LOGGED = '''
from prunekit import LrSchedule, register

@register("logged")
class Logged(LrSchedule):
    """Constant; writes down every step."""

    log: str
    """A file that gets a line for every step."""

    def factor(self, now):
        with open(self.log, "a") as stream:
            stream.write(f"{now.iteration}\\n")
        return 1.0
'''


def test_a_killed_run_goes_on_from_the_last_finished_epoch(recipe: Path, tmp_path: Path) -> None:
    """Twenty epochs of four steps, killed after the second one: no step of a finished epoch is done again."""
    (tmp_path / "logged.py").write_text(LOGGED)
    log, out = tmp_path / "log", tmp_path / "runs"
    text = recipe.read_text().replace("epochs: 2,", f"epochs: 20, lr_schedule: {{name: logged, log: '{log}'}},", 1)
    path = tmp_path / "logged.yaml"
    path.write_text("plugins: [logged.py]\n" + text)
    arguments = ("run", path, "--out", out, "--seeds", "1", "--jobs", "1")
    process = start(*arguments)
    wait_for("stages/*/checkpoint-[!1].safetensors", out)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = [int(line) for line in log.read_text().split()]
    assert prunekit(*arguments).returncode == 0
    after = [int(line) for line in log.read_text().split()][len(before) :]
    assert before[:8] == list(range(8))
    # the second epoch is stored, or was just being so; further ones may have been finished by the time of the kill
    assert after[0] in range(4, len(before) + 1, 4)
    assert len(before) - after[0] < 8  # an epoch that was under way, and at most one that was being stored
    assert after == list(range(after[0], 80))


def test_a_run_killed_at_any_moment_goes_on_to_the_same_bits(recipe: Path, finished: Path, tmp_path: Path) -> None:
    for pattern in ("stages/*/*.json", "stages/*/stage.json"):  # after an epoch, after a stage
        process = start("run", recipe, "--out", tmp_path)
        wait_for(pattern, tmp_path)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    result = prunekit("run", recipe, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert sums(tmp_path) == sums(finished)


def test_workers_end_when_the_run_is_killed_alone(recipe: Path, tmp_path: Path) -> None:
    process = start("run", recipe, "--out", tmp_path, "--set", "populations.dense.stages.train.epochs=500")
    wait_for("stages/*/checkpoint-*.safetensors", tmp_path)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while _processes_of(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _processes_of(process.pid)


def _processes_of(group: int) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True).stdout
    return [row for row in listed.splitlines() if row.split()[0] == str(group) and not row.split()[1].startswith("Z")]


def test_ctrl_c_stops_within_seconds_and_says_how_to_go_on(recipe: Path, tmp_path: Path) -> None:
    process = start("run", recipe, "--out", tmp_path, "--set", "populations.dense.stages.train.epochs=500")
    wait_for("stages/*/checkpoint-*.safetensors", tmp_path)
    asked = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked < 5
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert not _processes_of(process.pid)
