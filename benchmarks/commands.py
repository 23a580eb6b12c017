"""How long the commands take: ``prunekit --help`` against bare Python, and the main job with its report.

Run: python benchmarks/commands.py [--main-job]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PRUNEKIT = str(Path(sys.executable).with_name("prunekit"))
REPEATS = 20


def seconds(command: list[str]) -> float:
    """Return the wall time of a command that must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def alternating(*commands: list[str]) -> list[float]:
    """Return the median wall time of each command over runs that take turns."""
    times = [[seconds(command) for command in commands] for _ in range(REPEATS)]
    return [statistics.median(each) for each in zip(*times, strict=True)]


def measures_but(name: str) -> list[str]:
    """Return the measures that need no option, without one of them."""
    from prunekit.registry import registry

    entries = list(registry.entries("measure"))
    ready = [e.name for e in entries if not any(field.is_required() for field in e.plugin.model_fields.values())]
    return [each for each in ready if each != name]


def main() -> None:
    """Print the times."""
    python, help_, plugins = alternating(
        [sys.executable, "-c", "pass"], [PRUNEKIT, "--help"], [PRUNEKIT, "recipes", "list"]
    )
    print(f"python -c pass          {python:6.3f} s")
    print(f"prunekit --help         {help_:6.3f} s")
    print(f"prunekit recipes list   {plugins:6.3f} s")
    if "--main-job" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            run = seconds([PRUNEKIT, "run", "scl_onshot_90", "--out", folder])
            again = seconds([PRUNEKIT, "run", "scl_onshot_90", "--out", folder])
            report = seconds([PRUNEKIT, "report", "--out", folder, "--compare", "dense,sparse"])
            page = [PRUNEKIT, "report", "--out", folder, "--html", f"{folder}/report.html"]
            added = [option for name in measures_but("umap") for option in ("--measure", name)]
            first = seconds([*page, *added])
            umap = seconds([*page, "--measure", "umap"])
            all_again = seconds([*page, "--measure", "all"])
        print(f"main job, 8 members     {run:6.1f} s")
        print(f"the same command again  {again:6.2f} s")
        print(f"its report              {report:6.2f} s")
        print(f"its page, measuring     {first:6.1f} s   every measure but umap")
        print(f"its page, with umap     {umap:6.1f} s   which is compiled at its first use")
        print(f"the page of all again   {all_again:6.1f} s")


if __name__ == "__main__":
    main()
