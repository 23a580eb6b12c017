"""What holds of every figure that is drawn: its letters, sizes, colours and files."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from helpers_drawing import (
    LONG,
    bars,
    curves,
    drawn_texts,
    exemplars,
    images,
    levels,
    named,
    overlapping,
    planes,
    points,
    scatter,
)
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from prunekit.figures import Figure
from prunekit.report.drawing import draw, to_png, to_svg
from prunekit.report.drawing.style import HUES, fitted, tone, width_of, wrapped

FIGURES = {
    "points": points(),
    "points, many": points(10_000),
    "points, no marked": points(marked=0),
    "points, none": points(0),
    "points, long names": points(x_name=LONG.format(1), y_name=LONG.format(2), marked_name=LONG, rest_name=LONG),
    "bars": bars(),
    "bars, 5 panels": bars("abcd", panels=5),
    "bars, 30 long categories": bars([f"n0{i}440764 tench, Tinca tinca {i}" for i in range(30)], panels=2),
    "bars, 70 categories": bars([f"class {i}" for i in range(70)]),
    "bars, long name": bars(value_name=LONG),
    "bars, no categories": bars([]),
    "bars, no panels": bars(panels=0),
    "curves": curves(),
    "curves, one line without a name": curves([""]),
    "curves, long names": curves([LONG.format(i) for i in range(3)], [LONG.format(i) for i in range(4)]),
    "curves, numbers": curves(positions=(0.0, 0.5, 1.0), diagonal=True),
    "curves, four panels": replace(curves(), panels=curves().panels * 2),
    "curves, none": curves([]),
    "curves, logarithmic with levels": levels(),
    "curves, three panels with levels": levels(panels=3),
    "curves, eight panels with levels": levels(panels=8),
    "curves, logarithmic, tiny": levels(scale=1e-7),
    "curves, logarithmic, hundreds of numbers": levels(("a", "b"), tuple(range(1, 141))),
    "curves, long names of levels": levels([LONG.format(i) for i in range(7)]),
    "scatter": scatter(),
    "scatter, 700 points": scatter(700, log_x=True),
    "scatter, one group": scatter(30, [""], note=""),
    "scatter, diagonal": scatter(diagonal=True),
    "scatter, long names": scatter(groups=[LONG.format(i) for i in range(8)], x_name=LONG, y_name=LONG, note=LONG * 3),
    "scatter, one point": scatter(1, ["qm"], log_x=True),
    "scatter, none": scatter(0, []),
    "planes": planes(),
    "planes, many": planes(10_000, panels=2, places=False),
    "planes, in reading order": planes(places=False, panels=5),
    "planes, one": planes(places=False, panels=1),
    "planes, long notes": planes(note=f"silhouette 0.41, {LONG}, k-NN accuracy 93.2 % of many examples in the plane"),
    "planes, 100 classes": planes(classes=[f"class {i}" for i in range(100)]),
    "planes, long classes": planes(classes=[LONG.format(i) for i in range(10)]),
    "planes, none": planes(panels=0),
    "exemplars": exemplars(),
    "exemplars, long names": exemplars(5, LONG.format("dense"), LONG.format("sparse")),
    "exemplars, long labels": exemplars(24, labels=[LONG.format(i) for i in range(10)]),
    "exemplars, two": exemplars(2),
    "exemplars, none": exemplars(0),
}
ONE_EACH = [scatter(20), points(20), bars("abc"), curves(["a", "b"], "abc"), planes(20, "abc", panels=1), exemplars(2)]
ODD = "$x_1$ <script>alert(1)</script> & -- \x00\n\ud800"


@pytest.fixture(scope="module")
def canvases():
    return {name: draw(figure) for name, figure in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_letters_are_on_the_paper_large_enough_and_never_on_top_of_each_other(name, canvases, monkeypatch):
    canvas = canvases[name]
    found = drawn_texts(canvas, monkeypatch)
    assert found
    width, height = canvas.get_size_inches()
    for text, (left, bottom, right, top) in found:
        assert text.get_fontsize() >= 6.5
        assert min(left, bottom, width - right, height - top) > -0.01, text.get_text()
    together = overlapping([box for _, box in found])
    assert [(found[i][0].get_text(), found[j][0].get_text()) for i, j in together] == []


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_as_wide_as_a_column_or_a_page_and_fit_a_page(name, canvases):
    width, height = canvases[name].get_size_inches()
    assert width in (3.3, 6.9)
    assert height < 8


@pytest.mark.parametrize("figure", ONE_EACH, ids=lambda each: each.name)
def test_letters_and_axes_have_the_colour_asked_for_on_a_transparent_ground(figure, monkeypatch):
    canvas = draw(figure, images(), ink="#abcdef")
    assert {to_rgb(text.get_color()) for text, _ in drawn_texts(canvas, monkeypatch)} == {to_rgb("#abcdef")}
    assert b"#222222" not in to_svg(canvas)
    assert to_rgba(canvas.get_facecolor())[3] == 0
    assert {to_rgba(axes.get_facecolor())[3] for axes in canvas.axes} == {0}


def test_names_stay_text_whatever_they_hold(monkeypatch):
    said = {"x_name": ODD, "y_name": ODD, "marked_name": ODD}
    many = [
        points(**said),
        scatter(groups=[ODD, "b"], x_name=ODD, y_name=ODD, note=ODD),
        bars([ODD, "b"], value_name=ODD),
        curves([ODD, "b"]),
        planes(20, [ODD, "b"], panels=1),
        exemplars(2, ODD, ODD, [ODD]),
    ]
    for figure in many:
        canvas = draw(figure, images())
        assert any(
            "<script>" in text.get_text() or "…" in text.get_text() for text, _ in drawn_texts(canvas, monkeypatch)
        )
        svg = to_svg(canvas, ODD.replace("\ud800", "").replace("\x00", ""), "<b>")
        assert b"<script" not in svg
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_dollars_are_dollars(monkeypatch):
    canvas = draw(points(x_name="$x^2$ and \\alpha"))
    assert "$x^2$ and \\alpha" in [text.get_text() for text, _ in drawn_texts(canvas, monkeypatch)]
    assert not any(text.get_parse_math() for text, _ in drawn_texts(canvas, monkeypatch))


def test_letters_of_other_scripts_draw_without_a_warning(recwarn):
    to_png(draw(bars(["猫", "犬"])))
    assert [str(each.message) for each in recwarn] == []


@pytest.mark.parametrize("figure", ONE_EACH, ids=lambda each: each.name)
def test_the_same_figure_is_the_same_file_whatever_the_users_settings(figure):
    def files():
        canvas = draw(figure, images())
        return to_svg(canvas, "title", "caption"), to_png(canvas, "title", "caption")

    first = files()
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "other", "axes.grid": True, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert files() == first
        assert dict(matplotlib.rcParams) == before


def test_files_carry_title_and_caption_and_no_date():
    canvas = draw(points(20))
    svg, png = to_svg(canvas, "The <title>", "The caption"), to_png(canvas, "The <title>", "The caption")
    assert b"<title>The &lt;title&gt;</title>" in svg
    assert b"The caption" in svg
    assert b"date" not in svg
    info = Image.open(io.BytesIO(png)).info
    assert (info["Title"], info["Description"]) == ("The <title>", "The caption")


def test_a_png_has_300_dots_per_inch_on_white():
    image = Image.open(io.BytesIO(to_png(draw(curves()))))
    assert image.width == 990
    assert image.getpixel((0, 0))[:3] == (255, 255, 255)


def test_ten_thousand_points_stay_small():
    assert len(to_svg(draw(points(10_000)))) < 150_000
    assert len(to_svg(draw(planes(10_000, panels=1)))) < 300_000


def test_what_is_no_figure_of_a_known_kind_is_refused():
    with pytest.raises(TypeError, match="unknown kind: Figure"):
        draw(Figure(**named()))


def test_drawing_needs_no_pyplot_and_the_report_no_matplotlib():
    code = """import sys
import prunekit.report.build, prunekit.report.figure_files
print("matplotlib" in sys.modules)
sys.path.insert(0, "tests")
from helpers_drawing import points
from prunekit.report.drawing import draw, to_svg
to_svg(draw(points(5)))
print("matplotlib.pyplot" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nFalse\n"


# ---------------------------------------------------------------------------------------------------------- colours

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
SEEN = {
    "by everybody": np.eye(3),
    "without red cones": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]
    ],
    "without green cones": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]
    ],
}  # fmt: skip


def lab(colour, seen):
    """Return CIE L*a*b* under D65."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(np.array(seen) @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN)
def test_ten_classes_can_be_told_apart(eyes):
    colours = [lab(tone(i), SEEN[eyes]) for i in range(10)]
    nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(colours, 2))
    palette = [lab(hue, SEEN[eyes]) for hue in HUES]
    apart = min(np.linalg.norm(one - other) for one, other in itertools.combinations(palette, 2))
    assert nearest >= min(apart, 20)  # as well as those of the palette itself; 2.3 is a just noticeable difference


def test_colours_and_marks_together_are_never_the_same_for_100_classes():
    from prunekit.report.drawing.style import marker

    assert len({(tone(i), marker(i)) for i in range(100)}) == 100


# ---------------------------------------------------------------------------------------------------------- letters


def test_what_fits_is_left_alone():
    assert fitted("automobile", 2) == "automobile"


@pytest.mark.parametrize("inches", [0.3, 0.5, 1.0, 2.0])
def test_what_does_not_fit_loses_its_middle(inches):
    text = fitted(LONG.format("0.95"), inches)
    start, end = text.split("…")
    assert LONG.format("0.95").startswith(start)
    assert LONG.format("0.95").endswith(end)
    assert inches - 0.2 < width_of(text) <= inches


def test_a_text_without_end_is_shortened_too():
    assert len(fitted("x" * 10**6, 3)) < 200


def test_text_is_wrapped_at_spaces():
    lines = wrapped("silhouette 0.41, k-NN accuracy 93.2 % in the plane", 1.0)
    assert " ".join(lines) == "silhouette 0.41, k-NN accuracy 93.2 % in the plane"
    assert len(lines) > 1
    assert all(width_of(line) <= 1.0 for line in lines)
