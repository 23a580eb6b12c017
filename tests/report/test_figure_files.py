"""Figures as files: ``prunekit report --figures``."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_drawing import curves, exemplars, images, points
from PIL import Image

from prunekit.errors import InputError
from prunekit.progress import listening
from prunekit.report import drawing
from prunekit.report.arrays import NoImagesError
from prunekit.report.build import build_report
from prunekit.report.figure_files import check_folder, write_figures


def report_of(*figures):
    return SimpleNamespace(figures=figures)


def without_images(indices):
    raise NoImagesError("the data are gone")


STUDY = SimpleNamespace(images=without_images)


def test_every_figure_is_a_png_and_an_svg_in_a_folder_that_is_made(tmp_path):
    written = write_figures(report_of(points(20), curves(["a"])), STUDY, tmp_path / "figures")
    assert [path.name for path in written] == ["points.png", "points.svg", "curves.png", "curves.svg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(path.name for path in written)
    assert Image.open(written[0]).info["Title"] == "Title of points"
    assert b"Caption of points" in written[1].read_bytes()


def test_the_same_report_gives_the_same_bytes_again(tmp_path):
    first = [path.read_bytes() for path in write_figures(report_of(points(20)), STUDY, tmp_path)]
    assert [path.read_bytes() for path in write_figures(report_of(points(20)), STUDY, tmp_path)] == first
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["q-score.dense-sparse_0.9"], ["q-score.dense-sparse_0.9"]),
        (["a/b: ΔGMP → c", "../../etc/passwd"], ["a_b_GMP_c", "_.._etc_passwd"]),
        (["a", "A", "a"], ["a", "A-2", "a-3"]),
        (["", "…"], ["figure", "_"]),
        (["x" * 300], ["x" * 120]),
    ],
)
def test_names_of_files_are_names_that_every_file_system_takes(tmp_path, names, stems):
    figures = [replace(points(0), name=name) for name in names]
    written = write_figures(report_of(*figures), STUDY, tmp_path)
    assert [path.name for path in written[::2]] == [f"{stem}.png" for stem in stems]
    assert {path.parent for path in written} == {tmp_path}


def test_examples_are_shown_with_their_images(tmp_path, monkeypatch):
    asked, shown = [], []
    draw = drawing.draw
    monkeypatch.setattr(drawing, "draw", lambda figure, pictures: shown.append(pictures) or draw(figure, pictures))
    study = SimpleNamespace(images=lambda indices: asked.append(indices) or images(len(indices)))
    write_figures(report_of(exemplars(2), points(20)), study, tmp_path)
    assert asked == [[0, 1]]
    assert np.array_equal(shown[0], images(2))


def test_examples_without_images_say_why(tmp_path, monkeypatch):
    shown = []
    draw = drawing.draw
    monkeypatch.setattr(drawing, "draw", lambda figure, pictures: shown.append(pictures) or draw(figure, pictures))
    write_figures(report_of(exemplars(2)), STUDY, tmp_path)
    assert shown == ["the data are gone"]


def test_no_figures_make_no_folder(tmp_path):
    assert write_figures(report_of(), STUDY, tmp_path / "figures") == []
    assert not (tmp_path / "figures").exists()


def test_who_listens_hears_how_far_it_has_come(tmp_path):
    heard = []
    with listening(lambda *said: heard.append(said)):
        write_figures(report_of(points(0), points(0)), STUDY, tmp_path)
    assert heard == [("drawing figures", 0, 2), ("drawing figures", 1, 2)]


def test_a_file_in_the_way_and_a_folder_without_a_parent_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^--figures \S+file: is a file, expected a folder$"):
        check_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"^--figures \S+deeper: there is no folder \S+nowhere$"):
        check_folder(tmp_path / "nowhere" / "deeper")


def test_a_file_that_cannot_be_replaced_is_named_and_nothing_is_left_behind(tmp_path):
    (tmp_path / "points.png").mkdir()
    with pytest.raises(InputError, match=r"points\.png"):
        write_figures(report_of(points(0)), STUDY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["points.png"]


def test_a_report_draws_what_its_measures_show(make, tmp_path):
    study = make()
    report = build_report(study, study.comparisons)
    assert [figure.name for figure in report.figures] == [
        "pie-classes.dense-sparse", "pie-examples.dense-sparse", "pie-classes.control-sparse",
        "pie-examples.control-sparse", "q-score.dense-sparse", "q-score.control-sparse",
    ]  # fmt: skip
    assert len(write_figures(report, study, tmp_path)) == 12
