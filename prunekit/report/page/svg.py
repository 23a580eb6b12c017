"""A drawn figure as SVG that stands inside a page: several of them do not clash, and they follow its colours."""

from __future__ import annotations

from xml.etree import ElementTree

INK = "#010203"
"""What text and lines are drawn in, for the page to replace with its own colour; nothing else has it."""
LEAST, MOST = 1.2, 1.8
"""Pixels of a page that a point of a figure may take: letters of 7 points can be read, and are no headlines."""


def inline_svg(svg: bytes, prefix: str, label: str) -> tuple[str, float]:
    """Return an SVG file as an ``<svg>`` element with the role of an image, described by ``label``; and its own width.

    Its ids begin with ``prefix``; what was drawn in ``INK`` has the colour of the text around it; its width is that of
    its place, within limits. The width is in points.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _name(child.tag) in ("metadata", "style", "title", "desc"):  # a style would be the whole page's
                parent.remove(child)
    for element in root.iter():
        element.tag = _name(element.tag)
        attributes = {_name(key): _adapted(_name(key), value, prefix) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(attributes)
    points = float(root.attrib.pop("width").removesuffix("pt"))
    del root.attrib["height"]  # follows from the width and the view box
    root.attrib |= {"role": "img", "aria-label": label}
    room = f"min-width: {LEAST * points:.0f}px; max-width: {MOST * points:.0f}px"
    root.attrib["style"] = f"{room}; stroke-linejoin: round; stroke-linecap: butt"
    return ElementTree.tostring(root, encoding="unicode"), points


def _name(qualified: str) -> str:
    """Return a name without its namespace: a page knows which elements are SVG."""
    return qualified.rpartition("}")[2]


def _adapted(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return prefix + value
    if key == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return value.replace("url(#", f"url(#{prefix}").replace(INK, "currentColor")
