"""Runs in processes: the same bits however a run went, nothing done twice, failures contained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers_command import prunekit

COMMAND = [sys.executable, "-c", "from prunekit.cli.main import main; main()"]


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Do the same as ``prunekit`` in a process of its own."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command as a terminal does: where the tests run in the background of a shell, Ctrl-C is ignored."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def sums(out: Path) -> dict[str, str]:
    """Return the checksum of every stored result of a store."""
    found = {}
    for record in sorted([*out.glob("stages/*/stage.json"), *out.glob("observations/*/*.json")]):
        for name, checksum in json.loads(record.read_text())["files"].items():
            found[f"{record.parent.name}/{name}"] = checksum
    return found


def wait_for(pattern: str, out: Path, seconds: float = 120) -> Path:
    """Return the first file that matches, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in out.glob(pattern):
            return path
        time.sleep(0.01)
    raise AssertionError(f"{pattern} never came")


@pytest.fixture(scope="module")
def recipe(tiny_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(tiny_text)
    return path


@pytest.fixture(scope="module")
def finished(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny study has run, in two processes, undisturbed."""
    out = tmp_path_factory.mktemp("finished")
    result = process("run", recipe, "--out", out, "--jobs", "2")
    assert result.returncode == 0, result.stderr
    assert "[6/6 members]" in result.stderr
    return out


def test_every_member_has_its_stages_and_its_observation(finished: Path) -> None:
    assert len(list(finished.glob("stages/*/stage.json"))) == 2 + 4 + 2
    assert len(list(finished.glob("observations/*/test.json"))) == 6
    assert len(list(finished.glob("observations/*/test.q_score-*.json"))) == 6
    assert not list(finished.glob("stages/*/checkpoint*"))


def test_the_sparsity_stored_is_the_one_asked_for(finished: Path) -> None:
    shares = sorted(
        record["zeros"]["zeros"] / record["zeros"]["total"]
        for record in (json.loads(path.read_text()) for path in finished.glob("observations/*/test.json"))
    )
    total = json.loads(next(finished.glob("observations/*/test.json")).read_text())["zeros"]["total"]
    assert shares[:4] == [0, 0, 0, 0]
    assert shares[4:] == pytest.approx([0.5, 0.5], abs=1 / total)


def test_a_second_run_does_nothing_and_says_so(recipe: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.glob("stages/*/*")}
    result = prunekit("run", recipe, "--out", finished)
    assert result.returncode == 0
    assert "nothing to do" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.glob("stages/*/*")} == before


def test_another_study_shares_the_dense_members(recipe: Path, finished: Path) -> None:
    result = prunekit(
        "run",
        recipe,
        "--out",
        finished,
        "--set",
        "populations.sparse.stages.prune.schedule.sparsity=0.8",
        "--dry-run",
        "--format",
        "json",
    )
    plan = json.loads(result.stdout)["populations"]
    assert plan["dense"]["stages"][0]["stored"] == 2
    assert plan["control"]["observed"] == 2
    assert [stage["stored"] for stage in plan["sparse"]["stages"]] == [0, 0]


def test_one_process_or_two_make_the_same_bits(recipe: Path, finished: Path, tmp_path: Path) -> None:
    result = prunekit("run", recipe, "--out", tmp_path, "--jobs", "1")
    assert result.returncode == 0, result.stderr
    assert sums(tmp_path) == sums(finished)


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


def test_damaged_results_are_named_and_redone_to_the_same_bits(recipe: Path, finished: Path) -> None:
    before = sums(finished)
    weights = next(finished.glob("stages/*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    columns = next(finished.glob("observations/*/test.parquet"))
    columns.write_bytes(columns.read_bytes()[:50] + b"\0" + columns.read_bytes()[51:])
    result = prunekit("run", recipe, "--out", finished)
    assert result.returncode == 0, result.stderr
    assert f"{weights}: is cut short or altered" in result.stderr
    assert f"{columns}: is cut short or altered" in result.stderr
    assert sums(finished) == before


FAILS_ONCE = '''
import os
from pathlib import Path
from prunekit import Criterion, register

@register("fails_once")
class FailsOnce(Criterion):
    """Magnitude; whoever finds the marker first fails."""

    marker: str
    """A file that is gone after the first failure."""
    log: str
    """A file that gets a line whenever scores are asked for."""

    def scores(self, context):
        with open(self.log, "a") as stream:
            stream.write("scored\\n")
        try:
            os.unlink(self.marker)
        except FileNotFoundError:
            return {t.name: t.parameter.detach().abs() for t in context.targets}
        raise RuntimeError("the disk fell off")
'''


def with_failing_criterion(recipe: Path, folder: Path) -> Path:
    (folder / "fails.py").write_text(FAILS_ONCE)
    criterion = f"{{name: fails_once, marker: '{folder / 'marker'}', log: '{folder / 'log'}'}}"
    text = recipe.read_text().replace("sparsity: 0.5}", f"sparsity: 0.5}}, criterion: {criterion}", 1)
    path = folder / "failing.yaml"
    path.write_text("plugins: [fails.py]\n" + text)
    return path


def test_a_member_that_fails_leaves_the_others_and_is_the_only_one_redone(recipe: Path, tmp_path: Path) -> None:
    failing, out = with_failing_criterion(recipe, tmp_path), tmp_path / "runs"
    (tmp_path / "marker").write_text("")
    first = prunekit("run", failing, "--out", out)
    assert first.returncode == 1
    line = FAILS_ONCE.splitlines().index('        raise RuntimeError("the disk fell off")') + 1
    assert f"fails.py:{line}: RuntimeError: the disk fell off" in first.stderr
    assert "Traceback" in Path(first.stderr.splitlines()[-1].rpartition("log: ")[2].rstrip(")")).read_text()
    assert first.stderr.splitlines()[-1].startswith("prunekit: 1 of 6 members failed")
    assert "Traceback" not in first.stderr
    assert len(list(out.glob("observations/*/test.json"))) == 5
    partial = prunekit("report", "--out", out, "--format", "json")
    assert partial.returncode == 0, partial.stderr
    assert json.loads(partial.stdout)["populations"]["dense"]["members"] == 1
    second = prunekit("run", failing, "--out", out)
    assert second.returncode == 0, second.stderr
    assert "6 members, 5 of them in the store already" in second.stderr
    assert (tmp_path / "log").read_text().count("scored") == 3


def test_two_runs_at_once_train_nothing_twice(recipe: Path, finished: Path, tmp_path: Path) -> None:
    failing, out = with_failing_criterion(recipe, tmp_path), tmp_path / "runs"
    runs = [start("run", failing, "--out", out, "--jobs", "1") for _ in range(2)]
    for process in runs:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert (tmp_path / "log").read_text().count("scored") == 2
    assert len(list(out.glob("stages/*/stage.json"))) == 8
    dense = {key: value for key, value in sums(out).items() if key in sums(finished)}
    assert len(dense) > 6
    assert dense.items() <= sums(finished).items()


def test_two_machines_that_share_a_study_end_with_the_bits_of_one(recipe: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    first = prunekit("run", recipe, "--out", out, "--seeds", "1:2", "--jobs", "1")
    assert first.returncode == 0, first.stderr
    assert "[3/3 members]" in first.stderr
    partial = prunekit("report", "--out", out, "--format", "json")
    assert partial.returncode == 0, partial.stderr
    assert "dense: 1 of 2 members are finished" in json.loads(partial.stdout)["notes"]
    second = prunekit("run", recipe, "--out", out, "--seeds", "0:1", "--jobs", "1")
    assert second.returncode == 0, second.stderr
    assert sums(out) == sums(finished)
    assert [path.name for path in out.glob("studies/*")] == [path.name for path in finished.glob("studies/*")]


def test_a_loss_that_is_not_finite_fails_the_member_with_its_place(recipe: Path, tmp_path: Path) -> None:
    result = prunekit(
        "run", recipe, "--out", tmp_path, "--seeds", "1", "--set", "populations.dense.stages.train.optimizer.lr=1e30"
    )
    assert result.returncode == 1
    assert "dense seed 0: train:" in result.stderr
    assert "epoch 1, iteration" in result.stderr
    assert "not done, for they start from a failed member: sparse seed 0, control seed 0" in result.stderr


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


def test_a_worker_that_dies_as_it_writes_fails_its_task(tmp_path: Path) -> None:
    import queue

    from prunekit import pool

    class Dying(pool._WorkerProcess):
        def __init__(self, inbox: queue.Queue[Any]) -> None:
            script = "import json, sys; print(json.dumps({'event': 'ready'})); print('{', end=''); sys.exit(3)"
            self.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
            self._read(inbox)

    inbox: queue.Queue[Any] = queue.Queue()
    Dying(inbox)
    assert [inbox.get_nowait()[1] for _ in range(2)] == [{"event": "ready"}, {"event": "exit", "code": 3}]
    assert pool._death(-9, tmp_path) == "its process was killed by signal 9 (out of memory?)"


def test_a_study_that_would_not_fit_on_the_disk_is_refused_before_any_work(
    recipe: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import prunekit as library
    from prunekit import runner

    free = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(runner.shutil, "disk_usage", lambda path: free)
    with pytest.raises(library.InputError, match="needs about 3 MB and 1 MB are free"):
        library.run(recipe, out=tmp_path)
    assert not (tmp_path / "stages").exists()
    assert library.run(recipe, out=finished).done == 0  # what is stored needs no room


def test_a_run_from_python_needs_no_main_guard(recipe: Path, finished: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import prunekit\nprint(prunekit.run({str(recipe)!r}, out={str(finished)!r}).done)\n")
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "0\n"


def test_a_report_of_a_damaged_observation_names_the_file(recipe: Path, finished: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    columns = next(copy.glob("observations/*/test.parquet"))
    columns.write_bytes(b"nonsense")
    result = prunekit("report", "--out", copy)
    assert result.returncode == 2
    assert str(columns) in result.stderr
    assert len(result.stderr.splitlines()) == 1
