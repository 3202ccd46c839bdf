"""Write brat standoff: `.txt`, `.ann` and, where needed, one note line, so that reading gives the documents back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fedmedlora.corpus.brat_note import Note, render_note
from fedmedlora.corpus.document import Document, Entity, Json
from fedmedlora.errors import CorpusError
from fedmedlora.record import digest_bytes, write_atomic

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|%]|^\.|[. ]$")
_TYPE = re.compile(r"[^\s:]+")
_WORD = re.compile(r"\S+")
_LONGEST_NAME = 200


def write_brat(documents: Sequence[Document], path: Path) -> Counter[str]:
    """Write a `.txt` and an `.ann` for each document into a folder. Other files there stay.

    With the note line brat holds every document whole, so nothing is dropped.

    Raises CorpusError for two documents of one name, or text that UTF-8 cannot hold.
    """
    names: dict[str, str] = {}
    for document in documents:
        name = _file_name(document.id)
        if name in names:
            raise CorpusError(f"documents '{names[name]}' and '{document.id}' would be one file, '{name}.ann'.")
        names[name] = document.id
        annotations = _annotations(document, name)
        try:
            payloads = {".txt": document.text.encode("utf-8"), ".ann": annotations.encode("utf-8")}
        except UnicodeEncodeError as error:
            raise CorpusError(f"document '{document.id}': not writable as UTF-8 at code point {error.start}.") from None
        for suffix, payload in payloads.items():
            write_atomic(path / f"{name}{suffix}", payload)
    return Counter()


def _file_name(document_id: str) -> str:
    name = _UNSAFE.sub(lambda match: f"%{ord(match.group()):02X}", document_id)
    data = name.encode("utf-8", errors="surrogatepass")
    return name if name and len(data) <= _LONGEST_NAME else f"%{digest_bytes(data)[:40]}"


def _annotations(document: Document, name: str) -> str:
    entity_ids = _brat_ids("T", [entity.id for entity in document.entities])
    relation_ids = _brat_ids("R", [relation.id for relation in document.relations])
    lines: list[str] = []
    entity_names: dict[str, tuple[str, str]] = {}
    relation_names: dict[str, tuple[str, str]] = {}
    for entity in document.entities:
        identifier, kind = entity_ids[entity.id], _brat_type(entity.type)
        if (identifier, kind) != (entity.id, entity.type):
            entity_names[identifier] = (entity.id, entity.type)
        spans = ";".join(f"{start} {end}" for start, end in entity.spans)
        lines.append(f"{identifier}\t{kind} {spans}\t{_mention(document.text, entity)}\n")
    for relation in document.relations:
        identifier, kind = relation_ids[relation.id], _brat_type(relation.type)
        if (identifier, kind) != (relation.id, relation.type):
            relation_names[identifier] = (relation.id, relation.type)
        lines.append(f"{identifier}\t{kind} Arg1:{entity_ids[relation.head]} Arg2:{entity_ids[relation.tail]}\n")
    meta = dict(document.meta)
    for key, render in (("attributes", _attribute_lines), ("equivalences", _equivalence_lines)):
        rendered = render(meta.get(key), entity_ids)
        if rendered:
            lines.extend(rendered)
            del meta[key]
    note = Note(
        id=document.id if name != document.id else None,
        patient=document.patient,
        labels=document.labels,
        meta=meta,
        entities=entity_names,
        relations=relation_names,
    )
    return "".join(lines) + render_note(note, document.id)


def _brat_ids(letter: str, ids: Iterable[str]) -> dict[str, str]:
    """Each id as brat writes it: kept when it is the letter and a number, else a free number."""
    ids = list(ids)
    fits = re.compile(rf"{letter}[0-9]+")
    taken = {identifier for identifier in ids if fits.fullmatch(identifier)}
    names: dict[str, str] = {}
    number = 0
    for identifier in ids:
        names[identifier] = identifier
        if identifier not in taken:
            number += 1
            while f"{letter}{number}" in taken:
                number += 1
            names[identifier] = f"{letter}{number}"
    return names


def _brat_type(name: str) -> str:
    return name if _TYPE.fullmatch(name) else re.sub(r"[\s:]", "_", name) or "_"


def _mention(text: str, entity: Entity) -> str:
    return re.sub(r"\s", " ", " ".join(text[start:end] for start, end in entity.spans))


def _attribute_lines(value: Json, ids: Mapping[str, str]) -> list[str]:
    """The attributes as lines; none when one of them does not fit, so that all go into the note."""
    lines: list[str] = []
    for item in value if isinstance(value, list) else []:
        if not isinstance(item, dict) or set(item) != {"entity", "name", "value"}:
            return []
        owner, name, held = item["entity"], item["name"], item["value"]
        if not (isinstance(owner, str) and owner in ids and isinstance(name, str) and _WORD.fullmatch(name)):
            return []
        if held is True:
            lines.append(f"A{len(lines) + 1}\t{name} {ids[owner]}\n")
        elif isinstance(held, str) and _WORD.fullmatch(held):
            lines.append(f"A{len(lines) + 1}\t{name} {ids[owner]} {held}\n")
        else:
            return []
    return lines


def _equivalence_lines(value: Json, ids: Mapping[str, str]) -> list[str]:
    """The equivalences as lines; none when one of them does not fit, so that all go into the note."""
    lines: list[str] = []
    for item in value if isinstance(value, list) else []:
        if not (isinstance(item, list) and len(item) == 2):
            return []
        kind, members = item
        if not (isinstance(kind, str) and _WORD.fullmatch(kind) and isinstance(members, list) and len(members) > 1):
            return []
        known = [ids[member] for member in members if isinstance(member, str) and member in ids]
        if len(known) < len(members):
            return []
        lines.append(f"*\t{kind} {' '.join(known)}\n")
    return lines
