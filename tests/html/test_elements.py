"""The elements of pages: texts stay texts."""

from pipeline.html.elements import PAGE_STYLE, html_table, page_start


def test_a_title_stays_a_text() -> None:
    """Markup in a title is shown and not read."""
    assert "<title>a &lt;b&gt;</title>" in page_start("a <b>", PAGE_STYLE)


def test_heads_of_a_table_stay_texts() -> None:
    """Rows come as they are given; heads are escaped."""
    assert html_table(["<i>", "b"], ["<tr><td>1</td></tr>"]) == (
        "<div class='wide'><table><tr><th>&lt;i&gt;</th><th>b</th></tr><tr><td>1</td></tr></table></div>"
    )
