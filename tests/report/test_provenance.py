"""Laws of a value that knows where it stands."""

import pytest

from pipeline.html.render import format_value, template_environment
from pipeline.register.report.page import REPORT_TEMPLATES
from pipeline.register.report.provenance import TracedValue
from tests.support.html_parser import Traced

FILE = TracedValue("a/b.json", {"x/y": {"t~": [{"value": 1234.5678, "low": -0.5, "high": 2.0, "n": 1200}]}})
METRIC = FILE["x/y"]["t~"][0]
CELLS = template_environment(REPORT_TEMPLATES).get_template("cells.html.j2").module


def test_a_value_names_its_place_by_rfc_6901() -> None:
    """Slash and tilde in a name are written so that the pointer leads to it and nowhere else; its name comes back."""
    assert METRIC["value"].pointer == "/x~1y/t~0/0/value"
    assert METRIC["value"].value == 1234.5678
    assert [FILE["x/y"].key, FILE["x/y"]["t~"].key] == ["x/y", "t~"]
    assert FILE.pointer == ""


def test_members_and_items_come_in_their_order_each_with_its_place() -> None:
    """Of an object its members, of a list its items."""
    found = TracedValue("f", {"b": [3, 4], "a": 5})
    assert [(one.pointer, one.value) for one in found] == [("/b", [3, 4]), ("/a", 5)]
    assert [(one.pointer, one.value) for one in found["b"]] == [("/b/0", 3), ("/b/1", 4)]
    assert "a" in found
    assert "c" not in found


@pytest.mark.parametrize("key", ["missing", "x"])
def test_what_is_not_there_is_not_made_up(key: str) -> None:
    """A page cannot show a number that no file has."""
    with pytest.raises(KeyError):
        FILE[key]


def test_what_is_shown_bears_its_source() -> None:
    """Value, both ends of the interval and n, each at its precision."""
    at = "a/b.json#/x~1y/t~0/0"
    assert Traced(format_value(METRIC["value"], ",.1f")).shown == [(f"{at}/value", "1,234.6")]
    assert Traced(CELLS.interval(METRIC, "+.2f")).shown == [(f"{at}/low", "-0.50"), (f"{at}/high", "+2.00")]
    assert Traced(CELLS.metric_cell(METRIC)).shown == [
        (f"{at}/value", "1234.568"), (f"{at}/low", "-0.500"), (f"{at}/high", "2.000"), (f"{at}/n", "1,200"),
    ]  # fmt: skip


def test_hostile_names_and_texts_stay_text() -> None:
    """Neither a name in the pointer nor a text ends its attribute or its element."""
    hostile = "'><script>alert(1)</script>&\""
    read = Traced(TracedValue("f", {hostile: hostile})[hostile].__html__())
    assert [element.tag for element in read.elements] == ["span"]
    assert "".join(text for _, text in read.shown) == hostile
    assert read.elements[0].attributes["data-source"] == "f#/" + hostile.replace("/", "~1")
