"""The project's own format: one note a line, as a JSON object with the fields of `Document`.

    {"id": "n1", "text": "No fever.", "entities": [{"id": "T1", "type": "problem", "spans": [[3, 8]]}], "relations": []}

`id` and `text` are required; `patient`, `labels`, `entities`, `relations` and `meta` may be left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from fedmedlora.corpus.document import Document, Entity, Json, ReadResult, Relation, Span
from fedmedlora.corpus.files import read_text
from fedmedlora.errors import CorpusError, nearest
from fedmedlora.record import write_atomic

_FIELDS = ("id", "text", "patient", "labels", "entities", "relations", "meta")
_ENTITY_FIELDS = ("id", "type", "spans")
_RELATION_FIELDS = ("id", "type", "head", "tail")


def read_jsonl(path: Path) -> ReadResult:
    """Read canonical records. A byte-order mark and blank lines are tolerated; nothing else is.

    Raises CorpusError with file and line for anything that is not a record, and for an id used twice.
    """
    documents: list[Document] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path).removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        document = parse_record(line, f"{path}, line {number}")
        if document.id in lines:
            raise CorpusError(
                f"{path}, line {number}: document id '{document.id}' was used before, in line {lines[document.id]}. "
                "Give every note its own id."
            )
        lines[document.id] = number
        documents.append(document)
    return ReadResult(documents, Counter())


def write_jsonl(documents: Sequence[Document], path: Path) -> Counter[str]:
    """Write canonical records, one a line. The format holds every document whole, so nothing is dropped.

    Raises CorpusError when `meta` holds what JSON cannot.
    """
    write_atomic(path, "".join(f"{render_record(document)}\n" for document in documents))
    return Counter()


def render_record(document: Document) -> str:
    """One document as one line of JSON, without the line end. Fields that hold nothing are left out."""
    record: dict[str, object] = {"id": document.id, "text": document.text}
    if document.patient is not None:
        record["patient"] = document.patient
    if document.labels is not None:
        record["labels"] = list(document.labels)
    record["entities"] = [
        {"id": entity.id, "type": entity.type, "spans": [list(span) for span in entity.spans]}
        for entity in document.entities
    ]
    record["relations"] = [
        {"id": relation.id, "type": relation.type, "head": relation.head, "tail": relation.tail}
        for relation in document.relations
    ]
    if document.meta:
        record["meta"] = dict(document.meta)
    try:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        line.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise CorpusError(
            f"document '{document.id}': not writable as JSON in UTF-8 ({type(error).__name__})."
        ) from error
    return line


def parse_record(line: str, where: str) -> Document:
    """One line of JSON as a document. `where` (file and line) begins every message.

    Raises CorpusError.
    """
    try:
        value: object = json.loads(line)
    except ValueError as error:
        column = getattr(error, "colno", 1)
        raise CorpusError(f"{where}, column {column}: not JSON. Expected one object a line.") from error
    record = _object(value, where, "a record", _FIELDS)
    text = _string(record, "text", where)
    identifier = _string(record, "id", where)
    where = f"{where} (document '{identifier}')"
    patient = None if record.get("patient") is None else _string(record, "patient", where)
    labels = None if record.get("labels") is None else _strings(record, "labels", where)
    meta = record.get("meta", {})
    if not isinstance(meta, dict):
        raise CorpusError(f"{where}: 'meta' is {_kind(meta)}; expected an object.")
    entities = tuple(_entity(item, f"{where}, entity {n}") for n, item in enumerate(_list(record, "entities", where)))
    relations = tuple(
        _relation(item, f"{where}, relation {n}") for n, item in enumerate(_list(record, "relations", where))
    )
    try:
        return Document(identifier, text, entities, relations, patient, labels, cast("dict[str, Json]", meta))
    except CorpusError as error:
        raise CorpusError(f"{where}: {error}") from error


def _entity(value: object, where: str) -> Entity:
    record = _object(value, where, "an entity", _ENTITY_FIELDS)
    spans = tuple(_span(item, where) for item in _list(record, "spans", where))
    return Entity(_string(record, "id", where), _string(record, "type", where), spans)


def _span(value: object, where: str) -> Span:
    if isinstance(value, list) and len(value) == 2:
        start, end = value
        if type(start) is int and type(end) is int:
            return start, end
    raise CorpusError(f"{where}: a span is not [start, end] with two whole numbers.")


def _relation(value: object, where: str) -> Relation:
    record = _object(value, where, "a relation", _RELATION_FIELDS)
    identifier, kind, head, tail = (_string(record, name, where) for name in _RELATION_FIELDS)
    return Relation(identifier, kind, head, tail)


def _object(value: object, where: str, what: str, fields: Sequence[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: {what} is {_kind(value)}; expected an object with {', '.join(fields)}.")
    for name in value:
        if name not in fields:
            raise CorpusError(f"{where}: unknown field '{name}'; {nearest(name, fields)}")
    return value


def _string(record: dict[str, object], name: str, where: str) -> str:
    if name not in record:
        raise CorpusError(f"{where}: field '{name}' is missing.")
    value = record[name]
    if not isinstance(value, str):
        raise CorpusError(f"{where}: '{name}' is {_kind(value)}; expected a string.")
    if not value and name != "text":
        raise CorpusError(f"{where}: '{name}' is empty.")
    return value


def _strings(record: dict[str, object], name: str, where: str) -> tuple[str, ...]:
    values = _list(record, name, where)
    strings = tuple(value for value in values if isinstance(value, str))
    if len(strings) != len(values):
        raise CorpusError(f"{where}: '{name}' holds something other than strings.")
    return strings


def _list(record: dict[str, object], name: str, where: str) -> list[object]:
    value = record.get(name, [])
    if not isinstance(value, list):
        raise CorpusError(f"{where}: '{name}' is {_kind(value)}; expected a list.")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
