"""The examples that changed: which ones a page has room for, and their images."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from helpers_page import Elements, gallery_of, page_of, pixels
from PIL import Image

from prunekit.comparison import Comparison
from prunekit.figures import Exemplar
from prunekit.protocols import Measure
from prunekit.report.arrays import ArrayPopulation, ArrayStudy, NoImagesError
from prunekit.report.page import gallery
from prunekit.report.page.sprites import sheets
from prunekit.tables import Summary


def exemplar(index, change, reference="a", pruned="b"):
    return Exemplar(index, reference, 0.75, pruned, 0.5, change)


def arrays(examples=300):
    population = ArrayPopulation("dense", (0, 1), 0.0, {})
    ids = tuple(f"e{i}" for i in range(examples))
    populations = {"dense": population, "sparse": population, "other": population}
    return ArrayStudy(("a", "b"), ids, np.arange(examples) % 2, populations)


TWO = [Comparison("dense", "sparse", None, True), Comparison("dense", "other", None, True)]


def test_cards_hold_labels_shares_and_the_change_the_largest_first():
    changed = [(exemplar(5, 0.9), exemplar(2, 0.33333, "b", "a")), ()]
    data = gallery.build_gallery(arrays(), TWO, changed, pixels()).data
    assert data["ids"] == ["e5", "e2"]
    assert data["labels"] == [1, 0]
    assert data["comparisons"] == [
        {
            "reference": "dense",
            "pruned": "sparse",
            "members": [2, 2],
            "total": 2,
            "cards": [[0, 0, 1, 0.75, 0.5, 0.9], [1, 1, 0, 0.75, 0.5, 0.3333]],
        },
        {"reference": "dense", "pruned": "other", "members": [2, 2], "total": 0, "cards": []},
    ]


def test_an_image_is_stored_once_however_many_comparisons_show_it():
    changed = [[exemplar(i, 0.5) for i in (1, 2, 3)], [exemplar(i, 0.5) for i in (3, 2, 4)]]
    data = gallery.build_gallery(arrays(), TWO, changed, pixels()).data
    assert data["ids"] == ["e1", "e3", "e2", "e4"]  # all first ones, all second ones, …
    assert [card[0] for card in data["comparisons"][1]["cards"]] == [1, 2, 3]


def test_without_room_each_comparison_keeps_its_largest_changes(monkeypatch):
    one_sheet = len(sheets(pixels(), range(100), 10**9).uris[0])
    monkeypatch.setattr(gallery, "MOST_IMAGES", int(1.5 * one_sheet))
    changed = [[exemplar(i, 0.5) for i in range(150)], [exemplar(i, 0.5) for i in range(299, 149, -1)]]
    data = gallery.build_gallery(arrays(), TWO, changed, pixels()).data
    assert len(data["ids"]) == 100
    for comparison, indices in zip(data["comparisons"], (range(50), range(299, 249, -1)), strict=True):
        assert comparison["total"] == 150
        assert [data["ids"][card[0]] for card in comparison["cards"]] == [f"e{i}" for i in indices]


def test_cards_are_bounded_even_without_images(monkeypatch):
    def none(indices):
        raise NoImagesError("the data are gone")

    monkeypatch.setattr(gallery, "MOST_CARDS", 20)
    changed = [[exemplar(i, 0.5) for i in range(150)], [exemplar(3, 0.5)]]
    found = gallery.build_gallery(arrays(), TWO, changed, none)
    assert found.no_images == "the data are gone"
    assert [len(each["cards"]) for each in found.data["comparisons"]] == [10, 1]
    assert found.data["sheets"] == []


def test_why_there_are_no_images_is_said(pictured):
    def none(indices):
        raise NoImagesError("images of 4 channels cannot be shown: expected grey or RGB")

    pictured.images = none
    page = page_of(pictured)
    assert "Images cannot be shown: images of 4 channels cannot be shown: expected grey or RGB." in page
    assert gallery_of(page)["comparisons"][0]["cards"]


class Silent(Measure):
    """Names no example."""

    name = "silent"

    def summarise(self, study, comparisons):
        return Summary()


def test_a_study_whose_measures_name_no_examples_has_no_gallery(pictured):
    pictured.measures = [Silent()]
    elements = Elements(page_of(pictured))
    assert "gallery" not in elements.ids("section")


@pytest.mark.parametrize("options", [{"members": 1}, {"members": 1, "examples": 3, "classes": 20}])
def test_one_member_and_classes_without_images_make_a_page(make, options):
    study = make(**options)
    study.images = pixels()
    assert Elements(page_of(study)).ids("section")[-1] == "made"


def sheet_of(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 5, 48), (1, 1, 1)])
def test_small_images_are_kept_to_the_bit(shape):
    images = pixels(shape)
    packed = sheets(images, range(105), 10**9)
    assert (packed.count, packed.width, packed.height, len(packed.uris)) == (105, shape[2], shape[1], 2)
    expected = np.broadcast_to(images([104])[0], (3, *shape[1:])).transpose(1, 2, 0)
    found = sheet_of(packed.uris[1])[: shape[1], 4 * shape[2] : 5 * shape[2]]
    np.testing.assert_array_equal(found, expected)


def test_large_images_are_shrunk_by_a_whole_factor():
    halves = np.zeros((1, 3, 200, 100), np.uint8)
    halves[:, :, :, 50:] = 240
    packed = sheets(lambda indices: np.repeat(halves, len(indices), 0), range(3), 10**9)
    assert (packed.width, packed.height) == (33, 66)  # by 3, the last row and column cut off
    thumbnail = sheet_of(packed.uris[0])[:, 33:66].astype(int)
    assert thumbnail.shape == (66, 33, 3)
    assert thumbnail[20:40, :14].max() < 30
    assert thumbnail[20:40, 19:].min() > 210


def test_images_much_longer_than_wide_keep_a_pixel():
    packed = sheets(pixels((1, 300, 2)), range(1), 10**9)
    assert (packed.width, packed.height) == (1, 75)


def test_sheets_stop_before_they_are_too_large():
    everything = sheets(pixels(), range(250), 10**9)
    assert [everything.count, len(everything.uris)] == [250, 3]
    room = sum(map(len, everything.uris)) - 1
    assert sheets(pixels(), range(250), room).count == 200
    assert sheets(pixels(), range(250), 10).count == 0
    assert sheets(pixels(), [], 10**9).uris == ()
