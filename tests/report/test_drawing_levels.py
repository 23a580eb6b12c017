"""What figures of a study over λ draw: levels, logarithmic scales, scatters."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_drawing import CRITERIA, LAMBDAS, legend, levels, named, one_line, texts
from matplotlib.colors import to_rgb

from prunekit.figures import CurvePanel, Curves, Line, PointGroup, Scatter
from prunekit.report.drawing import draw


def test_a_level_is_dashed_without_marks_from_end_to_end_with_one_bar_there():
    for axes in draw(levels()).axes:
        lines = {line.get_label(): line for line in axes.lines}
        dashed = [name for name in CRITERIA if lines[name].is_dashed()]
        assert dashed == ["magnitude", "snip", "grasp", "synflow"]
        ends = []
        for name in dashed:
            x = lines[name].get_xdata()
            assert (x[0], x[-1]) == (-0.4, len(LAMBDAS) - 0.6)
            assert lines[name].get_marker() == "None"
            (bar,) = axes.collections[list(lines).index(name)].get_segments()
            ends.append(bar[0][0])
            assert bar[:, 1].tolist() == pytest.approx([lines[name].get_ydata()[0] / 2, lines[name].get_ydata()[0] * 2])
        assert len(set(ends)) == 4  # one beside another, behind the last position
        assert min(ends) > len(LAMBDAS) - 1
        beside = [lines[name].get_xdata()[0] for name in CRITERIA[:3]]
        assert np.mean(beside) == pytest.approx(0)


def test_a_level_is_dashed_in_the_legend():
    canvas = draw(levels())
    handles = dict(zip(legend(canvas), canvas.legends[0].get_lines(), strict=True))
    assert {name for name, handle in handles.items() if handle.is_dashed()} == set(CRITERIA[3:])


def test_a_level_along_numbers_has_a_band():
    (axes,) = draw(one_line(dashed=True, low=(0.5, 1.5, 3.5), high=(2.0, 3.0, 5.0))).axes
    assert axes.lines[0].is_dashed()
    assert axes.lines[0].get_xdata().tolist() == [0.1, 0.5, 0.9]
    assert len(axes.collections) == 1


def test_a_logarithmic_panel_has_plain_numbers_and_holds_all_that_is_above_0(monkeypatch):
    panel = CurvePanel("ΔL", (Line("qm", (1.0, 2.0, 3.0), (0.0, 1e-5, 1000.0), (None, -1.0, 500.0)),), log=True)
    canvas = draw(Curves(**named(), x_name="round", panels=(panel,)))
    (axes,) = canvas.axes
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 1e-6 < low < 1e-5 < 1000 < high < 1e4
    ticks = {text for text in texts(canvas, monkeypatch) if text[0].isdigit()}
    assert {"1e-5", "0.1", "1000"} & ticks
    assert not any("{" in text or "e+" in text for text in ticks)


def test_an_interval_without_end_does_not_crush_the_curve():
    line = Line("qm", (1.0, 2.0), (1.0, 2.0), (1e-30, 0.5), (1e30, 4.0))
    (axes,) = draw(Curves(**named(), x_name="round", panels=(CurvePanel("ΔL", (line,), log=True),))).axes
    low, high = axes.get_ylim()
    assert high / low < 1000


@pytest.mark.parametrize(("low", "high"), [(0.11, 0.14), (0.2, 0.9), (0.1, 3), (0.05, 30), (1e-7, 1e3)])
def test_logarithmic_axes_have_two_to_seven_numbers(low, high, monkeypatch):
    panel = CurvePanel("ΔL", (Line("qm", ("a", "b"), (low, high)),), log=True)
    found = texts(draw(Curves(**named(), x_name="λ", panels=(panel,))), monkeypatch)
    assert 2 <= sum(text[0].isdigit() for text in found) <= 9


def test_long_lines_have_marks_at_some_points_alone():
    x = tuple(map(float, range(140)))
    (axes,) = draw(one_line(x=x, y=x)).axes
    assert 140 / axes.lines[0].get_markevery() <= 30


def test_whole_numbers_have_whole_ticks(monkeypatch):
    found = texts(draw(one_line(x=(1.0, 2.0, 3.0))), monkeypatch)
    assert {"1", "2", "3"} <= set(found)
    assert "1.5" not in found


# ---------------------------------------------------------------------------------------------------------- scatter


def two_groups(**rest):
    small = PointGroup("snip", np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    large = PointGroup("qm", np.array([0.1, 0.0, np.nan, 10.0]), np.array([1.0, 2.0, 3.0, np.inf]))
    said = {"groups": (small, large), "x_name": "ΔL", "y_name": "gap", **rest}
    return Scatter(**named(), **said)


def test_groups_differ_in_colour_and_mark_and_the_smallest_is_drawn_last():
    groups = (PointGroup("a", np.arange(3.0), np.arange(3.0)), PointGroup("b", np.arange(9.0), np.arange(9.0)))
    canvas = draw(two_groups(groups=groups))
    first, second = canvas.axes[0].collections
    assert (first.get_label(), second.get_label()) == ("b", "a")
    assert to_rgb(first.get_facecolor()[0][:3]) != to_rgb(second.get_facecolor()[0][:3])
    assert len(first.get_paths()[0].vertices) != len(second.get_paths()[0].vertices)
    assert legend(canvas) == ["a", "b"]
    handles = canvas.legends[0].get_lines()
    assert to_rgb(handles[0].get_color()) == to_rgb(second.get_facecolor()[0][:3])


@pytest.mark.parametrize(("log", "left"), [(False, [[0.1, 1.0], [0.0, 2.0]]), (True, [[0.1, 1.0]])])
def test_points_that_cannot_be_shown_are_left_out(log, left):
    (axes,) = draw(two_groups(log_x=log)).axes
    shown = {each.get_label(): each.get_offsets().tolist() for each in axes.collections}
    assert shown == {"qm": left, "snip": [[1, 3], [2, 4]]}
    assert axes.get_xscale() == ("log" if log else "linear")
    low, high = axes.get_xlim()
    assert low < min(x for x, _ in left)
    assert high > 2


def test_a_group_of_which_nothing_is_shown_is_not_in_the_legend():
    empty = PointGroup("lm", np.array([np.nan]), np.array([1.0]))
    canvas = draw(two_groups(groups=(*two_groups().groups, empty)))
    assert legend(canvas) == ["snip", "qm"]


def test_the_note_stands_above_and_the_diagonal_only_where_it_is_asked_for(monkeypatch):
    canvas = draw(two_groups(note="ρ = 0.21 [−0.05, 0.44]", diagonal=True))
    assert "ρ = 0.21 [−0.05, 0.44]" in texts(canvas, monkeypatch)
    assert [line.get_slope() for line in canvas.axes[0].lines] == [1]
    assert not draw(two_groups()).axes[0].lines


def test_the_diagonal_does_not_widen_the_axes():
    plain, crossed = (draw(two_groups(diagonal=wanted)).axes[0] for wanted in (False, True))
    assert (plain.get_xlim(), plain.get_ylim()) == (crossed.get_xlim(), crossed.get_ylim())


def test_a_group_without_a_name_needs_no_legend():
    group = PointGroup("", np.arange(3.0), np.arange(3.0))
    assert draw(two_groups(groups=(group,))).legends == []
