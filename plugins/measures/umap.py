"""UMAP of the features of one member, and numbers beside the picture, because pictures deceive."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import (
    Column,
    Comparison,
    Measure,
    ObservedMember,
    PlanePanel,
    Planes,
    PopulationColumns,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._votes import modal_labels

FEWEST = 4
"""Examples that UMAP can place: its start needs as many."""
MOST_PANELS = 9
"""Panels of a figure: more would not fit a page."""
MOST_ABREAST = 3
"""Panels in a row of a grid: more would be too small to see anything."""
MOST_LISTED = 4
"""Panels whose numbers a caption repeats."""
TABLE = "Features in a plane"

Floats = NDArray[np.floating]
Layout = list[tuple[str, tuple[str, str] | None]]
"""The populations of a figure, each with its row and column."""


def nearest(points: Floats, neighbours: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which others are nearest to each of ``points`` [N, D], and how far away: both [N, k], exact, Euclidean.

    k is ``neighbours``, or N − 1 where there are fewer others.
    """
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=min(neighbours, len(points) - 1)).fit(points)
    distances, indices = finder.kneighbors()  # of the fitted points: leaves each one itself out
    return indices, distances


def placed(
    features: Floats,
    indices: NDArray[np.int64],
    distances: NDArray[np.float64],
    *,
    min_distance: float = 0.1,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return the places that UMAP gives ``features`` [N, D] in a plane, [N, 2], the same for the same seed.

    ``indices`` and ``distances``, [N, k], are those of :func:`nearest`. UMAP counts a point among its own neighbours,
    so that the farthest of the k is left out. To be given them saves it an approximate search, and a minute or more of
    compiling that.
    """
    import umap

    itself = np.arange(len(features))[:, None]
    known = np.hstack([itself, indices[:, :-1]]), np.hstack([np.zeros_like(itself), distances[:, :-1]])
    k = indices.shape[1]
    mapper = umap.UMAP(n_neighbors=k, min_dist=min_distance, random_state=seed, n_jobs=1, precomputed_knn=known)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "precomputed_knn")  # further points cannot be placed: there are none
        places: NDArray[np.float32] = mapper.fit_transform(features)
    return places


def silhouettes(points: Floats, labels: NDArray[np.integer]) -> Floats:
    """Return how much nearer each of ``points`` [N, D] is to its own class than to the next one, [N] in [−1, 1].

    All NaN where all points are of one class, or none shares its class with another (Rousseeuw 1987 needs both).
    """
    from sklearn.metrics import silhouette_samples

    if not 2 <= len(np.unique(labels)) < len(labels):
        return np.full(len(labels), np.nan)
    values: Floats = silhouette_samples(points, labels)
    return values


def right_by_neighbours(indices: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return of which examples, [N], the class ``labels`` [N] is the most frequent one among their neighbours [N, k].

    Ties go to the smallest class.
    """
    right: NDArray[np.bool_] = modal_labels(labels[indices].T) == labels
    return right


@register("umap", source="McInnes et al. 2018, arXiv 1802.03426; as in Corti et al. 2022, figures 1 and 5")
class Umap(Measure):
    """The features of one member of each population in a plane, beside them silhouette and accuracy of neighbours."""

    columns = ("umap_x", "umap_y", "umap_silhouette", "umap_right_plane", "umap_right_features")

    neighbours: int = Field(default=15, ge=2)
    """How many neighbours UMAP looks at (it counts the example itself), and how many others vote for its class."""
    min_distance: float = Field(default=0.1, ge=0.0, le=1.0)
    """How near UMAP may put two examples to each other in the plane."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of UMAP's random numbers."""

    @property
    def most_members(self) -> int:
        """One: dimensions of different members do not correspond, so that a mean over members has no meaning."""
        return 1

    def observe(self, member: ObservedMember) -> dict[str, NDArray[Any]]:
        """Return the columns, float32 [N] each.

        Places x and y; the silhouette of the true class in the plane; and whether that class is the most frequent one
        among the nearest others, in the plane and among the features (1 or 0). All NaN for fewer than 4 examples, and
        where a feature is not finite.
        """
        features, labels = member.features(), member.labels()
        if len(features) < FEWEST or not np.isfinite(features).all():
            return dict.fromkeys(self.columns, np.full(len(features), np.nan, dtype=np.float32))
        indices, distances = nearest(features, self.neighbours)
        plane = placed(features, indices, distances, min_distance=self.min_distance, seed=self.seed)
        beside, _ = nearest(plane, self.neighbours)
        values = (
            *plane.T,
            silhouettes(plane, labels),
            right_by_neighbours(beside, labels),
            right_by_neighbours(indices, labels),
        )
        return {name: each.astype(np.float32) for name, each in zip(self.columns, values, strict=True)}

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Show the maps side by side, and tabulate the numbers beside them."""
        found = {name: _numbers(population) for name, population in study.populations.items()}
        layouts = _layouts(study, comparisons)
        return Summary(
            populations=dict(found),
            tables=[self._table(study, found)],
            figures=[
                self._planes("umap" if len(layouts) == 1 else f"umap-{i}", study, layout, found)
                for i, layout in enumerate(layouts, 1)
            ],
            readings=[
                "UMAP: features of one member of each population, the first by seed, not averaged over members, whose "
                f"dimensions do not correspond; {self._settings}"
            ],
        )

    @property
    def _settings(self) -> str:
        return f"{self.neighbours} exact neighbours, minimal distance {self.min_distance:g}, seed {self.seed}"

    def _table(self, study: StudyColumns, found: dict[str, dict[str, Any]]) -> Table:
        keys = ("seed", "silhouette", "knn_plane", "knn_features")
        usual = np.bincount(study.labels).max(initial=0) / max(1, len(study.labels))
        return Table(
            title=TABLE,
            columns=(
                Column("Population"),
                Column("Seed of the member", "d"),
                Column("Silhouette in the plane", ".3f"),
                Column("k-NN accuracy in the plane", ".1%"),
                Column("k-NN accuracy of the features", ".1%"),
            ),
            rows=[(name, *(each[key] for key in keys)) for name, each in found.items()],
            note="Silhouette: mean over examples, from −1 to 1, about 0 where classes lie across each other. k-NN "
            f"accuracy: share of examples whose class is the most frequent one among their {self.neighbours} nearest "
            f"others; always to name the most frequent class of all gives {100 * usual:.1f} %. Of one member each: "
            "differences between seeds are not in these numbers.",
        )

    def _planes(self, name: str, study: StudyColumns, layout: Layout, found: dict[str, dict[str, Any]]) -> Planes:
        words = {population: _words(found[population]) for population, _ in layout}
        listed = f"The table “{TABLE}” has the numbers of all populations"
        if len(words) <= MOST_LISTED:
            listed = "; ".join(f"{population}: {said}" for population, said in words.items())
        return Planes(
            name=name,
            title="Features in a plane (UMAP)",
            caption=f"Features of {len(study.labels):,} examples in one member of each population, placed by UMAP "
            f"({self._settings}) and coloured by true class. Axes have no unit, and where a class lies is not "
            "comparable between panels. Beside them: silhouette of the classes in the plane, and accuracy of the "
            f"{self.neighbours} nearest neighbours there (in brackets among the features). {listed}.",
            labels=study.labels,
            classes=study.classes,
            panels=tuple(
                PlanePanel(
                    population,
                    x=study.populations[population]["umap_x"][0],
                    y=study.populations[population]["umap_y"][0],
                    note=words[population],
                    place=place,
                )
                for population, place in layout
            ),
        )


def _numbers(population: PopulationColumns) -> dict[str, Any]:
    return {
        "seed": population.seeds[0],
        "silhouette": _mean(population["umap_silhouette"][0]),
        "knn_plane": _mean(population["umap_right_plane"][0]),
        "knn_features": _mean(population["umap_right_features"][0]),
    }


def _mean(values: Floats) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) and np.isfinite(values).all() else None


def _words(numbers: dict[str, Any]) -> str:
    """Say the numbers of a panel in a line; what does not exist is left out."""
    if numbers["knn_plane"] is None:
        return "no map"
    plane, features = 100 * numbers["knn_plane"], 100 * numbers["knn_features"]
    text = f"k-NN {plane:.1f} % ({features:.1f} %)"
    return text if numbers["silhouette"] is None else f"silhouette {numbers['silhouette']:.2f}, {text}"


# ---------------------------------------------------------------------------------------------------------- figures


def _layouts(study: StudyColumns, comparisons: Sequence[Comparison]) -> list[Layout]:
    """Return which populations each figure shows, where.

    Those that repeat, in several groups, make a grid per axis: a row per group, its reference first. Others stand in
    reading order.
    """
    axes: dict[str, dict[str, dict[Any, str]]] = {}
    for each in comparisons:
        place = study.populations[each.pruned].place
        if place is not None:
            row = axes.setdefault(place.axis, {}).setdefault(place.group, {None: each.reference})
            row[place.value] = each.pruned
    if sum(map(len, axes.values())) > 1:
        return [grid for axis, rows in axes.items() for grid in _grids(axis, rows)]
    compared = {name for each in comparisons for name in (each.reference, each.pruned, each.control)}
    shown: Layout = [(name, None) for name in study.populations if name in compared or not comparisons]
    return [shown[i : i + MOST_PANELS] for i in range(0, len(shown), MOST_PANELS)]


def _grids(axis: str, rows: dict[str, dict[Any, str]]) -> Iterator[Layout]:
    """Yield grids of references and some values, column by column."""
    values = _columns([value for row in rows.values() for value in row if value is not None])
    groups, high = list(rows), MOST_PANELS // MOST_ABREAST
    for i in range(0, len(groups), high):
        yield [
            (rows[group][value], (group, "reference" if value is None else f"{axis} {value}"))
            for value in values
            for group in groups[i : i + high]
            if value in rows[group]
        ]


def _columns(values: list[Any]) -> list[Any]:
    """Return None, for the references, and the values, in order; of too many the middle and the last one."""
    different = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in different):
        different.sort()
    if len(different) >= MOST_ABREAST:
        different = [different[len(different) // 2], different[-1]]
    return [None, *different]
