"""What each kind of figure draws of its data."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers_drawing import (
    CLASSES,
    METHODS,
    curves,
    exemplars,
    images,
    legend,
    named,
    one_line,
    planes,
    points,
    texts,
)
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from prunekit.figures import Bar, BarPanel, Bars, PlanePanel, Planes
from prunekit.report.drawing import draw, to_svg
from prunekit.report.drawing.style import HUES, LIGHT, MUTED, STRONG, tone

# ----------------------------------------------------------------------------------------------------------- points


def test_marked_points_are_drawn_last_in_the_strong_colour_and_both_are_counted():
    figure = points(300)
    canvas = draw(figure)
    rest, marked = canvas.axes[0].collections
    assert marked.get_offsets().tolist() == np.stack([figure.x, figure.y], axis=1)[figure.marked].tolist()
    assert rest.get_offsets().tolist() == np.stack([figure.x, figure.y], axis=1)[~figure.marked].tolist()
    assert to_rgb(marked.get_facecolor()[0][:3]) == to_rgb(STRONG)
    assert to_rgb(rest.get_facecolor()[0][:3]) == to_rgb(MUTED)
    assert legend(canvas) == [f"{figure.marked.sum()} PIEs", f"{300 - figure.marked.sum()} other examples"]


def test_both_axes_have_the_limits_that_hold_all_points_and_the_diagonal():
    figure = points(300)
    (axes,) = draw(figure).axes
    assert axes.get_xlim() == axes.get_ylim()
    low, high = axes.get_xlim()
    assert low < min(figure.x.min(), figure.y.min()) <= max(figure.x.max(), figure.y.max()) < high
    (line,) = axes.lines
    assert line.get_slope() == 1
    assert len(set(line.get_xy1())) == 1  # on x = y


def test_without_a_diagonal_each_axis_has_its_own_limits():
    figure = replace(points(300), diagonal=False, y=1000 * points(300).y)
    (axes,) = draw(figure).axes
    assert not axes.lines
    assert axes.get_ylim()[1] > 100 * axes.get_xlim()[1]


def test_points_that_are_not_finite_are_left_out():
    x, y = np.array([0.0, np.nan, 1.0, 2.0]), np.array([0.0, 1.0, np.inf, 2.0])
    canvas = draw(replace(points(4), x=x, y=y, marked=np.array([True, True, True, False])))
    assert [len(each.get_offsets()) for each in canvas.axes[0].collections] == [1, 1]
    assert legend(canvas) == ["1 PIEs", "1 other examples"]


def test_the_more_points_coincide_the_paler_is_each():
    spread, heaped = points(200), replace(points(200), x=np.arange(200) % 5, y=np.arange(200) % 5)
    spread, heaped = (draw(each).axes[0].collections[0].get_alpha() for each in (spread, heaped))
    assert heaped < spread


def test_a_few_marked_points_are_larger_than_the_rest_and_many_are_not():
    for share, larger in ((0.02, True), (0.5, False)):
        rest, marked = draw(points(400, marked=share)).axes[0].collections
        assert (marked.get_sizes()[0] > rest.get_sizes()[0]) == larger


def test_a_single_point_has_room():
    (axes,) = draw(replace(points(1), x=np.array([7.0]), y=np.array([7.0]))).axes
    assert axes.get_xlim()[1] - axes.get_xlim()[0] == 1


@pytest.mark.parametrize(("n", "images"), [(300, 0), (10_000, 1)])
def test_many_points_are_one_image_in_an_svg(n, images):
    svg = ElementTree.fromstring(to_svg(draw(points(n))))
    assert len(svg.findall(".//{*}image")) == images


# ------------------------------------------------------------------------------------------------------------- bars


def two_stacks(**rest):
    parts = (
        Bar("Sup, shared", np.array([1, 2, 3]), "Sup"),
        Bar("Sup, unique", np.array([4, 5, 6]), "Sup", light=True),
        Bar("SCL, shared", np.array([1, 2, 3]), "SCL"),
        Bar("SCL, unique", np.array([7, 8, 9]), "SCL", light=True),
    )
    panels = (BarPanel("30 %", parts), BarPanel("90 %", tuple(reversed(parts))))
    return Bars(**named(), **({"categories": ("a", "b", "c"), "value_name": "PIEs", "panels": panels} | rest))


def drawn_bars(axes):
    return {bars.get_label(): bars.patches for bars in axes.containers}


def test_bars_of_a_stack_stand_on_each_other_and_stacks_side_by_side():
    found = drawn_bars(draw(two_stacks()).axes[0])
    assert [bar.get_height() for bar in found["Sup, unique"]] == [4, 5, 6]
    assert [bar.get_y() for bar in found["Sup, unique"]] == [1, 2, 3]
    assert [bar.get_y() for bar in found["SCL, shared"]] == [0, 0, 0]
    for i in range(3):
        sup, same, scl = (found[name][i] for name in ("Sup, shared", "Sup, unique", "SCL, shared"))
        assert (sup.get_x(), sup.get_width()) == (same.get_x(), same.get_width())
        assert sup.get_x() + sup.get_width() == pytest.approx(scl.get_x())
        assert (sup.get_x() + scl.get_x() + scl.get_width()) / 2 == pytest.approx(i)  # over its category


def test_a_light_bar_has_the_tone_of_its_stack_and_names_keep_their_colours_in_all_panels():
    first, second = (drawn_bars(axes) for axes in draw(two_stacks()).axes)
    colours = {name: bars[0].get_facecolor() for name, bars in first.items()}
    assert colours == {
        "Sup, shared": to_rgba(HUES[0]),
        "Sup, unique": to_rgba(HUES[0], LIGHT),
        "SCL, shared": to_rgba(HUES[1]),
        "SCL, unique": to_rgba(HUES[1], LIGHT),
    }
    assert {name: bars[0].get_facecolor() for name, bars in second.items()} == colours


def test_a_light_bar_without_a_stack_has_the_tone_of_the_bar_before_it():
    parts = (Bar("PIEs", np.arange(3)), Bar("by chance", np.arange(3), light=True), Bar("more", np.arange(3)))
    found = drawn_bars(draw(two_stacks(panels=(BarPanel("", parts),))).axes[0])
    colours = [found[name][0].get_facecolor() for name in ("PIEs", "by chance", "more")]
    assert colours == [to_rgba(HUES[0]), to_rgba(HUES[0], LIGHT), to_rgba(HUES[1])]


def test_panels_share_their_axes_and_name_the_categories_once(monkeypatch):
    canvas = draw(two_stacks())
    assert len({axes.get_ylim() for axes in canvas.axes}) == len({axes.get_xlim() for axes in canvas.axes}) == 1
    found = texts(canvas, monkeypatch)
    once = ("a", "b", "c", "30 %", "90 %", "PIEs", "Sup, shared")
    assert [found.count(name) for name in once] == [1] * len(once)


def test_panels_may_have_a_scale_of_their_own():
    small = BarPanel("30 %", (Bar("PIEs", np.array([1, 2, 1])),))
    large = BarPanel("99 %", (Bar("PIEs", np.array([100, 200, 150])),))
    first, second = draw(two_stacks(panels=(small, large), one_scale=False)).axes
    assert first.get_ylim()[1] < 3 < 200 < second.get_ylim()[1]


def test_every_column_of_panels_names_the_categories_below(monkeypatch):
    canvas = draw(two_stacks(panels=two_stacks().panels[:1] * 5))
    assert texts(canvas, monkeypatch).count("a") == 2
    assert [axes.get_visible() and axes.axison for axes in canvas.axes] == [True] * 5 + [False]


def test_counts_have_whole_ticks(monkeypatch):
    found = texts(draw(two_stacks(panels=(BarPanel("", (Bar("PIEs", np.array([0, 1, 2])),)),))), monkeypatch)
    assert {"0", "1", "2"} <= set(found)
    assert not any("." in text for text in found)


def test_thirty_categories_all_have_their_names_and_of_hundreds_some(monkeypatch):
    for many, named_ones in ((30, 30), (300, 40)):
        categories = tuple(f"class {i}" for i in range(many))
        figure = two_stacks(categories=categories, panels=(BarPanel("", (Bar("PIEs", np.arange(many)),)),))
        found = [text for text in texts(draw(figure), monkeypatch) if text.startswith("class")]
        assert len(found) >= named_ones
        assert found[0] == "class 0"


def test_what_does_not_exist_has_no_height_and_does_not_move_what_stands_on_it():
    parts = (Bar("a", np.array([np.nan, 1.5]), "s"), Bar("b", np.array([2.0, 2.0]), "s"))
    found = drawn_bars(draw(two_stacks(categories=("x", "y"), panels=(BarPanel("", parts),))).axes[0])
    assert [(bar.get_y(), bar.get_height()) for bar in found["b"]] == [(0, 2), (1.5, 2)]


def test_numbers_below_zero_have_a_line_at_zero():
    below, above = (
        draw(two_stacks(panels=(BarPanel("", (Bar("a", sign * np.arange(3)),)),))).axes[0].lines for sign in (-1, 1)
    )
    assert [line.get_ydata()[0] for line in below] == [0]
    assert list(above) == []


# ----------------------------------------------------------------------------------------------------------- curves


def test_a_line_along_numbers_stands_where_they_are_with_a_band():
    (axes,) = draw(one_line(low=(0.5, 1.5, 3.5), high=(2.0, 3.0, 5.0))).axes
    (line,) = axes.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([0.1, 0.5, 0.9], [1, 2, 4])
    (band,) = axes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
    assert {(0.1, 0.5), (0.1, 2.0), (0.9, 3.5), (0.9, 5.0)} <= corners


def test_a_line_along_text_has_even_spaces_and_a_bar_for_each_interval(monkeypatch):
    canvas = draw(one_line(x=("reference", "0.3", "0.99"), low=(None, 1.0, 3.0), high=(None, 3.0, 5.0)))
    (axes,) = canvas.axes
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 2]
    bars = [segment.tolist() for segment in axes.collections[0].get_segments() if len(segment)]
    assert bars == [[[1, 1], [1, 3]], [[2, 3], [2, 5]]]
    assert {"reference", "0.3", "0.99"} <= set(texts(canvas, monkeypatch))


def test_what_does_not_exist_is_a_gap():
    line = draw(one_line(y=(1.0, None, 4.0))).axes[0].lines[0]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]


def test_chance_is_dashed_in_the_colour_of_its_line_and_named_once():
    canvas = draw(curves())
    for axes in canvas.axes:
        dashed = [line for line in axes.lines if line.is_dashed()]
        lines = [line for line in axes.lines if not line.is_dashed()]
        assert [line.get_color() for line in dashed] == [line.get_color() for line in lines]
        assert [line.get_ydata().tolist() for line in dashed] == [(line.get_ydata() / 2).tolist() for line in lines]
    assert set(legend(canvas)) == {*METHODS, "by chance"}


def test_a_name_has_one_colour_and_mark_in_all_panels_and_no_two_names_share_both():
    first, second = (
        {line.get_label(): (line.get_color(), line.get_marker()) for line in axes.lines if not line.is_dashed()}
        for axes in draw(curves([f"method {i}" for i in range(12)])).axes
    )
    assert first == second
    assert len(set(first.values())) == 12


def test_lines_at_text_stand_side_by_side_around_their_position():
    lines = [line for line in draw(curves()).axes[0].lines if not line.is_dashed()]
    places = [line.get_xdata()[2] for line in lines]
    assert sorted(places) == places
    assert len(set(places)) == 5
    assert np.mean(places) == pytest.approx(2)
    assert max(places) - min(places) < 0.5


def test_a_single_line_without_a_name_needs_no_legend():
    assert draw(one_line(name="")).legends == []


def test_curves_may_have_a_diagonal():
    assert [line.get_slope() for line in draw(replace(one_line(), diagonal=True)).axes[0].lines[1:]] == [1]


# ----------------------------------------------------------------------------------------------------------- planes


def test_panels_stand_in_their_places_with_the_names_of_rows_and_columns(monkeypatch):
    figure = planes()
    shuffled = [0, 4, 2, 3, 1, 5]
    canvas = draw(replace(figure, panels=tuple(figure.panels[i] for i in shuffled)))
    grid = {axes.get_title().split("\n")[-1]: axes.get_position() for axes in canvas.axes}
    columns = [grid[f"population_{k}"].x0 for k in range(3)]
    assert columns == pytest.approx([grid[f"population_{k}"].x0 for k in range(3, 6)])
    rows = [grid[f"population_{k}"].y0 for k in (0, 3)]
    assert rows == pytest.approx([grid[f"population_{k}"].y0 for k in (1, 4)])
    assert rows[0] > rows[1]
    assert len({round(x, 3) for x in columns}) == 3
    found = texts(canvas, monkeypatch)
    assert {"Sup", "SCL", "dense\npopulation_0", "population_3", "90 %\npopulation_1"} <= set(found)
    assert sum("silhouette 0.41" in text for text in found) == 6


def test_a_place_without_a_panel_stays_empty(monkeypatch):
    figure = planes()
    canvas = draw(replace(figure, panels=figure.panels[1:]))
    assert "Sup" in texts(canvas, monkeypatch)
    assert sorted(bool(axes.collections) for axes in canvas.axes) == [False] + [True] * 5


def test_points_have_the_colours_of_their_classes_in_every_panel():
    figure = planes(200, panels=2, places=False)
    canvas = draw(figure)
    for axes, panel in zip(canvas.axes, figure.panels, strict=True):
        seen = {
            tuple(place): tuple(colour[:3])
            for each in axes.collections
            for place, colour in zip(each.get_offsets().tolist(), each.get_facecolors(), strict=True)
        }
        expected = [to_rgb(tone(label)) for label in figure.labels]
        places = np.stack([panel.x, panel.y], axis=1).tolist()
        assert [seen[tuple(place)] for place in places] == [pytest.approx(each) for each in expected]
    assert legend(canvas) == list(CLASSES)


def test_no_class_lies_on_top_of_all_others():
    labels = np.repeat(np.arange(5), 100)
    x = np.arange(500.0)
    figure = Planes(**named(), labels=labels, classes=CLASSES, panels=(PlanePanel("", x, x),))
    (points,) = draw(figure).axes[0].collections
    order = labels[points.get_offsets()[:, 0].astype(int)]
    assert [len(set(order[start : start + 100])) for start in range(0, 500, 100)] == [5] * 5


def test_planes_have_no_scales_and_a_unit_is_as_long_both_ways():
    for axes in draw(planes()).axes:
        assert (len(axes.get_xticks()), len(axes.get_yticks()), axes.get_aspect()) == (0, 0, 1)


def test_classes_without_an_example_are_not_in_the_legend():
    figure = replace(planes(200, panels=1), labels=np.full(200, 3))
    assert legend(draw(figure)) == ["cat"]


def test_too_many_classes_are_counted_not_named():
    assert legend(draw(planes(2000, [f"class {i}" for i in range(100)], panels=1))) == [
        "100 classes, a colour and a mark each"
    ]


# -------------------------------------------------------------------------------------------------------- exemplars


def test_images_stand_in_rows_of_six_over_what_either_population_says():
    shown = images(7)
    canvas = draw(exemplars(7), shown)
    for axes, image in zip(canvas.axes, shown, strict=True):
        assert (np.asarray(axes.images[0].get_array()) == image.transpose(1, 2, 0)).all()
    assert canvas.axes[0].get_xlabel() == "dense: airplane\nsparse: cat"
    assert canvas.axes[1].get_xlabel() == "dense: automobile\nsparse: deer"
    corners = [(round(axes.get_position().x0, 3), round(axes.get_position().y0, 3)) for axes in canvas.axes]
    assert len({y for _, y in corners[:6]}) == 1
    assert corners[6][0] == corners[0][0]
    assert corners[6][1] < corners[0][1]


def test_grey_images_go_from_black_to_white_whatever_they_hold():
    (axes,) = draw(exemplars(1), np.full((1, 1, 4, 4), 100, np.uint8)).axes
    assert axes.images[0].get_array().shape == (4, 4)
    assert axes.images[0].get_clim() == (0, 255)
    assert axes.images[0].get_cmap().name == "gray"


def test_an_svg_holds_the_images_in_their_own_pixels():
    svg = ElementTree.fromstring(to_svg(draw(exemplars(2), images(2))))
    for element, image in zip(svg.findall(".//{*}image"), images(2), strict=True):
        data = element.get("{http://www.w3.org/1999/xlink}href").partition(",")[2]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        assert pixels.shape == (8, 8, 3)
        assert (pixels == image.transpose(1, 2, 0)).all() or (pixels == image.transpose(1, 2, 0)[::-1]).all()


def test_at_most_24_examples_are_shown():
    assert len(draw(exemplars(30), images(30)).axes) == 24


def test_without_images_their_places_are_empty_and_the_figure_says_why(monkeypatch):
    canvas = draw(exemplars(3), "the data have changed")
    found = texts(canvas, monkeypatch)
    assert "Images are not shown: the data have changed" in found
    assert "dense: airplane\nsparse: cat" in found
    assert not any(axes.images for axes in canvas.axes)


def test_the_name_of_a_population_is_shortened_alike_below_all_images():
    canvas = draw(exemplars(10, pruned="scl_oneshot_with_a_long_name_0.9"), images(10))
    names = {axes.get_xlabel().split("\n")[1].partition(":")[0] for axes in canvas.axes}
    assert len(names) == 1
    assert "…" in names.pop()
    labels = [axes.get_xlabel().split("\n")[1].partition(": ")[2] for axes in canvas.axes]
    assert labels == [CLASSES[(i + 3) % 10] for i in range(10)]


def test_no_exemplars_are_said_to_be_none(monkeypatch):
    assert texts(draw(exemplars(0), images(0)), monkeypatch) == ["no examples changed"]
