"""Tables and figures as a page shows them."""

from __future__ import annotations

import re

import numpy as np
from helpers_page import Elements, page_of

from prunekit.comparison import Comparison
from prunekit.protocols import Measure
from prunekit.report.build import build_report
from prunekit.report.page import pictures, to_html
from prunekit.report.page.parts import position, shown_table
from prunekit.report.page.svg import INK, inline_svg
from prunekit.tables import Column, Number, Summary, Table

COMPARISONS = [Comparison("dense", "a", None, True), Comparison("a", "b", None, True)]


def test_cells_say_what_they_are():
    columns = (Column("Class"), Column("PIEs", ",d", "GMP"), Column("Accuracy", ".1f", "GMP"))
    number = Number(7, p=0.02, smallest_p=0.01, interval=(3.0, 9.0), chance=2.25)
    rows = [("cat", number, None), ("a name that is long enough to be given room", 3, 1.25)]
    table = shown_table(Table("PIEs: a → b", columns, rows, comparison=COMPARISONS[1]), COMPARISONS)
    assert table.groups == [("", 1), ("GMP", 2)]
    assert table.heads == [("Class", False), ("PIEs", True), ("Accuracy", True)]
    assert table.comparison == 1
    (cat, pies, absent), (long, _, accuracy) = table.rows
    assert (cat.text, cat.look, long.look) == ("cat", "short", "long")
    assert (pies.text, pies.look) == ("7*", "number marked")
    assert pies.hint == "95 % from 3.0 to 9.0; 2.2 by chance; p = 0.02, 0.01 at best"
    assert (absent.text, absent.look) == ("–", "number absent")
    assert accuracy.text == "1.2"


def test_what_is_about_all_comparisons_or_none_of_those_shown_has_no_position():
    assert [position(each, COMPARISONS) for each in COMPARISONS] == [0, 1]
    assert position(None, COMPARISONS) is None
    assert position(Comparison("a", "c", None, True), COMPARISONS) is None


class Untitled(Measure):
    """Has a table per comparison, none of which names it."""

    name = "untitled"

    def summarise(self, study, comparisons):
        columns = (Column("Pruned"),)
        return Summary(tables=[Table("Change", columns, [(each.pruned,)], comparison=each) for each in comparisons])


def test_a_table_is_shown_with_its_comparison_whatever_its_title(make):
    study = make()
    study.measures = [Untitled()]
    study.comparisons = [Comparison("dense", name, None, True) for name in ("control", "sparse")]
    shown = re.findall(r'<figure class="table" data-comparison="(.)">.*?<td[^>]*>(.*?)</td>', page_of(study), re.DOTALL)
    assert shown == [("0", "control"), ("1", "sparse")]


SVG = f"""<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="100pt" height="50pt"
 viewBox="0 0 100 50"><metadata>made by</metadata><defs><style type="text/css">*{{fill: red}}</style>
 <clipPath id="p1"><path id="m1" d="M 0 0"/></clipPath></defs><!-- <script> -->
 <g id="axes" clip-path="url(#p1)"><use xlink:href="#m1" style="stroke: {INK}; fill: #ff0000"/>
 <text>a &lt;b&gt;</text></g>
</svg>"""


def test_a_figure_inside_a_page_brings_no_ids_styles_or_colours_that_clash():
    found, width = inline_svg(SVG.encode(), "f1-", 'A "label" <b>')
    assert width == 100
    elements = Elements(found)
    assert [attributes.get("id") for tag, attributes in elements.found if "id" in attributes] == [
        "f1-p1",
        "f1-m1",
        "f1-axes",
    ]
    (use,) = [attributes for tag, attributes in elements.found if tag == "use"]
    assert use == {"href": "#f1-m1", "style": "stroke: currentColor; fill: #ff0000"}
    assert 'clip-path="url(#f1-p1)"' in found
    assert "a &lt;b&gt;" in found
    assert elements.found[0][1]["aria-label"] == 'A "label" <b>'
    for gone in ("metadata", "<style", "script", "xmlns", "<?xml", "height="):
        assert gone not in found


def test_figures_of_the_comparisons_that_changed_least_are_left_out(pictured, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PICTURED", 1)
    report = build_report(pictured, pictured.comparisons)
    drawn = pictures.draw_figures(report, pictured.comparisons)
    most = int(np.argmax([len(each) for each in report.exemplars]))
    assert {figure.comparison for figure in drawn.values()} <= {None, most}
    assert 0 < len(drawn) < len(pictures.drawable(report.figures))
    assert "--figures DIR" in to_html(pictured, report, pictured.comparisons)


def test_figures_for_which_there_is_no_room_are_left_out(pictured, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_CHARACTERS", 10)
    report = build_report(pictured, pictured.comparisons)
    assert pictures.draw_figures(report, pictured.comparisons) == {}
