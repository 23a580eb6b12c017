"""The benchmarks begin; what they measure is not tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_without_a_gpu_its_benchmark_says_so() -> None:
    result = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu.py"],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "torch sees no CUDA device here: nothing to measure\n"


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["supcon", "cross_entropy"])
@pytest.mark.parametrize("loop", ["released", "prunekit"])
def test_both_loops_train(loop: str, objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import loops  # type: ignore[import-not-found]

    timings = loops.timed(loops.Job(loop, objective, batch_size=4, size=8, steps=3), copies=2)
    assert [timing.images for timing in timings] == [12, 12]
    assert all(timing.speed > 0 and timing.memory > 10**8 for timing in timings)


def test_files_of_pruned_models_are_compared_with_dense_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import sparse_files  # type: ignore[import-not-found]

    name, weights, dense, sparse, ratio, *_ = sparse_files.row("mobilenetv3_small_050", 0.9, 1).strip("| ").split(" | ")
    assert (name, weights) == ("mobilenetv3_small_050", "1.6 M")
    assert float(ratio.rstrip("%")) == pytest.approx(100 * float(sparse.split()[0]) / float(dense.split()[0]), abs=2)
    assert float(ratio.rstrip("%")) < 20
