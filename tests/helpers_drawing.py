"""Figures as data to draw, and what was drawn of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from prunekit.figures import (
    Bar,
    BarPanel,
    Bars,
    CurvePanel,
    Curves,
    Exemplar,
    Exemplars,
    Line,
    PlanePanel,
    Planes,
    PointGroup,
    Points,
    Scatter,
)

LONG = "a_population_whose_name_is_far_too_long_for_any_figure_{}"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPARSITIES = ("reference", "0.3", "0.5", "0.7", "0.9", "0.95", "0.99")
METHODS = ("Sup/GMP", "Sup/One-Shot", "SCL/GMP", "SCL/ΔGMP", "SCL/One-Shot")

CRITERIA = ("qm", "lm", "obd", "magnitude", "snip", "grasp", "synflow")
LAMBDAS = ("0", "1e-5", "1e-4", "1e-3", "0.01", "0.1", "1", "10", "100")


def named(name="a", **rest):
    return {"name": name, "title": f"Title of {name}", "caption": f"Caption of {name}", **rest}


def points(n=300, marked=0.1, **rest):
    rng = np.random.default_rng(0)
    x = rng.gamma(9, 0.05, n)
    said = {"x_name": "Q-Score in dense", "y_name": "Q-Score in sparse", "marked": rng.random(n) < marked, **rest}
    return Points(**named("points"), x=x, y=x + rng.normal(0, 0.05, n), **said)


def bars(categories=CLASSES, panels=1, **rest):
    rng = np.random.default_rng(0)
    counts = lambda: rng.integers(0, 40, len(categories))  # noqa: E731
    parts = [("Sup, shared", "Sup", False), ("Sup, unique", "Sup", True), ("SCL, shared", "SCL", False)]
    return Bars(
        **named("bars"),
        categories=tuple(categories),
        value_name=rest.get("value_name", "PIEs"),
        panels=tuple(
            BarPanel(f"dense → sparse_{k}", tuple(Bar(name, counts(), *how) for name, *how in parts))
            for k in range(panels)
        ),
    )


def curves(methods=METHODS, positions=SPARSITIES, **rest):
    def line(name, k):
        y = tuple(80.0 + 3 * k + i for i in range(len(positions)))
        return Line(name, positions, y, tuple(v - 2 for v in y), tuple(v + 2 for v in y), tuple(v / 2 for v in y))

    lines = tuple(line(name, k) for k, name in enumerate(methods))
    panels = (CurvePanel("PIEs", lines), CurvePanel("accuracy, %", lines))
    return Curves(**named("curves", **rest), x_name="sparsity", panels=panels)


def scatter(n=200, groups=CRITERIA, **rest):
    rng = np.random.default_rng(0)
    said = {"x_name": "ΔL", "y_name": "gap after fine-tuning, points", "note": "ρ = 0.21 [−0.05, 0.44]", **rest}
    parts = np.array_split(rng.lognormal(-1, 1, n), len(groups)) if groups else []
    return Scatter(
        **named("scatter"),
        groups=tuple(PointGroup(name, x, 2 + rng.normal(size=len(x))) for name, x in zip(groups, parts, strict=True)),
        **said,
    )


def levels(names=CRITERIA, positions=LAMBDAS, panels=2, scale=1.0, **rest):
    """Return curves over λ on a logarithmic scale: the first three have a line, the others a level."""

    def line(k, name):
        y = tuple(scale * 0.2 * (k + 1) * (1 + 0.2 * i * (k < 3)) for i in range(len(positions)))
        low, high = tuple(v / 2 for v in y), tuple(v * 2 for v in y)
        return Line(name, positions, y, low, high, dashed=k >= 3)

    lines = tuple(line(k, name) for k, name in enumerate(names))
    parts = tuple(CurvePanel("ΔL", lines, f"{1 + 13 * k} rounds", log=True) for k in range(panels))
    return Curves(**named("levels"), x_name="regularisation λ", panels=parts, **rest)


def one_line(**rest):
    said = {"name": "GMP", "x": (0.1, 0.5, 0.9), "y": (1.0, 2.0, 4.0)} | rest
    return Curves(**named(), x_name="sparsity", panels=(CurvePanel("PIEs", (Line(**said),)),))


def planes(n=200, classes=CLASSES, places=True, panels=6, note="silhouette 0.41, k-NN accuracy 93.2 %"):
    rng = np.random.default_rng(0)
    where = [(row, column) for row in ("Sup", "SCL") for column in ("dense", "90 %", "99 %")]
    return Planes(
        **named("planes"),
        labels=rng.integers(0, len(classes), n),
        classes=tuple(classes),
        panels=tuple(
            PlanePanel(f"population_{k}", *rng.normal(size=(2, n)), note, where[k] if places else None)
            for k in range(panels)
        ),
    )


def exemplars(n=24, reference="dense", pruned="sparse", labels=CLASSES):
    shown = tuple(Exemplar(i, labels[i % len(labels)], 1.0, labels[(i + 3) % len(labels)], 0.9, 0.9) for i in range(n))
    return Exemplars(**named("exemplars"), reference=reference, pruned=pruned, exemplars=shown)


def images(n=24, channels=3):
    return np.random.default_rng(0).integers(0, 256, (n, channels, 8, 8)).astype(np.uint8)


def drawn_texts(canvas, monkeypatch):
    """Draw, and return every text that was drawn and its box in inches: left, bottom, right, top."""
    agg = FigureCanvasAgg(canvas)
    found = []
    draw = Text.draw

    def record(text, renderer, *rest):
        if text.get_visible() and text.get_text().strip():
            found.append(text)
        return draw(text, renderer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", record)
        agg.draw()
    renderer = agg.get_renderer()
    boxes = [np.array(text.get_window_extent(renderer).extents) / canvas.dpi for text in found]
    return list(zip(found, boxes, strict=True))


def legend(canvas):
    return [text.get_text() for each in canvas.legends for text in each.get_texts()]


def texts(canvas, monkeypatch):
    return [text.get_text() for text, _ in drawn_texts(canvas, monkeypatch)]


def overlapping(boxes):
    """Return the pairs of boxes that share more than a hair."""
    hair = 0.01
    return [
        (i, j)
        for (i, one), (j, other) in combinations(enumerate(boxes), 2)
        if min(one[2], other[2]) - max(one[0], other[0]) > hair and min(one[3], other[3]) - max(one[1], other[1]) > hair
    ]
