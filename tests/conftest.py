"""What tests of the engine share: a recipe that runs in seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# read when torch is imported: one thread is faster on networks this small
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = """\
name: tiny
data: digits
model: wrn10_1
seeds: 2
populations:
  dense:
    stages:
      train: {objective: cross_entropy, epochs: 2, batch_size: 200, optimizer: {name: sgd, lr: 0.1}}
  sparse:
    from: dense
    stages:
      prune: {schedule: {name: one_shot, sparsity: 0.5}}
      finetune: {objective: cross_entropy, epochs: 1, batch_size: 200, optimizer: {name: sgd, lr: 0.01}}
  control:
    from: dense
    stages:
      finetune: {objective: cross_entropy, epochs: 1, batch_size: 200, optimizer: {name: sgd, lr: 0.01}}
comparisons: [{reference: dense, pruned: sparse}]
measures: [accuracy, pie, q_score]
"""


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The text of a recipe of three populations of two members that trains in seconds."""
    return TINY


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The same as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
