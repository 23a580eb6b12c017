"""The images of a study's examples, where its data can still be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.images import Split
from prunekit.protocols import Dataset
from prunekit.registry import registry
from prunekit.report.arrays import LoadedStudy, NoImagesError
from prunekit.stages import plugin
from prunekit.store import Store


class ExampleImages:
    """Images by position among a study's ids; read when first asked for."""

    def __init__(self, store: Store, plan: dict[str, Any], ids: Sequence[str]) -> None:
        self._store, self._plan, self._ids = store, plan, ids
        self._split: Split | NoImagesError | None = None

    def __call__(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return the images at these positions, uint8 [n, C, H, W] with 1 (grey) or 3 (RGB) channels.

        Raises NoImagesError where the data are gone, have changed, or are neither grey nor RGB.
        """
        if self._split is None:
            try:
                self._split = self._read()
            except NoImagesError as error:
                self._split = error
        if isinstance(self._split, NoImagesError):
            raise self._split
        return self._split.images[np.asarray(indices, dtype=np.intp)]

    def _read(self) -> Split:
        plan, name = self._plan, self._plan["data"]["name"]
        if not plan["data"].get("images", True):
            raise NoImagesError("the recipe names no data: of the examples nothing but predictions is known")
        recipe = self._store.load_recipe(plan["identity"])
        try:
            known = registry.with_files([Path(file) for file in plan.get("plugin_files", [])])
            data: Dataset = plugin("dataset", recipe["data"], known)
            split: Split = getattr(data.load(), plan["data"]["split"])
        except Exception as error:
            raise NoImagesError(f"the images of {name} cannot be read: {_line(error)}") from error
        if list(split.ids) != list(self._ids):
            raise NoImagesError(f"the images of {name} are others than those that the members were asked about")
        if split.images.shape[1] not in (1, 3):
            raise NoImagesError(f"images of {split.images.shape[1]} channels cannot be shown: expected grey or RGB")
        return split


def without_images(study: LoadedStudy) -> str:
    """Say why there are no images of a study's examples to show; "" where there are."""
    try:
        study.images([0])
    except NoImagesError as error:
        return str(error)
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
