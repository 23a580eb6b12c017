"""What tests of runs share: the command, and a look at what it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from prunekit.cli.main import main; main()"]


def prunekit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
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
