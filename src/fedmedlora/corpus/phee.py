"""PHEE's JSON lines: a sentence (`context`) with nested pharmacovigilance events.

An entity's type is its role as a dotted path (`Effect`, `Treatment.Drug`, `Subject.Age`, `Severity`, …). One annotation
that plays two roles becomes two entities: the first keeps the id, the other is `T7/Treatment.Combination.Drug`.
`meta["events"]` keeps the structure: `{"id", "type", "arguments": {role: [entity ids]}}`, and where present `"values"`
(`{"Severity": "High"}`) and `"combinations"`, a list of the same shape.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedmedlora.corpus.document import Document, Entity, Json, ReadResult, Span
from fedmedlora.corpus.files import read_text
from fedmedlora.errors import CorpusError
from fedmedlora.record import write_atomic

MISMATCH = "entity whose text does not match its offsets"
EMPTY = "entity without text"
MERGED = "overlapping pieces of an entity joined"
_OWN_KEYS = ("text", "start", "entity_id", "value", "event_id", "event_type")
_COMBINATION = "Treatment.Combination"


@dataclass
class _Sentence:
    """One line while it is read."""

    text: str
    where: str
    entities: dict[str, Entity] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def read_phee(path: Path) -> ReadResult:
    """Read PHEE's JSON lines; mentions that do not match the text are dropped and counted.

    Raises CorpusError with file and line for anything of another shape, and for an id used twice.
    """
    documents: list[Document] = []
    dropped: Counter[str] = Counter()
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path).removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        document, lost = _parse(line, where)
        if document.id in lines:
            raise CorpusError(f"{where}: id '{document.id}' was used before, in line {lines[document.id]}.")
        lines[document.id] = number
        documents.append(document)
        dropped += lost
    return ReadResult(documents, dropped)


def write_phee(documents: Sequence[Document], path: Path) -> Counter[str]:
    """Write PHEE's JSON lines.

    Counts what the format cannot hold: entities that no event names, relations, patients, label subsets, other meta.

    Raises CorpusError when `meta["events"]` is not as `read_phee` makes it.
    """
    dropped: Counter[str] = Counter()
    lines: list[str] = []
    for document in documents:
        events = _events_of(document)
        named = {name for event in events for group in _groups(event) for ids in group.values() for name in ids}
        dropped["entity that no event names"] += sum(entity.id not in named for entity in document.entities)
        dropped["relation"] += len(document.relations)
        dropped["patient"] += document.patient is not None
        dropped["labels"] += document.labels is not None
        dropped["other meta"] += len(set(document.meta) - {"events", "is_mult_event"})
        record = {
            "id": document.id,
            "context": document.text,
            "is_mult_event": document.meta.get("is_mult_event", len(events) > 1),
            "annotations": [{"events": [_render_event(document, event) for event in events]}],
        }
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    try:
        write_atomic(path, "".join(lines))
    except UnicodeEncodeError as error:
        raise CorpusError(f"{path}: a text is not writable as UTF-8.") from error
    return +dropped


@dataclass(frozen=True)
class _Event:
    id: str
    type: str
    arguments: Mapping[str, list[str]]
    values: Mapping[str, Json]
    combinations: tuple[_Event, ...] = ()


def _groups(event: _Event) -> Iterator[Mapping[str, list[str]]]:
    yield event.arguments
    for combination in event.combinations:
        yield combination.arguments


def _parse(line: str, where: str) -> tuple[Document, Counter[str]]:
    try:
        record: object = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{where}: not JSON. Expected one object a line.") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{where}: not an object. Expected 'id', 'context' and 'annotations'.")
    identifier, text = record.get("id"), record.get("context")
    annotations, multiple = record.get("annotations"), record.get("is_mult_event")
    if not isinstance(identifier, str) or not identifier or not isinstance(text, str):
        raise CorpusError(f"{where}: expected strings 'id' and 'context'.")
    if not isinstance(annotations, list):
        raise CorpusError(f"{where}: 'annotations' is not a list.")
    sentence = _Sentence(text, f"{where} (document '{identifier}')")
    events: list[Json] = []
    for annotation in annotations:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("events"), list):
            raise CorpusError(f"{sentence.where}: an annotation has no list 'events'.")
        events.extend(_parse_event(event, "", sentence) for event in annotation["events"])
    meta: dict[str, Json] = {"events": events}
    if isinstance(multiple, bool):
        meta["is_mult_event"] = multiple
    document = Document(identifier, text, tuple(sentence.entities.values()), meta=meta)
    return document, sentence.dropped


def _parse_event(event: object, prefix: str, sentence: _Sentence) -> dict[str, Json]:
    if not isinstance(event, dict):
        raise CorpusError(f"{sentence.where}: an event is not an object.")
    identifier, kind = event.get("event_id"), event.get("event_type")
    if not isinstance(identifier, str) or not isinstance(kind, str):
        raise CorpusError(f"{sentence.where}: an event lacks 'event_id' or 'event_type'.")
    arguments: dict[str, Json] = {}
    values: dict[str, Json] = {}
    combinations: list[Json] = []
    _walk(event, prefix, sentence, (arguments, values, combinations))
    parsed: dict[str, Json] = {"id": identifier, "type": kind, "arguments": arguments}
    if values:
        parsed["values"] = values
    if combinations:
        parsed["combinations"] = combinations
    return parsed


def _walk(
    node: Mapping[str, object],
    role: str,
    sentence: _Sentence,
    into: tuple[dict[str, Json], dict[str, Json], list[Json]],
) -> None:
    arguments, values, combinations = into
    if "text" in node:
        arguments[role] = [*_arguments(node, role, sentence)]
    value = node.get("value")
    if isinstance(value, str | bool):
        values[role] = value
    lists: list[tuple[str, list[object]]] = []
    for key, child in node.items():
        if key in _OWN_KEYS:
            continue
        path = f"{role}.{key}" if role else key
        if isinstance(child, dict):
            _walk(child, path, sentence, into)
        elif isinstance(child, list) and path == _COMBINATION:
            lists.append((path, child))
        else:
            raise CorpusError(f"{sentence.where}: argument '{path}' is not an object with text, start and entity_id.")
    # Combinations repeat drugs of their treatment; those come first, so that they keep the plain ids.
    for path, items in lists:
        combinations.extend(_parse_event(item, path, sentence) for item in items)


def _arguments(node: Mapping[str, object], role: str, sentence: _Sentence) -> Iterator[str]:
    texts, starts, ids = node.get("text"), node.get("start"), node.get("entity_id")
    if not (isinstance(texts, list) and isinstance(starts, list) and isinstance(ids, list)):
        raise CorpusError(f"{sentence.where}: argument '{role}' needs the lists text, start and entity_id.")
    if not len(texts) == len(starts) == len(ids):
        raise CorpusError(f"{sentence.where}: argument '{role}': text, start and entity_id differ in length.")
    for pieces, offsets, identifier in zip(texts, starts, ids, strict=True):
        if not isinstance(identifier, str):
            raise CorpusError(f"{sentence.where}: argument '{role}': an entity_id is not a string.")
        spans = _spans(pieces, offsets, f"{sentence.where}: argument '{role}', entity '{identifier}'", sentence)
        if spans is None:
            continue
        name = _name(identifier, role, spans, sentence)
        sentence.entities.setdefault(name, Entity(name, role, spans))
        yield name


def _spans(pieces: object, offsets: object, where: str, sentence: _Sentence) -> tuple[Span, ...] | None:
    if not isinstance(pieces, list) or not isinstance(offsets, list) or len(pieces) != len(offsets):
        raise CorpusError(f"{where}: text and start differ in length.")
    spans: list[Span] = []
    for piece, start in zip(pieces, offsets, strict=True):
        if not isinstance(piece, str) or type(start) is not int:
            raise CorpusError(f"{where}: expected pieces of text and whole-number starts.")
        if start < 0 or sentence.text[start : start + len(piece)] != piece:
            sentence.dropped[MISMATCH] += 1
            return None
        if piece:
            spans.append((start, start + len(piece)))
    if not spans:
        sentence.dropped[EMPTY] += 1
        return None
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            sentence.dropped[MERGED] += 1
        else:
            joined.append((start, end))
    return tuple(joined)


def _name(identifier: str, role: str, spans: tuple[Span, ...], sentence: _Sentence) -> str:
    """The id itself, or id and role when the id already stands for another role."""
    known = sentence.entities.get(identifier)
    name = identifier if known is None or known.type == role else f"{identifier}/{role}"
    if sentence.entities.get(name, Entity(name, role, spans)).spans != spans:
        raise CorpusError(f"{sentence.where}: entity '{identifier}' has two different spans as '{role}'.")
    return name


def _events_of(document: Document) -> list[_Event]:
    held = document.meta.get("events", [])
    if not isinstance(held, list):
        raise CorpusError(f"document '{document.id}': meta 'events' is not a list.")
    known = {entity.id for entity in document.entities}
    return [_event_of(item, known, document.id) for item in held]


def _event_of(value: Json, known: set[str], document_id: str) -> _Event:
    wrong = CorpusError(
        f"document '{document_id}': meta 'events' is not as the PHEE reader makes it: expected objects with id, type "
        "and arguments (role → ids of the document's entities)."
    )
    if not isinstance(value, dict):
        raise wrong
    identifier, kind, held = value.get("id"), value.get("type"), value.get("arguments")
    values, combinations = value.get("values", {}), value.get("combinations", [])
    if not (isinstance(identifier, str) and isinstance(kind, str) and isinstance(held, dict)):
        raise wrong
    if not (isinstance(values, dict) and isinstance(combinations, list)):
        raise wrong
    arguments: dict[str, list[str]] = {}
    for role, ids in held.items():
        if not isinstance(ids, list) or not all(isinstance(name, str) and name in known for name in ids):
            raise wrong
        arguments[role] = [name for name in ids if isinstance(name, str)]
    nested = tuple(_event_of(item, known, document_id) for item in combinations)
    return _Event(identifier, kind, arguments, values, nested)


def _render_event(document: Document, event: _Event, prefix: str = "") -> dict[str, Json]:
    rendered: dict[str, Json] = {"event_id": event.id, "event_type": event.type}
    for role, ids in event.arguments.items():
        _place(rendered, role, prefix).update(_render_argument(document, ids))
    for role, value in event.values.items():
        _place(rendered, role, prefix)["value"] = value
    if event.combinations:
        parent, _, key = _COMBINATION.rpartition(".")
        _place(rendered, parent, prefix)[key] = [
            _render_event(document, combination, f"{_COMBINATION}.") for combination in event.combinations
        ]
    return rendered


def _place(root: dict[str, Json], role: str, prefix: str) -> dict[str, Json]:
    """The object at a dotted role, made where it is missing."""
    place = root
    for key in role.removeprefix(prefix).split("."):
        child = place.setdefault(key, {})
        if not isinstance(child, dict):
            raise CorpusError(f"role '{role}' of an event has the name of a field. Rename the role.")
        place = child
    return place


def _render_argument(document: Document, ids: Sequence[str]) -> dict[str, Json]:
    entities = [document.entity(name) for name in ids]
    return {
        "text": [[document.text[start:end] for start, end in entity.spans] for entity in entities],
        "start": [[start for start, _ in entity.spans] for entity in entities],
        "entity_id": [entity.id.removesuffix(f"/{entity.type}") for entity in entities],
    }
