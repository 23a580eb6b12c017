"""Pages of made-up studies, and what stands in them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np

from prunekit.comparison import Comparison
from prunekit.report.arrays import About, ArrayStudy
from prunekit.report.build import build_report
from prunekit.report.page import to_html

HOSTILE = '<script>alert(1)</script></script>"&'


def make_hostile(study):
    """Call the data, a class, the examples, the pruned population and whatever is said by a name that is markup."""
    arrays = study.columns
    sparse = arrays.populations["sparse"]
    sparse.name = HOSTILE
    names = (HOSTILE, *arrays.classes[1:])
    ids = (*(f"{i}" for i in range(len(arrays.ids) - 1)), HOSTILE)
    populations = {"dense": arrays.populations["dense"], HOSTILE: sparse}
    last = len(ids) - 1
    sparse.columns["prediction"][:, last] = (populations["dense"]["prediction"][0, last] + 1) % len(names)
    populations["dense"].columns["prediction"][:, last] = populations["dense"]["prediction"][0, last]
    study.columns = ArrayStudy(names, ids, arrays.labels, populations)
    study.comparisons = [Comparison("dense", HOSTILE, None, True)]
    study.name = study.data["name"] = HOSTILE
    study.notes = study.readings = [HOSTILE]
    recipe = {"populations": {HOSTILE: {"from": HOSTILE, "stages": {HOSTILE: {"objective": HOSTILE}}}}}
    study.about = About(HOSTILE, recipe, HOSTILE, (0,), (HOSTILE,))


def pixels(shape=(3, 8, 8)):
    """Return images of noise, those of one position always the same."""
    return lambda indices: np.stack([np.random.default_rng(i).integers(0, 256, shape, np.uint8) for i in indices])


def page_of(study, comparisons=None):
    compared = study.comparisons if comparisons is None else comparisons
    return to_html(study, build_report(study, compared), compared)


def gallery_of(page):
    (found,) = re.findall(r'<script type="application/json" id="gallery-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def ids(self, tag):
        return [attributes["id"] for name, attributes in self.found if name == tag]
