"""The `json` format, for API models: strings and which appearance of each is meant, since they cannot count offsets.

    {"entities": [{"type": "problem", "text": "cough", "occurrence": 2}]}
    {"modifiers": [{"type": "form", "pieces": [{"text": "left", "occurrence": 1}, {"text": "hip", "occurrence": 3}]}]}

Appearances are counted from 1, overlapping ones too. Nested, crossing and discontinuous entities are all held.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, pairwise

from fedmedlora.corpus.document import Document, Entity, Json, Span
from fedmedlora.errors import EnvironmentProblem
from fedmedlora.markup.parsed import Found, Parsed, Rendered, final_answer, in_order
from fedmedlora.markup.span import modifiers_of

_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_LIST_KEYS = ("entities", "modifiers")


def render_json_ner(document: Document, types: Collection[str]) -> Rendered:
    """The entities of `types` as one JSON object. Only duplicates of type and spans are dropped."""
    return _render("entities", document.text, [entity for entity in document.entities if entity.type in types])


def render_json_re(document: Document, head: str, asked: Collection[str]) -> Rendered:
    """The modifiers of the entity `head` as one JSON object. Only duplicates of type and spans are dropped."""
    return _render("modifiers", document.text, modifiers_of(document, head, asked))


def parse_json(output: str, source: str, allowed: Collection[str]) -> Parsed:
    """The entities of types `allowed` in a model's JSON, NER or RE, as spans in `source`. Never raises on any output.

    Code fences, chatter, truncation and the usual slips are repaired. Without an occurrence the next unused appearance
    is taken. Problems counted: "malformed JSON" (nothing usable), "repaired JSON", "malformed item", "missing text",
    "unknown label", "hallucinated" (text that the source lacks), "text differs" (found in other case or spacing),
    "occurrence out of range" (kept when there is one appearance only), "duplicate", "unfinished reasoning".

    Raises EnvironmentProblem when the output needs repair and json_repair is not installed.
    """
    problems: Counter[str] = Counter()
    answer = final_answer(output, source)
    if answer is None:
        return Parsed([], Counter({"unfinished reasoning": 1}))
    items = _items(_load(answer, problems), {name.lower() for name in allowed})
    if items is None:
        return Parsed([], problems + Counter({"malformed JSON": 1}))
    finder = _Finder(source, problems)
    lower = {name.lower(): name for name in allowed}
    found = []
    for item in items:
        label, pieces = _item(item)
        label = lower.get(label, label)
        if not label or pieces is None:
            problems["malformed item"] += 1
        elif label not in allowed:
            problems["unknown label"] += 1
        elif (spans := finder.spans(label, pieces)) is not None:
            found.append(Found(label, spans))
    return in_order(found, problems)


def _render(key: str, text: str, entities: Sequence[Entity]) -> Rendered:
    found = [Found(entity.type, entity.spans) for entity in entities]
    once, dropped = in_order(found, Counter())
    items: list[Json] = []
    for label, spans in once:
        pieces: list[dict[str, Json]] = [
            {"text": text[start:end], "occurrence": _occurrence(text, start, end)} for start, end in spans
        ]
        items.append({"type": label, **(pieces[0] if len(pieces) == 1 else {"pieces": list[Json](pieces)})})
    return Rendered(json.dumps({key: items}, ensure_ascii=False), dropped)


def _occurrence(text: str, start: int, end: int) -> int:
    """Which appearance of text[start:end] stands at `start`, from 1."""
    return 1 + sum(1 for _ in appearances(text[: end - 1], text[start:end]))


def appearances(text: str, wanted: str) -> Iterator[int]:
    """Where `wanted` (not empty) stands in `text`, overlapping places too, from the beginning."""
    at = text.find(wanted)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)


def _load(answer: str, problems: Counter[str]) -> Json:
    try:
        return _plain(json.loads(answer))
    except (ValueError, RecursionError):
        pass
    problems["repaired JSON"] += 1
    fenced = _FENCED.search(answer)
    body = fenced[1] if fenced else answer
    begin = min((place for place in (body.find("{"), body.find("[")) if place >= 0), default=-1)
    if begin < 0:
        return None
    body = body[begin:]
    try:
        return _plain(json.JSONDecoder().raw_decode(body)[0])
    except (ValueError, RecursionError):
        return _repaired(body)


def _repaired(body: str) -> Json:
    try:
        from json_repair import repair_json
    except ImportError as error:
        raise EnvironmentProblem(
            "json_repair is not installed, and an answer is not valid JSON. Install it: pip install json_repair."
        ) from error
    try:
        return _plain(repair_json(body, return_objects=True, skip_json_loads=True))
    except (ValueError, RecursionError):
        return None


def _plain(value: object) -> Json:
    """Narrow a decoded value; whatever JSON does not know becomes None."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return None


def _items(value: Json, allowed: Collection[str]) -> list[Json] | None:
    """The list of items, under whatever roof a model put it; None when there is none."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    for key in _LIST_KEYS:
        listed = value.get(key)
        if isinstance(listed, list):
            return listed
    if "type" in value:
        return [value]
    grouped = {name: listed for name, listed in value.items() if isinstance(listed, list)}
    if any(name.strip().lower() in allowed for name in grouped):
        return [
            {"type": name, **one} if isinstance(one, dict) else {"type": name, "text": one}
            for name, listed in grouped.items()
            for one in listed
        ]
    return next(iter(grouped.values()), None)


def _item(item: Json) -> tuple[str, list[tuple[str, int | None]] | None]:
    """The label and the pieces of one item; pieces is None when it has another shape."""
    if not isinstance(item, dict):
        return "", None
    label = item.get("type")
    listed = item.get("pieces", [item])
    if not isinstance(label, str) or not isinstance(listed, list) or not listed:
        return "", None
    pieces: list[tuple[str, int | None]] = []
    for piece in listed:
        if not isinstance(piece, dict):
            return "", None
        text = piece.get("text")
        pieces.append((text if isinstance(text, str) else "", _number(piece)))
    return label.strip().lower(), pieces


def _number(piece: Mapping[str, Json]) -> int | None:
    value = piece.get("occurrence")
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value.strip()[:9])
    return int(value) if isinstance(value, int | float) and -1e9 < value < 1e9 else None


class _Finder:
    """Looks texts up in one source."""

    def __init__(self, source: str, problems: Counter[str]) -> None:
        self._source = source
        self._problems = problems
        self._used: Counter[tuple[str, str]] = Counter()

    def spans(self, label: str, pieces: Sequence[tuple[str, int | None]]) -> tuple[Span, ...] | None:
        """The spans of one entity in order; None, with the reason counted, when one cannot be found."""
        found = []
        for text, occurrence in pieces:
            if not text or (text.isspace() and text not in self._source):
                self._problems["missing text"] += 1
                return None
            if occurrence is None:
                self._used[label, text] += 1
                occurrence = self._used[label, text]
            span = self._find(text, occurrence)
            if span is None:
                return None
            found.append(span)
        found.sort()
        if any(after[0] < before[1] for before, after in pairwise(found)):
            self._problems["malformed item"] += 1
            return None
        return tuple(found)

    def _find(self, text: str, occurrence: int) -> Span | None:
        places = [(at, at + len(text)) for at in islice(appearances(self._source, text), max(occurrence, 2))]
        if not places:
            places = self._loosely(text)
            self._problems["text differs" if places else "hallucinated"] += 1
            if not places:
                return None
        if 1 <= occurrence <= len(places):
            return places[occurrence - 1]
        self._problems["occurrence out of range"] += 1
        return places[0] if len(places) == 1 else None

    def _loosely(self, text: str) -> list[Span]:
        """Where the words of `text` stand in other case or spacing."""
        words = re.findall(r"\w+|[^\w\s]", text)
        if not words:
            return []
        before = r"(?<!\w)" if words[0][0].isalnum() else ""
        after = r"(?!\w)" if words[-1][-1].isalnum() else ""
        pattern = before + r"\s*".join(re.escape(word) for word in words) + after
        return [match.span() for match in re.finditer(pattern, self._source, re.IGNORECASE)]
