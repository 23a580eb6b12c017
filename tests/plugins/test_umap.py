"""Maps of features: what stands beside the picture against scikit-learn and by hand, and the library itself once."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from helpers_umap import stand_in
from numpy.typing import NDArray

from prunekit import Comparison
from prunekit.figures import Planes
from prunekit.observed import Place
from prunekit.plugins.measures.umap import Umap, nearest, right_by_neighbours, silhouettes
from prunekit.report.arrays import ArrayPopulation, ArrayStudy
from prunekit.tables import Summary

COLUMNS = ("umap_x", "umap_y", "umap_silhouette", "umap_right_plane", "umap_right_features")


class Member:
    """A member with features of three overlapping classes."""

    def __init__(self, features: NDArray[np.floating], labels: NDArray[np.int64]) -> None:
        self._features, self._labels = features, labels

    def features(self) -> NDArray[np.float32]:
        return self._features.astype(np.float32)

    def labels(self) -> NDArray[np.int64]:
        return self._labels


def blobs(examples: int = 90, apart: float = 1.5) -> Member:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, examples)
    return Member(random.normal(size=(examples, 6)) + apart * np.eye(3, 6)[labels], labels)


def observe(member: Member, **options: Any) -> dict[str, NDArray[Any]]:
    return Umap(**options).observe(member)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- plain functions


@pytest.mark.parametrize("dimensions", [2, 40])
def test_nearest_others_are_those_of_all_distances(dimensions: int) -> None:
    points = np.random.default_rng(1).normal(size=(60, dimensions))
    distances = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    expected = distances.argsort(axis=1)[:, :7]
    indices, found = nearest(points, 7)
    assert np.array_equal(indices, expected)
    assert found == pytest.approx(np.take_along_axis(distances, expected, axis=1))


def test_an_example_is_no_neighbour_of_itself_even_where_another_lies_on_it() -> None:
    indices, distances = nearest(np.zeros((5, 3)), 4)
    assert [sorted(row) for row in indices.tolist()] == [[j for j in range(5) if j != i] for i in range(5)]
    assert not distances.any()


def test_there_are_no_more_neighbours_than_others() -> None:
    assert nearest(np.random.default_rng(2).random((5, 2)), 15)[0].shape == (5, 4)


def test_a_silhouette_by_hand() -> None:
    # on a line: a at 0 and 1, b at 4; the first is 1 from its own and 4 from the other class
    found = silhouettes(np.array([[0.0, 0], [1, 0], [4, 0]]), np.array([0, 0, 1]))
    assert found == pytest.approx([(4 - 1) / 4, (3 - 1) / 3, 0])


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]], ids=["one class", "nobody shares a class"])
def test_without_two_classes_that_somebody_shares_there_is_no_silhouette(labels: list[int]) -> None:
    assert np.isnan(silhouettes(np.random.default_rng(3).random((3, 2)), np.array(labels))).all()


def test_most_neighbours_decide_and_ties_go_to_the_smallest_class() -> None:
    labels = np.array([0, 1, 1, 2])
    indices = np.array([[1, 2], [0, 2], [0, 3], [0, 1]])
    # votes: 1 1 → 1, wrong; 0 1 → 0, wrong; 0 2 → 0, wrong; 0 1 → 0, wrong
    assert right_by_neighbours(indices, labels).tolist() == [False] * 4
    assert right_by_neighbours(indices, np.array([1, 0, 1, 0])).tolist() == [False, False, False, True]


def test_neighbours_are_right_as_often_as_those_of_scikit_learn() -> None:
    from sklearn.model_selection import LeaveOneOut, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    member = blobs(120)
    predicted = cross_val_predict(KNeighborsClassifier(9), member.features(), member.labels(), cv=LeaveOneOut())
    right = right_by_neighbours(nearest(member.features(), 9)[0], member.labels())
    assert 0.4 < right.mean() < 0.95
    assert np.array_equal(right, predicted == member.labels())


# ---------------------------------------------------------------------------------------------------- observation


def test_the_columns_describe_the_plane_and_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.metrics import silhouette_samples

    stand_in(monkeypatch)  # places by the first two features
    member = blobs()
    features, labels = member.features(), member.labels()
    found = observe(member, neighbours=9)
    assert tuple(found) == COLUMNS
    assert {str(column.dtype) for column in found.values()} == {"float32"}
    plane = features[:, :2]
    assert np.array_equal(np.stack([found["umap_x"], found["umap_y"]], axis=1), plane)
    assert found["umap_silhouette"] == pytest.approx(silhouette_samples(plane, labels), abs=1e-6)
    assert np.array_equal(found["umap_right_plane"], right_by_neighbours(nearest(plane, 9)[0], labels))
    assert np.array_equal(found["umap_right_features"], right_by_neighbours(nearest(features, 9)[0], labels))
    assert not np.array_equal(found["umap_right_plane"], found["umap_right_features"])


def test_the_library_is_given_the_options_and_the_exact_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(monkeypatch)
    member = blobs()
    observe(member, neighbours=5, min_distance=0.3, seed=7)
    (options,) = asked
    indices, distances = options.pop("precomputed_knn")
    assert options == {"n_neighbors": 5, "min_dist": 0.3, "random_state": 7, "n_jobs": 1}
    others, far = nearest(member.features(), 4)
    assert np.array_equal(indices, np.column_stack([np.arange(90), others]))
    assert np.array_equal(distances, np.column_stack([np.zeros(90), far]))


@pytest.mark.parametrize("examples", [0, 1, 3])
def test_fewer_examples_than_can_be_placed_have_no_map(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(monkeypatch)
    found = observe(blobs(examples))
    assert tuple(found) == COLUMNS
    assert all(column.shape == (examples,) and np.isnan(column).all() for column in found.values())
    assert not asked


def test_four_examples_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(monkeypatch)
    assert np.isfinite(observe(blobs(4))["umap_x"]).all()
    assert asked[0]["n_neighbors"] == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_have_no_map(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(monkeypatch)
    features = np.ones((20, 3))
    features[4, 1] = value
    found = observe(Member(features, np.arange(20) % 2))
    assert all(np.isnan(column).all() for column in found.values())
    assert not asked


@pytest.mark.slow
def test_the_library_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one test, as it compiles for half a minute: reproducible, sensible, and on exact neighbours."""
    import umap

    made: list[Any] = []

    class Recorded(umap.UMAP):  # type: ignore[misc]
        def fit_transform(self, *arguments: Any) -> Any:
            made.append(self)
            return super().fit_transform(*arguments)

    monkeypatch.setattr(umap, "UMAP", Recorded)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        member = blobs(150, apart=12)
        found, again = observe(member), observe(member)
        other = observe(member, seed=1)
    assert all(np.array_equal(found[name], again[name]) for name in COLUMNS)
    assert not np.array_equal(found["umap_x"], other["umap_x"])
    assert found["umap_silhouette"].mean() > 0.5
    assert found["umap_right_plane"].mean() == found["umap_right_features"].mean() == 1
    plain = umap.UMAP(random_state=0, n_jobs=1).fit(member.features())
    assert abs(made[0].graph_ - plain.graph_).max() < 1e-5


# -------------------------------------------------------------------------------------------------------- summary


def population(name: str, place: Place | None = None, shift: float = 0.0) -> ArrayPopulation:
    """Return a population of two members, one of them observed: of four examples three are right in the plane."""
    columns = {
        "umap_x": [0, 1, 2, 3],
        "umap_y": [shift] * 4,
        "umap_silhouette": [0.5, 0.25, -0.25, 0.5],
        "umap_right_plane": [1, 1, 0, 1],
        "umap_right_features": [1, 1, 1, 1],
    }
    arrays = {key: np.array([values], dtype=np.float32) for key, values in columns.items()}
    return ArrayPopulation(name, (4, 5), 0.0, arrays, place=place)


def summary(populations: list[ArrayPopulation], comparisons: list[Comparison]) -> Summary:
    labels = np.array([0, 0, 0, 1])
    study = ArrayStudy(("a", "b"), tuple("1234"), labels, {each.name: each for each in populations})
    return Umap().summarise(study, comparisons)


def figures(found: Summary) -> list[Planes]:
    assert all(isinstance(each, Planes) for each in found.figures)
    return found.figures  # type: ignore[return-value]


def test_figures_beside_the_picture_are_means_over_examples() -> None:
    found = summary([population("dense")], [])
    assert found.populations == {"dense": {"seed": 4, "silhouette": 0.25, "knn_plane": 0.75, "knn_features": 1.0}}
    (table,) = found.tables
    assert table.rows == [("dense", 4, 0.25, 0.75, 1.0)]
    assert "the most frequent class of all gives 75.0 %" in table.note


def test_what_does_not_exist_is_not_said() -> None:
    nowhere, alone = population("nowhere"), population("alone")
    nowhere.columns = {key: np.full_like(values, np.nan) for key, values in nowhere.columns.items()}
    alone.columns = {**alone.columns, "umap_silhouette": np.full((1, 4), np.nan)}  # one class
    found = summary([nowhere, alone], [])
    assert found.tables[0].rows == [("nowhere", 4, None, None, None), ("alone", 4, None, 0.75, 1.0)]
    notes = [panel.note for panel in figures(found)[0].panels]
    assert notes == ["no map", "k-NN 75.0 % (100.0 %)"]


def test_what_is_compared_stands_side_by_side() -> None:
    names = ["dense", "sparse", "control", "other"]
    found = summary([population(name) for name in names], [Comparison("dense", "sparse", "control", True)])
    (drawn,) = figures(found)
    assert drawn.name == "umap"
    assert [(panel.title, panel.place) for panel in drawn.panels] == [(name, None) for name in names[:3]]
    assert drawn.panels[0].note == "silhouette 0.25, k-NN 75.0 % (100.0 %)"
    assert "sparse: silhouette 0.25, k-NN 75.0 % (100.0 %);" in drawn.caption
    assert drawn.labels.tolist() == [0, 0, 0, 1]


def test_every_panel_has_the_places_of_its_own_population() -> None:
    (drawn,) = figures(summary([population("dense"), population("sparse", shift=2.0)], []))
    assert [panel.x.tolist() for panel in drawn.panels] == [[0, 1, 2, 3]] * 2
    assert [panel.y.tolist() for panel in drawn.panels] == [[0] * 4, [2] * 4]


def repeated(groups: list[str], values: list[Any]) -> tuple[list[ArrayPopulation], list[Comparison]]:
    """Return groups of populations over a sparsity, each with a dense one of its own."""
    dense = [population(f"dense-{group}") for group in groups]
    sparse = [population(f"{group}-{v}", Place("sparsity", v, group)) for group in groups for v in values]
    comparisons = [Comparison(f"dense-{group}", f"{group}-{v}", None, True) for group in groups for v in values]
    return dense + sparse, comparisons


def places(drawn: Planes) -> dict[str, tuple[str, str] | None]:
    return {panel.title: panel.place for panel in drawn.panels}


def test_groups_are_rows_and_the_values_columns_after_the_reference() -> None:
    (drawn,) = figures(summary(*repeated(["Sup", "SCL"], [0.99, 0.9])))
    assert places(drawn) == {
        "dense-Sup": ("Sup", "reference"),
        "dense-SCL": ("SCL", "reference"),
        "Sup-0.9": ("Sup", "sparsity 0.9"),
        "SCL-0.9": ("SCL", "sparsity 0.9"),
        "Sup-0.99": ("Sup", "sparsity 0.99"),
        "SCL-0.99": ("SCL", "sparsity 0.99"),
    }
    assert "The table “Features in a plane” has the numbers of all populations." in drawn.caption


def test_of_many_values_the_middle_and_the_last_are_drawn() -> None:
    (drawn,) = figures(summary(*repeated(["Sup", "SCL"], [0.3, 0.5, 0.7, 0.9, 0.95, 0.99])))
    assert {place[1] for place in places(drawn).values() if place} == {"reference", "sparsity 0.9", "sparsity 0.99"}


def test_values_that_are_no_numbers_stay_in_their_order() -> None:
    (drawn,) = figures(summary(*repeated(["Sup", "SCL"], ["magnitude", "late"])))
    columns = list(dict.fromkeys(place[1] for place in places(drawn).values() if place))
    assert columns == ["reference", "sparsity magnitude", "sparsity late"]


def test_a_group_without_a_value_leaves_a_place_empty() -> None:
    populations, comparisons = repeated(["Sup", "SCL"], [0.5, 0.9])
    (drawn,) = figures(summary(populations, comparisons[:-1]))
    assert len(drawn.panels) == 5
    assert ("SCL", "sparsity 0.9") not in places(drawn).values()


def test_one_group_stands_in_reading_order_with_all_its_values() -> None:
    (drawn,) = figures(summary(*repeated(["Sup"], [0.3, 0.5, 0.7, 0.9, 0.95, 0.99])))
    assert list(places(drawn).values()) == [None] * 7


def test_many_panels_are_spread_over_figures() -> None:
    drawn = figures(summary(*repeated([f"method {i}" for i in range(5)], [0.5, 0.9])))
    assert [(each.name, len(each.panels)) for each in drawn] == [("umap-1", 9), ("umap-2", 6)]
    assert {place[0] for place in places(drawn[1]).values() if place} == {"method 3", "method 4"}
    drawn = figures(summary([population(str(i)) for i in range(12)], []))
    assert [(each.name, len(each.panels)) for each in drawn] == [("umap-1", 9), ("umap-2", 3)]


def test_the_reading_says_that_it_is_one_member() -> None:
    (reading,) = summary([population("dense")], []).readings
    assert "one member" in reading
    assert "15 exact neighbours, minimal distance 0.1, seed 0" in reading


def test_the_measure_is_there_without_the_library() -> None:
    code = "import sys, prunekit.plugins.measures.umap; print({'umap', 'sklearn', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
