"""Cut a document into sentence windows that keep offsets, and put predictions on windows back together.

A window ends at a line break or a sentence end; one longer than the cap is cut at `;`, `,` or white space. At
evaluation the windows follow from the text alone (`keep_entities_whole=False`), so that no gold reaches the model
through them; for training they may also be moved or merged so that an entity stays whole.
"""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.errors import CorpusError

WINDOW_CHARACTERS = 600
"""Longest sentence window, in code points: one number, so that training and prediction cut alike."""

ENTITY_CUT = "entity cut by window"
RELATION_ACROSS = "relation across windows"
RELATION_OF_CUT = "relation of a cut entity"
ENTITY_TRIMMED = "entity trimmed of white space by window"
ENTITY_BLANK = "entity of white space only"

_LINE_BREAK = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
_CLOSING = r"[\"'”’»)\]]"
_CITATION = r"(?:\[\d+(?:\s?[,–-]\s?\d+)*\]|(?<=[^\W\d_]{3}\.)\d{1,2}(?:[,–-]\d{1,2})*(?=\s))"
_TERMINATOR = re.compile(rf"(?P<stop>[.!?…]+){_CITATION}?{_CLOSING}*{_CITATION}?(?P<gap>\s+)")
_OPENING = re.compile(r"[\"'“‘«(\[]*")
_BEFORE_STOP = re.compile(r"(?P<word>[^\s(\[\"'“‘]*)(?P<gap>\s*)$")
_LOOK_BACK = 40
_BULLETS = frozenset("-–•*")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_ENUMERATOR = re.compile(r"\s*[-–•*]?\s*\(?(?:\d{1,3}|[^\W\d_]|[ivxIVX]{1,5})")
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\w+",
        "dr drs mr mrs ms prof st jr sr vs cf eg ie viz fig figs eq eqs ref refs nos nr vol pp approx ca al resp incl "
        "excl max min temp wt ht hx dx rx tx sx pt pts dept ltd inc corp co ver tab tabs cap caps inj susp sol oint "
        "spp sp subsp var ext est jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri",
    )
)


@dataclass(frozen=True, slots=True)
class Window:
    """One piece of a document.

    start, end: code points into the document's text. document: the piece as a document of its own, with
    `text[start:end]`, the entities that lie whole in it and the relations between those, re-based, ids kept.
    """

    document_id: str
    start: int
    end: int
    document: Document


class WindowResult(NamedTuple):
    """The windows in order, and the annotations that none of them holds (reason → count)."""

    windows: list[Window]
    dropped: Counter[str]


def sentence_windows(
    document: Document, max_characters: int = WINDOW_CHARACTERS, *, keep_entities_whole: bool = False
) -> WindowResult:
    """Cut a document into sentence windows of at most `max_characters` code points.

    Every code point that is not white space lies in exactly one window; windows begin and end with one.
    keep_entities_whole: True, for training only, moves or merges boundaries that would cut an entity, where the cap
    allows it. False, for evaluation, looks at the text alone. Either way what no window holds is counted.

    Raises CorpusError when `max_characters` is under 1.
    """
    if max_characters < 1:
        raise CorpusError(f"max_characters is {max_characters}: expected at least 1.")
    text = document.text
    spans = [piece for sentence in sentence_spans(text) for piece in _split_long(text, sentence, max_characters, ())]
    if keep_entities_whole:
        hulls = [hull for entity in document.entities if (hull := _trim(text, (entity.start, entity.end))) is not None]
        spans = _keep_whole(text, spans, max_characters, sorted(set(hulls)))
    return _windows(document, spans)


def sentence_spans(text: str) -> list[Span]:
    """The sentences of a text as (start, end), without white space at their ends. Lines always end a sentence.

    Abbreviations, initials, decimals and list numbers do not.
    """
    spans: list[Span] = []
    line_start = 0
    for line_end, next_line in [*(match.span() for match in _LINE_BREAK.finditer(text)), (len(text), len(text))]:
        start = line_start
        for match in _TERMINATOR.finditer(text, line_start, line_end):
            if _ends_sentence(text, line_start, match):
                spans.append((start, match.start("gap")))
                start = match.end()
        spans.append((start, line_end))
        line_start = next_line
    return [trimmed for span in spans if (trimmed := _trim(text, span)) is not None]


def join_windows(document: Document, windows: Sequence[Window]) -> Document:
    """The document with the entities and relations of its windows, back in its own offsets.

    An id that two windows use is made unique by the window's start (`T1@120`).

    Raises CorpusError when a window is not of this document.
    """
    entities: list[Entity] = []
    relations: list[Relation] = []
    used_entities: set[str] = set()
    used_relations: set[str] = set()
    for window in windows:
        if window.document_id != document.id or window.document.text != document.text[window.start : window.end]:
            raise CorpusError(
                f"window [{window.start}, {window.end}] of document '{window.document_id}' does not fit document "
                f"'{document.id}'. Join windows with the document that they were cut from."
            )
        names: dict[str, str] = {}
        for entity in window.document.entities:
            names[entity.id] = _unused(entity.id, window.start, used_entities)
            spans = tuple((start + window.start, end + window.start) for start, end in entity.spans)
            entities.append(Entity(names[entity.id], entity.type, spans))
        for relation in window.document.relations:
            name = _unused(relation.id, window.start, used_relations)
            relations.append(Relation(name, relation.type, names[relation.head], names[relation.tail]))
    return replace(document, entities=tuple(entities), relations=tuple(relations))


def _unused(name: str, start: int, used: set[str]) -> str:
    while name in used:
        name = f"{name}@{start}"
    used.add(name)
    return name


def _trim(text: str, span: Span) -> Span | None:
    """The span without white space at its ends; None when nothing is left."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _ends_sentence(text: str, line_start: int, match: re.Match[str]) -> bool:
    after = _OPENING.match(text, match.end())
    following = text[after.end() : after.end() + 1] if after else ""
    if not (following.isalnum() or following in _BULLETS) or following.islower():
        return False
    before = _BEFORE_STOP.search(text, max(line_start, match.start() - _LOOK_BACK), match.start())
    word = before["word"] if before else ""
    # In tokenised text a stop stands apart; a decimal's does too, and so does the "?" that a lost "≥" leaves behind.
    apart = before is not None and before["gap"] != ""
    if apart and following.isdigit():
        return False
    if match["stop"] != ".":
        return True
    if len(word) == 1 and word.isalpha():
        return False
    if word.lower() == "no" and following.isdigit():
        return False
    if word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word):
        return False
    return _ENUMERATOR.fullmatch(text, line_start, match.start()) is None


def _split_long(text: str, span: Span, cap: int, hulls: Sequence[Span]) -> list[Span]:
    """Cut a span into trimmed pieces of at most `cap`, outside `hulls` (sorted entity extents) where possible."""
    pieces: list[Span] = []
    rest = _trim(text, span)
    while rest is not None:
        start, end = rest
        cut = end if end - start <= cap else _cut(text, start, start + cap, hulls)
        piece = _trim(text, (start, cut))
        if piece is not None:
            pieces.append(piece)
        rest = _trim(text, (cut, end))
    return pieces


def _cut(text: str, start: int, limit: int, hulls: Sequence[Span]) -> int:
    """Where to cut after `start`, at `limit` at the latest: a late `;`, then a late `,`, then the last white space."""
    inside = [hull for hull in hulls if hull[0] < limit and hull[1] > start]
    spaces = [at for at in range(start + 1, limit + 1) if text[at : at + 1].isspace()]
    allowed = [at for at in spaces if not any(first < at < last for first, last in inside)]
    for places in (allowed, spaces):
        for mark in ";,":
            late = [at for at in places if text[at - 1] == mark and at - start > (limit - start) // 2]
            if late:
                return late[-1]
        if places:
            return places[-1]
    edges = [edge for hull in inside for edge in hull if start < edge <= limit]
    free = [at for at in edges if not any(first < at < last for first, last in inside)]
    return max(free) if free else _outside_cluster(text, start, limit)


def _outside_cluster(text: str, start: int, limit: int) -> int:
    """The last place up to `limit` that does not part a letter from its combining marks or joiners."""
    at = limit
    while at > start + 1 and (
        unicodedata.category(text[at])[0] == "M" or text[at] == "\u200d" or text[at - 1] == "\u200d"
    ):
        at -= 1
    return at if at > start + 1 else limit


def _keep_whole(text: str, spans: list[Span], cap: int, hulls: Sequence[Span]) -> list[Span]:
    """Merge, or cut again elsewhere, the windows whose boundary lies inside an entity."""
    for first, last in hulls:
        ends = [end for _, end in spans]
        left = bisect.bisect_right(ends, first)
        right = bisect.bisect_left(ends, last)
        if left >= right:
            continue
        touched = (spans[left][0], spans[right][1])
        merged = [touched] if touched[1] - touched[0] <= cap else _split_long(text, touched, cap, hulls)
        if _cuts(merged, hulls) < _cuts(spans[left : right + 1], hulls):
            spans = [*spans[:left], *merged, *spans[right + 1 :]]
    return spans


def _cuts(spans: Sequence[Span], hulls: Sequence[Span]) -> int:
    """How many hulls the boundaries between neighbouring spans cut."""
    pairs = list(itertools.pairwise(spans))
    return sum(any(first < left[1] and last > right[0] for left, right in pairs) for first, last in hulls)


def _windows(document: Document, spans: Sequence[Span]) -> WindowResult:
    dropped: Counter[str] = Counter()
    ends = [end for _, end in spans]
    inside: list[list[Entity]] = [[] for _ in spans]
    home: dict[str, int] = {}
    for entity in document.entities:
        trimmed = _trimmed_entity(document.text, entity)
        if trimmed is None:
            dropped[ENTITY_BLANK] += 1
            continue
        at = bisect.bisect_right(ends, trimmed.start)
        start, end = spans[at]
        if not (start <= trimmed.start and trimmed.end <= end):
            dropped[ENTITY_CUT] += 1
            continue
        whole = entity if start <= entity.start and entity.end <= end else trimmed
        dropped[ENTITY_TRIMMED] += whole is not entity
        home[entity.id] = at
        inside[at].append(Entity(entity.id, entity.type, tuple((a - start, b - start) for a, b in whole.spans)))
    within: list[list[Relation]] = [[] for _ in spans]
    for relation in document.relations:
        if relation.head not in home or relation.tail not in home:
            dropped[RELATION_OF_CUT] += 1
        elif home[relation.head] != home[relation.tail]:
            dropped[RELATION_ACROSS] += 1
        else:
            within[home[relation.head]].append(relation)
    windows = [
        Window(document.id, span[0], span[1], _piece(document, span, entities, relations))
        for span, entities, relations in zip(spans, inside, within, strict=True)
    ]
    return WindowResult(windows, +dropped)


def document_of(window: Document) -> str:
    """The id of the document that a window was cut from."""
    return window.id.rpartition("[")[0]


def _trimmed_entity(text: str, entity: Entity) -> Entity | None:
    spans = tuple(trimmed for span in entity.spans if (trimmed := _trim(text, span)) is not None)
    if not spans:
        return None
    return entity if spans == entity.spans else Entity(entity.id, entity.type, spans)


def _piece(document: Document, span: Span, entities: Sequence[Entity], relations: Sequence[Relation]) -> Document:
    start, end = span
    return Document(
        id=f"{document.id}[{start}:{end}]",
        text=document.text[start:end],
        entities=tuple(entities),
        relations=tuple(relations),
        patient=document.patient,
        labels=document.labels,
    )
