"""prunekit: what does pruning make a model forget?

The names below are the public API. They are imported when first used, so that ``import prunekit`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunekit.errors import InputError, PrunekitError
    from prunekit.protocols import (
        Augmentation,
        Backbone,
        Batch,
        Column,
        Comparison,
        Criterion,
        Dataset,
        LrSchedule,
        Measure,
        Objective,
        ObservedMember,
        Optimizer,
        PopulationColumns,
        PruningContext,
        Schedule,
        StudyColumns,
        Summary,
        Table,
    )
    from prunekit.pruner import Pruner
    from prunekit.registry import register
    from prunekit.runner import run
    from prunekit.times import Progress, Time

_HOME = {
    "errors": ("InputError", "PrunekitError"),
    "protocols": (
        "Augmentation",
        "Backbone",
        "Batch",
        "Column",
        "Comparison",
        "Criterion",
        "Dataset",
        "LrSchedule",
        "Measure",
        "Objective",
        "ObservedMember",
        "Optimizer",
        "PopulationColumns",
        "PruningContext",
        "Schedule",
        "StudyColumns",
        "Summary",
        "Table",
    ),
    "pruner": ("Pruner",),
    "registry": ("register",),
    "runner": ("run",),
    "times": ("Progress", "Time"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "Augmentation",
    "Backbone",
    "Batch",
    "Column",
    "Comparison",
    "Criterion",
    "Dataset",
    "InputError",
    "LrSchedule",
    "Measure",
    "Objective",
    "ObservedMember",
    "Optimizer",
    "PopulationColumns",
    "Progress",
    "PrunekitError",
    "Pruner",
    "PruningContext",
    "Schedule",
    "StudyColumns",
    "Summary",
    "Table",
    "Time",
    "register",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'prunekit' has no attribute {name!r}")
    return getattr(import_module(f"prunekit.{_MODULE_OF[name]}"), name)
