"""The canonical record of one note: text, entities, relations. Plain frozen values, no I/O, no torch.

Offsets count Unicode code points into the untouched text and are end-exclusive. Modifiers are entities too; a
relation's head is the entity and its tail the modifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from fedmedlora.errors import CorpusError

Span: TypeAlias = tuple[int, int]
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Entity:
    """One marked piece of text.

    spans: one or more half-open (start, end) pairs in order; more than one is a discontinuous entity.
    """

    id: str
    type: str
    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        """First code point of the first span."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """One past the last code point of the last span."""
        return self.spans[-1][1]

    @property
    def contiguous(self) -> bool:
        """True when the entity is one span."""
        return len(self.spans) == 1


@dataclass(frozen=True, slots=True)
class Relation:
    """A typed pair of entities by id: head is the entity, tail its modifier."""

    id: str
    type: str
    head: str
    tail: str


@dataclass(frozen=True, slots=True)
class Document:
    """One note.

    labels: the label names this note was annotated for (entity and modifier types). A label outside it is unknown
    here, never negative. None means: every label of the label set.
    patient: groups notes of one patient, so that a split never separates them.
    """

    id: str
    text: str
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    patient: str | None = None
    labels: tuple[str, ...] | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    def entity(self, entity_id: str) -> Entity:
        """The entity of that id. Raises KeyError."""
        for entity in self.entities:
            if entity.id == entity_id:
                return entity
        raise KeyError(entity_id)


class ReadResult(NamedTuple):
    """What a reader or a recipe hands on: the documents, and what it dropped (reason → count)."""

    documents: list[Document]
    dropped: Counter[str]


def _check(document: Document) -> None:
    """Raise CorpusError unless ids are unique, spans lie in the text in order, and relations name entities."""
    size = len(document.text)
    seen: set[str] = set()
    for entity in document.entities:
        where = f"document '{document.id}', entity '{entity.id}'"
        if entity.id in seen:
            raise CorpusError(f"{where}: the id is used twice. Give every entity of a document its own id.")
        seen.add(entity.id)
        if not entity.spans:
            raise CorpusError(f"{where}: no span. Expected at least one [start, end].")
        previous = -1
        for start, end in entity.spans:
            if not 0 <= start < end <= size or start < previous:
                raise CorpusError(
                    f"{where}: span [{start}, {end}] is out of order or outside the text of {size} code points. "
                    "Offsets are Unicode code points, end-exclusive."
                )
            previous = end
    _check_relations(document, seen)


def _check_relations(document: Document, entity_ids: set[str]) -> None:
    seen: set[str] = set()
    for relation in document.relations:
        where = f"document '{document.id}', relation '{relation.id}'"
        if relation.id in seen:
            raise CorpusError(f"{where}: the id is used twice. Give every relation of a document its own id.")
        seen.add(relation.id)
        for end in (relation.head, relation.tail):
            if end not in entity_ids:
                raise CorpusError(f"{where}: entity '{end}' does not exist in this document.")
