from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fedmedlora.corpus.document import Entity
from fedmedlora.markup.representable import nestable
from fedmedlora.markup.tags import Escaped, close_tag, escape, open_tag, read_escaped, unescape

LABELS = ("drug", "drug_form", "problem")
PIECES = [
    "<",
    ">",
    "/",
    "\\",
    "<drug>",
    "</drug>",
    "<\\problem>",
    "<\\\\/drug_form>",
    "drug",
    "a",
    "é",
    "e\u0301",
    "🩺",
    "\r\n",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


def test_tags() -> None:
    assert open_tag("problem") == "<problem>"
    assert close_tag("problem") == "</problem>"


def test_escape_adds_one_backslash() -> None:
    # "a <drug> b <\drug> c </drug>": '<' at 2, 11, 21; a backslash after each, the later ones moved by 1 and 2.
    assert escape("a <drug> b <\\drug> c </drug>", LABELS) == Escaped(
        "a <\\drug> b <\\\\drug> c <\\/drug>", (3, 13, 24)
    )


def test_ordinary_text_is_left_alone() -> None:
    for text in ("", "INR < 2, Na > 3", "<test> <drug >", "<Drug>", "<\\drug", "a & b"):
        assert escape(text, LABELS) == Escaped(text)
        assert unescape(text, LABELS) == text
    assert escape("<drug>", []) == Escaped("<drug>")


def test_spans_both_ways() -> None:
    # source  x<drug>y   x0 <1 d2 … >6 y7;   escaped  x<\drug>y   x0 <1 \2 d3 … >7 y8
    escaped = escape("x<drug>y", LABELS)
    assert escaped.from_source(0, 2) == (0, 2)
    assert escaped.from_source(2, 7) == (3, 8)
    assert escaped.from_source(0, 8) == (0, 9)
    assert escaped.to_source(3, 8) == (2, 7)
    assert escaped.to_source(2, 3) == (2, 2)
    assert escaped.to_source(1, 3) == (1, 2)


@given(texts)
def test_escape_laws(text: str) -> None:
    escaped = escape(text, LABELS)
    assert unescape(escaped.text, LABELS) == text
    assert read_escaped(escaped.text, LABELS) == (text, escaped)
    assert not re.search(r"</?(?:drug|drug_form|problem)>", escaped.text)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            assert escaped.to_source(*escaped.from_source(start, end)) == (start, end)


def entity(name: str, kind: str, *spans: tuple[int, int]) -> Entity:
    return Entity(name, kind, spans)


def test_canonical_order() -> None:
    given_order = [
        entity("4", "test", (0, 4)),
        entity("3", "drug", (0, 4)),
        entity("2", "test", (0, 9)),
        entity("1", "drug", (9, 10)),
    ]
    assert [one.id for one in nestable(given_order).kept] == ["2", "3", "4", "1"]
    assert [one.id for one in nestable(given_order, order=("test", "drug")).kept] == ["2", "4", "3", "1"]


def test_what_cannot_nest_is_counted() -> None:
    entities = [
        entity("1", "problem", (0, 10)),
        entity("2", "problem", (5, 12)),  # crosses 1, which starts earlier
        entity("3", "problem", (0, 10)),  # the same again
        entity("4", "drug", (0, 10)),
        entity("5", "test", (2, 4)),
        entity("6", "test", (2, 3)),  # inside 1, 4 and 5: the fourth level
        entity("7", "test", (0, 2), (11, 12)),
        entity("8", "test", (10, 12)),  # touches 1: no crossing
    ]
    result = nestable(entities)
    assert [one.id for one in result.kept] == ["4", "1", "5", "8"]
    assert result.dropped == Counter(
        {"crosses another entity": 1, "duplicate": 1, "nested deeper than 3": 1, "discontinuous span": 1}
    )
    assert [one.id for one in nestable(entities, max_depth=4).kept] == ["4", "1", "5", "6", "8"]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.sampled_from(LABELS)), max_size=12))
def test_kept_entities_nest_and_none_is_lost(given_spans: list[tuple[int, int, str]]) -> None:
    entities = [entity(str(i), kind, (start, start + size)) for i, (start, size, kind) in enumerate(given_spans)]
    kept, dropped = nestable(entities)
    assert len(kept) + dropped.total() == len(entities)
    for one in kept:
        for other in kept:
            assert not one.start < other.start < one.end < other.end
        assert sum(other.start <= one.start and one.end <= other.end for other in kept) <= 3 + len(LABELS)
    assert nestable(kept).kept == kept
