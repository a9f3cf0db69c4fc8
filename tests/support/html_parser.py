"""What a browser would see in a page, apart by where it comes from: recorded files, the scale of a chart, our words."""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

EMPTY = {"meta", "br"}
"""Tags that nothing ends."""


@dataclass
class Element:
    """A tag with its attributes, while its text is read."""

    tag: str
    attributes: dict[str, str]


@dataclass
class Traced(HTMLParser):
    """Reads a page.

    Args:
        page: Its HTML.
        shown: What stands in elements that name a source: source and text.
        words: What stands in no such element.
        elements: All of them, in order.
    """

    page: str
    shown: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    within: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read it."""
        super().__init__()
        self.feed(self.page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Go into an element."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in EMPTY and not (self.get_starttag_text() or "").endswith("/>"):
            self.within.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, and those in it that need no end."""
        while self.within and self.within.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note a text by where it stands; the white space between elements is none."""
        if not data.strip():
            return
        sources = [element.attributes["data-source"] for element in self.within if "data-source" in element.attributes]
        aside = any(
            element.tag == "style" or "axis" in element.attributes.get("class", "").split() for element in self.within
        )
        if sources:
            self.shown.append((sources[-1], data))
        elif not aside:
            self.words.append(data)


def recorded(data: Path, source: str) -> Any:
    """Read what a source names: a file below the data folder, and a place in it (JSON Pointer)."""
    name, _, pointer = source.partition("#")
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    if name.endswith(".parquet"):
        found: Any = {row["id"]: row for row in pq.read_table(data / name).to_pylist()}
    else:
        found = json.loads((data / name).read_text(encoding="utf-8"))
    for step in steps:
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def agrees(text: str, value: Any) -> bool:
    """Say whether a text is a value: a text whole or up to where it was cut off, a number at the precision shown."""
    if isinstance(value, str):
        return text == value or (text.endswith("…") and len(text) > 100 and value.startswith(text[:-1]))
    shown = Decimal(text.replace(",", ""))
    unit = Decimal(1).scaleb(int(shown.as_tuple().exponent))
    return abs(Decimal(value) - shown) <= unit / 2


HOSTILE = """<script>alert("1")</script> & <img src='https://example.org/x.png' onerror=alert(2)> <b>"""

OUTER = {"src", "href", "srcset", "data", "action", "poster", "background", "formaction", "onerror", "onload"}
"""Attributes by which a page fetches something or runs something."""


class Read(HTMLParser):
    """What a browser would see in a page: its tags, its attributes, its texts and its styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, the names of its attributes, and its style."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value or "" for name, value in attrs if name == "style"]

    def handle_data(self, data: str) -> None:
        """Note a text, apart from the style sheet and the white space between elements."""
        if not data.strip():
            return
        (self.styles if self.lasttag == "style" else self.texts).append(data)
