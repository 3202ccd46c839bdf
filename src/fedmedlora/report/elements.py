"""HTML and SVG elements as text. Everything that is not `Markup` is escaped where it enters."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# What neither HTML nor XML may hold; lone surrogates could not be written as UTF-8.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(value: str) -> Markup:
    """HTML of a text: `escape("a < b")` is "a &lt; b". Markup stays as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(_FORBIDDEN.sub("\ufffd", value)))


def join(parts: Iterable[str], between: str = "") -> Markup:
    """One piece of HTML from many."""
    return Markup(escape(between).join(escape(part) for part in parts))


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """`element("td", "a<b", class_="n")` is `<td class="n">a&lt;b</td>`; `stroke_width` becomes `stroke-width`."""
    pairs = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(v)}"' for name, v in attributes.items())
    return Markup(f"<{tag}{pairs}>{join(children)}</{tag}>")


def head(content: str, scope: str = "col", columns: int = 1, rows: int = 1) -> Markup:
    """A header cell. scope: col, colgroup, row or rowgroup."""
    spans = {"colspan": str(columns)} if columns > 1 else {}
    if rows > 1:
        spans["rowspan"] = str(rows)
    return element("th", content, scope=scope, **spans)


def number(content: str) -> Markup:
    """A cell set to the right."""
    return element("td", content, class_="n")


def words(content: str, columns: int = 1) -> Markup:
    """A cell set to the left."""
    return element("td", content, colspan=str(columns)) if columns > 1 else element("td", content)


def small(content: str) -> Markup:
    """A second line, smaller, under a cell's value."""
    return element("small", content)


def missing(why: str) -> Markup:
    """A dash, and why there is no value."""
    return join(["— ", small(why)])


def table(caption: str, heads: Sequence[Sequence[Markup]], rows: Sequence[Sequence[Markup]]) -> Markup:
    """A table that scrolls in its own box when it is wider than the page."""
    return grouped_table(caption, heads, [rows])


def grouped_table(
    caption: str, heads: Sequence[Sequence[Markup]], groups: Sequence[Sequence[Sequence[Markup]]]
) -> Markup:
    """A table whose rows come in groups, one `tbody` each."""
    inside = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", *(element("tr", *row) for row in heads)),
        *(element("tbody", *(element("tr", *row) for row in rows)) for rows in groups),
    )
    return element("div", inside, class_="scroll", tabindex="0", role="region", aria_label=plain(caption))


def plain(content: str) -> str:
    """Text of a piece of HTML, for an attribute: tags out, entities back."""
    return html.unescape(re.sub("<[^>]*>", "", content)) if isinstance(content, Markup) else content


def paragraph(*content: str) -> Markup:
    """A paragraph."""
    return element("p", *content)


def bullets(items: Iterable[str]) -> Markup:
    """A list without order."""
    return element("ul", *(element("li", item) for item in items))


def terms(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names and what they stand for."""
    return element("dl", *(part for name, value in pairs for part in (element("dt", name), element("dd", value))))


def panels(charts: Iterable[Markup]) -> Markup:
    """Charts side by side, as many as the page's width holds; empty ones are left out."""
    return element("div", *(chart for chart in charts if chart), class_="panels")


def fold(title: str, *content: str, closed: bool = False) -> Markup:
    """A part that the reader may open and close; in print all are open."""
    state = {} if closed else {"open": "open"}
    return element("details", element("summary", title), *content, **state)
