"""The `span` format: the source copied with tags put in. Render targets, parse whatever a model wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from fedmedlora.corpus.document import Document, Entity
from fedmedlora.markup.align import Alignment
from fedmedlora.markup.parsed import Found, Parsed, Rendered, final_answer, in_order
from fedmedlora.markup.representable import nestable
from fedmedlora.markup.tags import close_tag, escape, open_tag, read_escaped, tag_pattern

_ANY_TAG = re.compile(r"<\s{0,2}(?P<close>/?)\s{0,2}(?P<label>[A-Za-z][A-Za-z0-9_-]{0,100})\s{0,2}/?\s{0,2}>")


def render_ner(document: Document, types: Collection[str], max_depth: int = 3) -> Rendered:
    """The text with its entities of `types` in tags."""
    chosen = [entity for entity in document.entities if entity.type in types]
    return _render(document.text, chosen, types, max_depth)


def modifiers_of(document: Document, head: str, asked: Collection[str]) -> list[Entity]:
    """The modifiers of the entity `head`, typed by their relation, for relation types in `asked`."""
    tails = {entity.id: entity for entity in document.entities}
    return [
        Entity(relation.tail, relation.type, tails[relation.tail].spans)
        for relation in document.relations
        if relation.head == head and relation.type in asked
    ]


def render_re(document: Document, head: str, asked: Collection[str], max_depth: int = 3) -> Rendered:
    """The text with the modifiers of the entity `head` in tags; the entity itself stands unmarked."""
    known = {*asked, document.entity(head).type}
    return _render(document.text, modifiers_of(document, head, asked), known, max_depth)


def mark_target(document: Document, head: str, asked: Collection[str] = ()) -> str:
    """The escaped text with every piece of the entity `head` in tags: the source of an RE prompt.

    asked: the modifier types asked for; their look-alikes are escaped as in the target.
    """
    entity = document.entity(head)
    pieces = [Entity(str(start), entity.type, ((start, end),)) for start, end in entity.spans]
    return _tagged(document.text, pieces, {*asked, entity.type})


def parse_span(output: str, source: str, allowed: Collection[str], also_escaped: Collection[str] = ()) -> Parsed:
    """The entities of types `allowed` that `output` marks, as spans in `source`. Never raises.

    also_escaped: labels whose look-alikes the prompt escaped though they were not asked for (RE: the target's type).
    Problems counted: "malformed tag", "unknown label", "hallucinated" (marked text that the source lacks), "snapped to
    words" (it differs a little), "duplicate", "text differs", "unfinished reasoning".
    """
    labels = frozenset(allowed)
    escaped = labels | frozenset(also_escaped)
    reading = _read(output, tag_pattern(labels), escaped)
    if reading.text != source:
        answer = final_answer(output, source)
        if answer is None:
            return Parsed([], Counter({"unfinished reasoning": 1}))
        reading = _read(answer, _ANY_TAG, escaped, _Words(source, labels))
    problems: Counter[str] = Counter()
    known = [tag for tag in reading.tags if tag.label in labels]
    strangers = Counter((tag.label, tag.closes) for tag in reading.tags if tag.label not in labels)
    for label in {name for name, _ in strangers}:
        problems["unknown label"] += max(strangers[label, False], strangers[label, True])
    marked = _pair(known, problems)
    found = list(_locate(marked, reading.text, source, problems))
    return in_order(found, problems)


def _render(text: str, entities: Sequence[Entity], labels: Collection[str], max_depth: int) -> Rendered:
    kept, dropped = nestable(entities, max_depth)
    return Rendered(_tagged(text, kept, labels), dropped)


def _tagged(text: str, entities: Sequence[Entity], labels: Collection[str]) -> str:
    """Put tags around nesting entities, which stand in canonical order."""
    escaped = escape(text, labels)
    pieces: list[str] = []
    ends: list[tuple[int, str]] = []
    at = 0

    def copy_to(place: int) -> None:
        nonlocal at
        pieces.append(escaped.text[at:place])
        at = place

    for entity in entities:
        start, end = escaped.from_source(entity.start, entity.end)
        while ends and ends[-1][0] <= start:
            close, label = ends.pop()
            copy_to(close)
            pieces.append(close_tag(label))
        copy_to(start)
        pieces.append(open_tag(entity.type))
        ends.append((end, entity.type))
    for close, label in reversed(ends):
        copy_to(close)
        pieces.append(close_tag(label))
    copy_to(len(escaped.text))
    return "".join(pieces)


class _Tag(NamedTuple):
    """at: where it stands in the reading's text."""

    at: int
    label: str
    closes: bool


class _Reading(NamedTuple):
    """An output without its tags, unescaped, and the tags."""

    text: str
    tags: list[_Tag]


class _Words(NamedTuple):
    """What a lenient reading must tell from tags: the source, and the real labels."""

    source: str
    labels: frozenset[str]


def _read(output: str, pattern: re.Pattern[str], escaped: frozenset[str], words: _Words | None = None) -> _Reading:
    pieces: list[str] = []
    raw: list[_Tag] = []
    last = size = 0
    in_source: dict[str, bool] = {}
    lower = {name.lower(): name for name in words.labels} if words else {}
    for match in pattern.finditer(output):
        label = match["label"]
        if words is not None and label not in words.labels:
            if in_source.setdefault(match[0], match[0] in words.source):
                continue
            label = lower.get(label.lower(), label)
        pieces.append(output[last : match.start()])
        size += match.start() - last
        last = match.end()
        raw.append(_Tag(size, label, match["close"] == "/"))
    text, mapped = read_escaped("".join([*pieces, output[last:]]), escaped)
    return _Reading(text, [tag._replace(at=mapped.to_source(tag.at, tag.at)[0]) for tag in raw])


def _pair(tags: Sequence[_Tag], problems: Counter[str]) -> list[tuple[int, int, str]]:
    """Entities as (start, end, label): each closing tag takes the nearest open one of its label.

    Crossing entities are kept. Of what stays alone, an opening tag followed directly by another opening one of its
    label, or by a closing one of another label, is read as the entity that was meant.
    """
    opened: dict[str, list[int]] = {}
    partner: dict[int, int] = {}
    for place, tag in enumerate(tags):
        if not tag.closes:
            opened.setdefault(tag.label, []).append(place)
        elif opened.get(tag.label):
            partner[opened[tag.label].pop()] = place
    alone = sorted(set(range(len(tags))) - set(chain.from_iterable(partner.items())))
    meant = -1
    for place, after in pairwise([*alone, -1]):
        if place == meant:
            continue
        problems["malformed tag"] += 1
        if after != place + 1 or tags[place].closes:
            continue
        if tags[after].closes == (tags[after].label != tags[place].label):
            partner[place] = meant = after
    around: list[int] = []
    for start, end in sorted(partner.items()):
        while around and around[-1] < start:
            around.pop()
        if around and around[-1] < end:
            problems["malformed tag"] += 1
        around.append(end)
    return [(tags[start].at, tags[end].at, tags[start].label) for start, end in sorted(partner.items())]


def _locate(marked: Sequence[tuple[int, int, str]], text: str, source: str, problems: Counter[str]) -> Iterator[Found]:
    same = text == source
    alignment = None if same else Alignment(text, source)
    if text.split() != source.split():
        problems["text differs"] += 1
    for start, end, label in marked:
        if start == end or (alignment and text[start:end].isspace()):
            problems["malformed tag"] += 1
        elif alignment is None:
            yield Found(label, ((start, end),))
        elif (placed := alignment.to_source(start, end)) is None:
            problems["hallucinated"] += 1
        else:
            span, whole = placed
            if not whole:
                problems["snapped to words"] += 1
            yield Found(label, (span,))
