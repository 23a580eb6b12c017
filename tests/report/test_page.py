"""The page: what stands in it, and how large it is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers_page import HOSTILE, Elements, gallery_of, make_hostile, page_of, pixels

from prunekit.comparison import Comparison
from prunekit.errors import InputError
from prunekit.plugins.measures.pie import Pie
from prunekit.report.arrays import About, ArrayPopulation, ArrayStudy, LoadedStudy
from prunekit.report.build import build_report
from prunekit.report.page import to_html, write_page
from prunekit.report.page.pictures import drawable


def test_sections_follow_the_question_and_the_measures(pictured):
    elements = Elements(page_of(pictured))
    measures = [f"measure-{measure.name}" for measure in pictured.measures]
    expected = ["asked", "answer", "gallery", *measures, "limits", "made"]
    assert elements.ids("section") == expected
    contents = [attributes["href"] for tag, attributes in elements.found if tag == "a" and "class" not in attributes]
    assert contents == [f"#{each}" for each in expected]


def test_every_table_of_the_report_stands_in_the_page_and_can_be_scrolled(pictured):
    report = build_report(pictured, pictured.comparisons)
    page = to_html(pictured, report, pictured.comparisons)
    assert page.count("<table>") == len(report.tables) + 1  # and the one of populations
    assert page.count("<table>") == len(re.findall(r'<div class="scroll[^>]*>\s*<table>', page))
    for table in report.tables:
        assert table.title in page


def test_nothing_is_fetched_and_nothing_may_be(pictured):
    page = page_of(pictured)
    assert "default-src 'none'; img-src data:;" in page
    links = [v for _, attributes in Elements(page).found for k, v in attributes.items() if k in ("src", "href")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.findall(r"@import|https?://(?!www\.w3\.org)", page)
    assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)\)", page))


def test_ids_are_those_of_one_element_each(pictured):
    ids = [attributes["id"] for _, attributes in Elements(page_of(pictured)).found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_figures_are_images_with_their_caption_and_follow_the_colours_of_the_page(pictured):
    report = build_report(pictured, pictured.comparisons)
    wanted = drawable(report.figures)
    page = to_html(pictured, report, pictured.comparisons)
    drawn = [attributes for tag, attributes in Elements(page).found if tag == "svg"]
    assert [each["role"] for each in drawn] == ["img"] * len(wanted)
    assert {each["aria-label"] for each in drawn} == {f"{figure.title}. {figure.caption}" for figure in wanted}


def test_all_text_from_data_stays_text(pictured):
    make_hostile(pictured)
    page = page_of(pictured)
    elements = Elements(page)
    assert [attributes.get("type") for tag, attributes in elements.found if tag == "script"] == [
        "application/json",
        None,
    ]
    data = gallery_of(page)
    assert HOSTILE in data["classes"]
    assert HOSTILE in data["ids"]
    assert data["comparisons"][0]["pruned"] == HOSTILE
    assert elements.text.count(HOSTILE) > 20


def test_the_recipe_stands_there_as_yaml(pictured):
    pictured.about = About(recipe={"name": "made-up", "populations": {"dense": {"stages": {"train": {"epochs": 3}}}}})
    assert "populations:\n  dense:\n    stages:\n      train:\n        epochs: 3\n" in page_of(pictured)


def test_the_page_appears_whole_or_not_at_all(pictured, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")
    report = build_report(pictured, pictured.comparisons)

    def fail(*_):
        raise RuntimeError("no more")

    with monkeypatch.context() as patch:
        patch.setattr("prunekit.report.page.to_html", fail)
        with pytest.raises(RuntimeError):
            write_page(pictured, report, pictured.comparisons, path)
    assert path.read_text() == "before"
    write_page(pictured, report, pictured.comparisons, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(pictured, tmp_path):
    report = build_report(pictured, pictured.comparisons)
    with pytest.raises(InputError, match=r"--html .*there is no folder .*nowhere"):
        write_page(pictured, report, pictured.comparisons, tmp_path / "nowhere" / "report.html")


def test_the_page_of_thirty_and_thirty_members_and_thousands_of_changes_is_under_10_mb():
    """Images of noise, which no format makes smaller, and as many changes as there can be: a third of all examples."""
    members, examples = 30, 10_000
    labels = np.arange(examples) % 10
    changed = np.where(np.arange(examples) % 3 == 0, (labels + 1) % 10, labels)
    populations = {
        name: ArrayPopulation(name, tuple(range(members)), sparsity, {"prediction": np.tile(prediction, (members, 1))})
        for name, sparsity, prediction in (("dense", 0.0, labels), ("sparse", 0.9, changed))
    }
    study = LoadedStudy(
        name="large",
        data={"name": "noise", "split": "test", "examples": examples},
        columns=ArrayStudy(
            tuple(f"class {c}" for c in range(10)),
            tuple(f"test/class/{i:05}.png" for i in range(examples)),
            labels,
            populations,
        ),
        comparisons=[Comparison("dense", "sparse", None, True)],
        measures=[Pie(permutations=2)],
        images=pixels((3, 32, 32)),
    )
    page = page_of(study)
    (comparison,) = gallery_of(page)["comparisons"]
    assert comparison["total"] == 3334
    assert 500 < len(comparison["cards"]) < 3334
    assert len(page.encode()) < 10e6
