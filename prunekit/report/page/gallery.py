"""The examples that changed, for a page: cards that a script lays out, and their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.comparison import Comparison
from prunekit.figures import Exemplar
from prunekit.observed import StudyColumns
from prunekit.report.arrays import ImageReader, NoImagesError
from prunekit.report.page.sprites import COLUMNS, Sheets, sheets

MOST_CARDS = 20_000
"""Cards of all comparisons together."""
MOST_IMAGES = 4_500_000
"""Characters of all images together."""
DIGITS = 4
"""Decimals of a share of votes."""


@dataclass(frozen=True)
class Gallery:
    """What the script of the page shows."""

    data: dict[str, Any]
    """JSON: classes; ids and labels of the examples, and whether these are known; width, height and columns of their
    thumbnails in the sheets, which are data URIs in the same order, and whether they are exact; comparisons, each with
    its numbers of members, how many examples changed in all, and its cards (example, label before, label after,
    share before, share after, change), the largest change first."""
    no_images: str
    """Why there are no images; "" where there are."""


def build_gallery(
    columns: StudyColumns,
    comparisons: Sequence[Comparison],
    exemplars: Sequence[Sequence[Exemplar]],
    images: ImageReader,
) -> Gallery:
    """Choose the cards of every comparison, as many as the page has room for, and pack their images.

    Each comparison has its largest changes of votes, up to the same number. An image is stored once, however many
    comparisons show it.
    """
    most = MOST_CARDS // max(1, len(comparisons))
    order, rank = _order([[each.index for each in changed[:most]] for changed in exemplars])
    packed, no_images = Sheets((), 0, 0, 0), ""
    try:
        packed = sheets(images, order.tolist(), MOST_IMAGES)
    except NoImagesError as error:
        no_images = str(error)
    if not no_images and packed.count < len(order):
        most, order = int(rank[packed.count]), order[: packed.count]
    position = {int(index): i for i, index in enumerate(order)}
    number = {name: i for i, name in enumerate(columns.classes)}
    data = {
        "classes": list(columns.classes),
        "ids": [columns.ids[i] for i in order],
        "labels": columns.labels[order].tolist(),
        "labelled": columns.labelled,
        "width": packed.width,
        "height": packed.height,
        "columns": COLUMNS,
        "exact": packed.exact,
        "sheets": list(packed.uris),
        "comparisons": [
            {
                "reference": comparison.reference,
                "pruned": comparison.pruned,
                "members": [len(columns.populations[x].seeds) for x in (comparison.reference, comparison.pruned)],
                "total": len(changed),
                "cards": [_card(each, position, number) for each in changed[:most]],
            }
            for comparison, changed in zip(comparisons, exemplars, strict=True)
        ],
    }
    return Gallery(data, no_images)


def _order(indices: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return every example once, the first of all comparisons first, then their second ones; and those ranks."""
    ranks = np.concatenate([np.arange(len(each)) for each in indices] or [np.zeros(0, np.int64)])
    examples = np.concatenate([np.asarray(each, np.int64) for each in indices] or [ranks])
    turn = np.argsort(ranks, kind="stable")
    _, first = np.unique(examples[turn], return_index=True)
    chosen = turn[np.sort(first)]
    return examples[chosen], ranks[chosen]


def _card(each: Exemplar, position: dict[int, int], number: dict[str, int]) -> list[float]:
    shares = (round(float(share), DIGITS) for share in (each.reference_share, each.pruned_share, each.change))
    return [position[each.index], number[each.reference], number[each.pruned], *shares]
