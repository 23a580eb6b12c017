"""What tests of UMAP share: a stand-in for the library, which takes long to import and longer to compile."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest


def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put a library in UMAP's place that places by the first two features; return how it was asked."""
    asked: list[dict[str, Any]] = []

    class Mapper:
        def __init__(self, **options: Any) -> None:
            asked.append(options)

        def fit_transform(self, features: np.ndarray) -> np.ndarray:
            return features[:, :2].astype(np.float32)

    library = ModuleType("umap")
    library.UMAP = Mapper  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", library)
    return asked
