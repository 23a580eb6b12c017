"""Pages of made-up studies, and what stands in them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np

from prunekit.report.build import build_report
from prunekit.report.page import to_html


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
