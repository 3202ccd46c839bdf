"""Brat standoff: a `.txt` and a `.ann` of the same name for each document.

Raw types are kept. An event (E) stands for its trigger (T), its arguments become relations with the role as type.
Attributes go to `meta["attributes"]` as `{"entity", "name", "value"}`, equivalences to `meta["equivalences"]` as
`[type, [entity ids]]`. Offsets are code points of the `.txt`, line ends untouched. What brat has no line for (patient,
labels, other meta, names with white space) is written to one note line (`#1	fedmedlora DOCUMENT	{…}`) and read back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedmedlora.corpus.brat_note import NOTE, Note, parse_note
from fedmedlora.corpus.document import Document, Entity, Json, ReadResult, Relation, Span
from fedmedlora.corpus.files import read_text
from fedmedlora.errors import CorpusError

MISMATCH = "entity whose text does not match its offsets"
OUTSIDE = "entity with offsets outside the text"
EMPTY = "entity with an empty span"
MERGED = "overlapping pieces of an entity joined"
MAPPED = "document with offsets mapped from LF to CRLF"
NO_ANNOTATION = "document without an .ann file"
UNKNOWN_LINE = "line of unknown form"
LOST_RELATION = "relation of a dropped or unknown entity"
LOST_ARGUMENT = "event argument of a dropped or unknown entity"
LOST_EVENT = "event of a dropped or unknown trigger"
LOST_ATTRIBUTE = "attribute of something other than a kept entity"
LOST_EQUIVALENCE = "equivalence with under two kept entities"
LOST_MEMBER = "member of an equivalence that is not a kept entity"
EVENT_TYPE = "event type other than its trigger's"
IGNORED = {"#": "note", "N": "normalisation"}

_TEXT_BOUND = re.compile(r"(\S+) (\d+ \d+(?:;\d+ \d+)*)")
_TWO_ARGUMENTS = re.compile(r"(\S+) ([^\s:]+):(\S+) ([^\s:]+):(\S+)\s*")
_ARGUMENT = re.compile(r"([^\s:]+):(\S+)")


@dataclass(frozen=True, slots=True)
class _Mention:
    id: str
    type: str
    spans: tuple[Span, ...]
    text: str


@dataclass
class _Lines:
    """The parsed lines of one .ann file, by kind."""

    mentions: list[_Mention] = field(default_factory=list)
    events: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    attributes: list[tuple[str, str, str | bool]] = field(default_factory=list)
    equivalences: list[tuple[str, list[str]]] = field(default_factory=list)
    note: Note = field(default_factory=Note)
    dropped: Counter[str] = field(default_factory=Counter)


def read_brat(path: Path) -> ReadResult:
    """Read a folder of `.txt`/`.ann` pairs in the order of their names, or one pair named by either file.

    A mention that does not match the text at its offsets (white space apart) is dropped, with what hangs on it, and
    counted; offsets counted over LF in a CRLF text are recognised and mapped.

    Raises CorpusError for a missing or undecodable file, an .ann without .txt, or an id used twice in a file.
    """
    if not path.exists():
        raise CorpusError(f"{path}: no such file or folder.")
    stems = _stems(path)
    dropped: Counter[str] = Counter()
    documents: list[Document] = []
    for text_path, annotation_path in stems:
        text = read_text(text_path)
        if annotation_path is None:
            dropped[NO_ANNOTATION] += 1
            documents.append(Document(text_path.stem, text))
            continue
        lines = _parse(annotation_path, read_text(annotation_path).removeprefix("\ufeff"))
        documents.append(_document(text_path.stem, text, lines))
        dropped.update(lines.dropped)
    return ReadResult(documents, dropped)


def _stems(path: Path) -> list[tuple[Path, Path | None]]:
    if path.is_dir():
        files = {child.name for child in path.iterdir() if child.is_file()}
        names = sorted({name[:-4] for name in files if name.endswith((".txt", ".ann"))})
        folder = path
    else:
        files = {child.name for child in path.parent.iterdir() if child.is_file()}
        names, folder = [path.name[:-4]], path.parent
    pairs: list[tuple[Path, Path | None]] = []
    for name in names:
        if f"{name}.txt" not in files:
            raise CorpusError(f"{folder / (name + '.ann')}: its text '{name}.txt' is missing. Put it beside the .ann.")
        pairs.append((folder / f"{name}.txt", folder / f"{name}.ann" if f"{name}.ann" in files else None))
    return pairs


def _parse(path: Path, content: str) -> _Lines:
    lines = _Lines()
    seen: dict[str, int] = {}
    for number, raw in enumerate(content.split("\n"), start=1):
        line = raw.removesuffix("\r")
        if not line.strip():
            continue
        identifier = line.split("\t", 1)[0]
        if line[0] in "TERAM":
            if identifier in seen:
                raise CorpusError(
                    f"{path}, line {number}: id '{identifier}' was used before, in line {seen[identifier]}. "
                    "Give every annotation of a file its own id."
                )
            seen[identifier] = number
        if line[0] in IGNORED:
            if line[0] == "#" and NOTE.match(line):
                lines.note = parse_note(line, f"{path}, line {number}")
            else:
                lines.dropped[f"{IGNORED[line[0]]} (ignored)"] += 1
        elif line[0] not in _PARSERS or not _PARSERS[line[0]](line, lines):
            lines.dropped[UNKNOWN_LINE] += 1
    return lines


def _parse_mention(line: str, lines: _Lines) -> bool:
    identifier, _, rest = line.partition("\t")
    head, _, mention = rest.partition("\t")
    match = _TEXT_BOUND.fullmatch(head)
    if match is None:
        return False
    pairs = [piece.split(" ") for piece in match[2].split(";")]
    spans = tuple((int(start), int(end)) for start, end in pairs)
    lines.mentions.append(_Mention(identifier, match[1], spans, mention))
    return True


def _parse_event(line: str, lines: _Lines) -> bool:
    identifier, _, rest = line.partition("\t")
    arguments = rest.split()
    pairs = [match.groups() for item in arguments if (match := _ARGUMENT.fullmatch(item)) is not None]
    if not pairs or len(pairs) != len(arguments):
        return False
    lines.events[identifier] = [(role, target) for role, target in pairs]
    return True


def _parse_relation(line: str, lines: _Lines) -> bool:
    identifier, _, rest = line.partition("\t")
    match = _TWO_ARGUMENTS.fullmatch(rest)
    if match is None:
        return False
    lines.relations.append(Relation(identifier, match[1], match[3], match[5]))
    return True


def _parse_attribute(line: str, lines: _Lines) -> bool:
    fields = line.partition("\t")[2].split()
    if len(fields) not in (2, 3):
        return False
    lines.attributes.append((fields[1], fields[0], fields[2] if len(fields) == 3 else True))
    return True


def _parse_equivalence(line: str, lines: _Lines) -> bool:
    fields = line.partition("\t")[2].split()
    if len(fields) < 2:
        return False
    lines.equivalences.append((fields[0], fields[1:]))
    return True


_PARSERS: dict[str, Callable[[str, _Lines], bool]] = {
    "T": _parse_mention,
    "E": _parse_event,
    "R": _parse_relation,
    "A": _parse_attribute,
    "M": _parse_attribute,
    "*": _parse_equivalence,
}


def _document(stem: str, text: str, lines: _Lines) -> Document:
    note = lines.note
    entities = _entities(text, lines)
    types = {entity.id: entity.type for entity in entities}
    target: dict[str, str] = {identifier: identifier for identifier in types}
    for identifier, arguments in lines.events.items():
        kind, trigger = arguments[0]
        if trigger not in types:
            lines.dropped[LOST_EVENT] += 1
            continue
        lines.dropped[EVENT_TYPE] += kind != types[trigger]
        target[identifier] = trigger
    relations = _relations(lines, target)
    meta = {**_meta(lines, target, note.entities), **note.meta}
    lines.dropped += Counter()
    return Document(
        id=note.id if note.id is not None else stem,
        text=text,
        entities=tuple(Entity(*note.entities.get(e.id, (e.id, e.type)), e.spans) for e in entities),
        relations=tuple(
            Relation(
                *note.relations.get(r.id, (r.id, r.type)),
                note.entities.get(r.head, (r.head, ""))[0],
                note.entities.get(r.tail, (r.tail, ""))[0],
            )
            for r in relations
        ),
        patient=note.patient,
        labels=note.labels,
        meta=meta,
    )


def _entities(text: str, lines: _Lines) -> list[Entity]:
    faults = {mention.id: _fault(text, mention) for mention in lines.mentions}
    mentions = lines.mentions
    if any(faults.values()) and "\r\n" in text:
        flat = text.replace("\r\n", "\n")
        if not any(_fault(flat, mention) for mention in mentions):
            lines.dropped[MAPPED] += 1
            mentions = _mapped(text, mentions)
            faults = {}
    kept: list[Entity] = []
    for mention in mentions:
        fault = faults.get(mention.id)
        if fault is not None:
            lines.dropped[fault] += 1
            continue
        spans = _joined(mention.spans)
        lines.dropped[MERGED] += len(spans) < len(mention.spans)
        kept.append(Entity(mention.id, mention.type, spans))
    return kept


def _fault(text: str, mention: _Mention) -> str | None:
    if any(start >= end for start, end in mention.spans):
        return EMPTY
    if any(end > len(text) for _, end in mention.spans):
        return OUTSIDE
    found = "".join(text[start:end] for start, end in mention.spans)
    # Brat writes a space for a line break in the mention, and a space between pieces.
    return None if "".join(found.split()) == "".join(mention.text.split()) else MISMATCH


def _mapped(text: str, mentions: list[_Mention]) -> list[_Mention]:
    """Offsets over the text with LF line ends as offsets over the text with CRLF."""
    starts = [at for at in range(len(text)) if text[at : at + 2] != "\r\n"]
    # The LF of a pair stands at the pair's second code point; a span that begins with it begins at the CR.
    first = [at - 1 if text[at - 1 : at + 1] == "\r\n" else at for at in starts]
    return [
        _Mention(m.id, m.type, tuple((first[start], starts[end - 1] + 1) for start, end in m.spans), m.text)
        for m in mentions
    ]


def _joined(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The spans in order, overlapping ones as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _relations(lines: _Lines, target: Mapping[str, str]) -> list[Relation]:
    kept: list[Relation] = []
    used = {relation.id for relation in lines.relations}
    for relation in lines.relations:
        if relation.head in target and relation.tail in target:
            kept.append(Relation(relation.id, relation.type, target[relation.head], target[relation.tail]))
        else:
            lines.dropped[LOST_RELATION] += 1
    for identifier, arguments in lines.events.items():
        for number, (role, other) in enumerate(arguments[1:], start=1):
            if identifier not in target or other not in target:
                lines.dropped[LOST_ARGUMENT] += 1
                continue
            name = f"{identifier}.{number}"
            while name in used:
                name += "'"
            used.add(name)
            kept.append(Relation(name, role, target[identifier], target[other]))
    return kept


def _meta(lines: _Lines, target: Mapping[str, str], names: Mapping[str, tuple[str, str]]) -> dict[str, Json]:
    def name(identifier: str) -> str:
        entity = target[identifier]
        return names[entity][0] if entity in names else entity

    attributes: list[Json] = []
    for owner, kind, value in lines.attributes:
        if owner in target:
            attributes.append({"entity": name(owner), "name": kind, "value": value})
        else:
            lines.dropped[LOST_ATTRIBUTE] += 1
    equivalences: list[Json] = []
    for kind, members in lines.equivalences:
        kept: list[Json] = [name(member) for member in members if member in target]
        if len(kept) < 2:
            lines.dropped[LOST_EQUIVALENCE] += 1
            continue
        lines.dropped[LOST_MEMBER] += len(members) - len(kept)
        equivalences.append([kind, kept])
    meta: dict[str, Json] = {}
    if attributes:
        meta["attributes"] = attributes
    if equivalences:
        meta["equivalences"] = equivalences
    return meta
