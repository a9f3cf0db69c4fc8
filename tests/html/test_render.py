"""Laws of rendering: texts stay texts, numbers have their format, and what is missing is an error."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from pipeline.html.render import format_value, render_template


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Templates of a stage: a page in the shared frame, with a table."""
    (tmp_path / "page.html.j2").write_text(
        """{% extends "base.html.j2" %}
{% import "elements.html.j2" as elements %}
{% block title %}{{ title }}{% endblock %}
{% block body %}
{% call elements.number_table(["name", title]) %}
<tr><td>{{ name }}</td><td>{{ number | fmt(",.1f") }}</td></tr>
{% endcall %}
{% endblock %}
""",
        encoding="utf-8",
    )
    return tmp_path


def test_texts_stay_texts_wherever_they_stand(folder: Path) -> None:
    """In the title, in a table's head and in its cells markup is shown and not read."""
    page = render_template(folder, "page.html.j2", title="a <b>", name="<i>&", number=1)
    assert "<title>a &lt;b&gt;</title>" in page
    assert "<th>name</th><th>a &lt;b&gt;</th>" in page
    assert "<tr><td>&lt;i&gt;&amp;</td><td>1.0</td></tr>" in page
    assert page.startswith("<!doctype html>")


def test_a_value_that_is_missing_is_an_error(folder: Path) -> None:
    """No page has a gap where a number should be."""
    for missing in ("name", "number"):
        given = {"name": "b", "number": 1}
        del given[missing]
        with pytest.raises(UndefinedError, match=f"'{missing}' is undefined"):
            render_template(folder, "page.html.j2", title="a", **given)


def test_a_number_has_its_format_and_what_is_unknown_is_a_dash() -> None:
    """A text is escaped, markup stays markup."""
    assert format_value(12345.678, ",.1f") == "12,345.7"
    assert format_value(None, ",.1f") == "-"
    assert format_value("<b>") == "&lt;b&gt;"
    assert format_value(Markup("<b>")) == "<b>"
