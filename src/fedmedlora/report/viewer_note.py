"""One note as one model answered it: the text with a line under every annotation, and the mistakes in words.

No reader depends on colour: a line's style says whose it is (gold solid, the model's dashed, both double), a tag's
letters what kind of mistake it is, and its number is that of the line below the text that says the same in words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.report.elements import Markup, element, join
from fedmedlora.report.notes import Answer, Item, Mark
from fedmedlora.report.numbers import decimal
from fedmedlora.report.viewer_layout import Stroke, Under, lanes, pieces
from fedmedlora.scoring.errors import ErrorClass

LANES = 8
"""Lanes that the style sheet knows; a stroke below the last is drawn there."""


class Kind(NamedTuple):
    """How a class of mistakes is shown. letter: in tags; key: in class names and filters; meaning: for the legend."""

    letter: str
    key: str
    meaning: str


KINDS: dict[ErrorClass, Kind] = {
    "correct": Kind("✓", "ok", "type and boundaries agree"),
    "boundary": Kind("B", "b", "the right type, and other boundaries that overlap"),
    "type": Kind("T", "t", "the right boundaries, and another type"),
    "type and boundary": Kind("TB", "tb", "another type, and other boundaries that overlap"),
    "missed": Kind("M", "m", "in gold, and not found"),
    "spurious": Kind("S", "s", "found, and not in gold"),
    "wrong target": Kind("W", "w", "the right modifier, given to another entity"),
}
# They would turn round what follows them, tags included; each is shown as one sign, so that offsets still hold.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_SIDES = {"gold": "g", "predicted": "p", "both": "a"}


def note_view(identity: str, answer: Answer, opened: bool) -> Markup:
    """The note as a part of the page that opens and closes. identity: unique on the page."""
    found = Counter(item.kind for item in answer.items)
    counts = [f"{found[kind]} {kind}" for kind in KINDS if found[kind] or kind == "correct"]
    title = element(
        "summary",
        element("bdi", answer.note),
        element("span", f"{answer.site} · {answer.model}", class_="of"),
        element("span", ", ".join(counts), class_="of"),
    )
    text, names = _TURNING.sub("\ufffd", answer.text), _names(answer.items)
    listed = [place for place, item in enumerate(answer.items) if item.kind != "correct" or item.task == "re"]
    words = [_in_words(identity, place, names[place], answer.items[place], text) for place in listed]
    return element(
        "details",
        title,
        element(
            "div", *_drawn(identity, text, answer.items, names, set(listed)), class_=f"text h{_height(answer.items)}"
        ),
        element("ol", *words) if words else element("p", "Nothing is wrong here, and no modifier is marked."),
        class_="view",
        data_site=answer.site,
        data_model=answer.model,
        **({"open": "open"} if opened else {}),
    )


def strokes(items: Sequence[Item]) -> list[Stroke]:
    """The lines of a note's annotations: one where gold and prediction cover the same text, else one for each."""
    found: list[Stroke] = []
    for place, item in enumerate(items):
        gold, predicted = (None if mark is None else mark.entity.spans for mark in (item.gold, item.predicted))
        if gold is not None and gold == predicted:
            found.append(Stroke(place, "both", gold))
            continue
        found += [Stroke(place, "gold", gold)] if gold is not None else []
        found += [Stroke(place, "predicted", predicted)] if predicted is not None else []
    return found


def _names(items: Sequence[Item]) -> list[str]:
    """What an annotation's tag begins with: its letters, and a number that counts through the note's annotations."""
    return [f"{KINDS[item.kind].letter}{place}" for place, item in enumerate(items, start=1)]


def _height(items: Sequence[Item]) -> int:
    return min(LANES, 1 + max(lanes(strokes(items)), default=0))


def _drawn(identity: str, text: str, items: Sequence[Item], names: Sequence[str], listed: set[int]) -> list[Markup]:
    parts: list[Markup] = []
    before: tuple[Under, ...] = ()
    for piece in pieces(text, strokes(items)):
        tags = [_tag(identity, place, part, names, items, listed) for place, part in piece.tags]
        # What goes on from the piece before runs on under the tags too.
        going_on = tuple(one for one in piece.under if one in before)
        parts += [_underlined(join(tags), going_on, items)] if tags else []
        parts.append(_underlined(text[piece.start : piece.end], piece.under, items))
        before = piece.under
    return parts


def _underlined(content: str, under: Sequence[Under], items: Sequence[Item]) -> Markup:
    inner = join([content])
    for one in reversed(under):
        style = "gap" if one.gap else _SIDES[one.stroke.side]
        kind = KINDS[items[one.stroke.item].kind].key
        lane = min(one.lane, LANES - 1)
        inner = element("u", inner, class_=f"{style} k-{kind} l{lane}", data_i=str(one.stroke.item))
    return inner


def _tag(identity: str, place: int, part: int, names: Sequence[str], items: Sequence[Item], listed: set[int]) -> Markup:
    """The tag before an annotation; before its other parts, their number. It leads to the words below the text."""
    item, key = items[place], KINDS[items[place].kind].key
    if part > 1:
        return element("span", f"{names[place]}·{part}", class_=f"tag k-{key}", data_i=str(place))
    text, labels = f"{names[place]} {_types(item)}", " ".join(dict.fromkeys(mark.entity.type for mark in item.marks))
    data = {"class_": f"tag k-{key}", "data_i": str(place), "data_k": key, "data_l": labels, "tabindex": "-1"}
    if place not in listed:
        return element("span", text, id=f"{identity}-t{place}", **data)
    about = f"{identity}-i{place}"
    return element("a", text, id=f"{identity}-t{place}", href=f"#{about}", aria_describedby=about, **data)


def _types(item: Item) -> str:
    return " → ".join(dict.fromkeys(mark.entity.type for mark in item.marks))


def _in_words(identity: str, place: int, name: str, item: Item, text: str) -> Markup:
    """`B4 boundary: gold problem “severe pain”, found problem “pain”`, with the entity where it is a modifier."""
    key = KINDS[item.kind].key
    back = element("a", name, class_=f"tag k-{key}", href=f"#{identity}-t{place}")
    parts: list[str] = [back, f" {item.kind}: "]
    if item.kind == "correct" and item.predicted is not None:
        parts.append(_chip(item.predicted, text))
    else:
        sides = [("gold ", item.gold), ("found ", item.predicted)]
        said = [join([side, _chip(mark, text)]) for side, mark in sides if mark is not None]
        parts.append(join(said, ", "))
    # Who comes here from the tag by keyboard takes the focus along, so that keys go on working.
    return element("li", *parts, id=f"{identity}-i{place}", data_i=str(place), tabindex="-1")


def _chip(mark: Mark, text: str) -> Markup:
    """`type “quotation”`, and after an arrow the entity that a modifier belongs to."""
    parts: list[str] = [_quoted(mark, text)]
    if mark.head is not None:
        parts += [" → ", _quoted(Mark(mark.head, None, None), text)]
    sure = f" ({decimal(mark.confidence, 2)})" if mark.confidence is not None else ""
    return element("span", *parts, sure, class_="chip")


def _quoted(mark: Mark, text: str) -> Markup:
    words = " … ".join(" ".join(text[start:end].split()) for start, end in mark.entity.spans)
    return join([element("b", mark.entity.type), " ", element("q", element("bdi", words))])
