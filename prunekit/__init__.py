"""prunekit: what does pruning make a model forget?

The names below are the public API. They are imported when first used, so that ``import prunekit`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunekit import testing
    from prunekit.capacity import available_cores
    from prunekit.classifiers import split_classifier
    from prunekit.comparison import Comparison
    from prunekit.errors import InputError, PrunekitError, did_you_mean
    from prunekit.figures import (
        Bar,
        BarPanel,
        Bars,
        CurvePanel,
        Curves,
        Exemplar,
        Exemplars,
        Figure,
        Line,
        PlanePanel,
        Planes,
        PointGroup,
        Points,
        Scatter,
    )
    from prunekit.images import Batch, DataSummary, ImageData, ImageShape, Split
    from prunekit.observed import (
        Layer,
        ObservedMember,
        PastStage,
        Place,
        PopulationColumns,
        Representation,
        StudyColumns,
    )
    from prunekit.progress import tell_progress
    from prunekit.protocols import (
        Augmentation,
        Backbone,
        Criterion,
        Dataset,
        LrSchedule,
        Measure,
        Objective,
        Optimizer,
        Plugin,
        PruningContext,
        Schedule,
        Sparsity,
        Target,
        TargetSelection,
        TrainableNetwork,
        Within,
    )
    from prunekit.pruner import Pruner, prune
    from prunekit.ranks import Ranks
    from prunekit.registry import register
    from prunekit.runner import RunResult, run
    from prunekit.sparse import load_sparse, save_sparse
    from prunekit.splits import stratified_split
    from prunekit.state import undisturbed
    from prunekit.tables import LEVEL, Column, Headline, Number, Summary, Table
    from prunekit.times import Progress, Time

__version__ = "0.1.0"
__all__ = [
    "LEVEL",
    "Augmentation",
    "Backbone",
    "Bar",
    "BarPanel",
    "Bars",
    "Batch",
    "Column",
    "Comparison",
    "Criterion",
    "CurvePanel",
    "Curves",
    "DataSummary",
    "Dataset",
    "Exemplar",
    "Exemplars",
    "Figure",
    "Headline",
    "ImageData",
    "ImageShape",
    "InputError",
    "Layer",
    "Line",
    "LrSchedule",
    "Measure",
    "Number",
    "Objective",
    "ObservedMember",
    "Optimizer",
    "PastStage",
    "Place",
    "PlanePanel",
    "Planes",
    "Plugin",
    "PointGroup",
    "Points",
    "PopulationColumns",
    "Progress",
    "PrunekitError",
    "Pruner",
    "PruningContext",
    "Ranks",
    "Representation",
    "RunResult",
    "Scatter",
    "Schedule",
    "Sparsity",
    "Split",
    "StudyColumns",
    "Summary",
    "Table",
    "Target",
    "TargetSelection",
    "Time",
    "TrainableNetwork",
    "Within",
    "available_cores",
    "did_you_mean",
    "load_sparse",
    "prune",
    "register",
    "run",
    "save_sparse",
    "split_classifier",
    "stratified_split",
    "tell_progress",
    "testing",
    "undisturbed",
]

_LIGHTEST_FIRST = (
    "errors",
    "times",
    "comparison",
    "figures",
    "tables",
    "observed",
    "images",
    "ranks",
    "protocols",
    "splits",
    "progress",
    "registry",
    "capacity",
    "runner",
    "state",
    "classifiers",
    "pruner",
    "sparse",
)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("prunekit.testing")
    if name in __all__:
        for module in map(import_module, (f"prunekit.{each}" for each in _LIGHTEST_FIRST)):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'prunekit' has no attribute {name!r}")
