"""The mapped form of one document while a recipe fills it. Whatever the recipe does not take is counted by reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from fedmedlora.corpus.document import Document, Entity, Json, ReadResult, Relation, Span
from fedmedlora.corpus.labels import CLINICAL

_NUMBERED = re.compile(r"T(\d+)")
_SOURCE_ONLY = frozenset({"attributes", "equivalences", "events"})


class Draft:
    """Main entities first (`keep`), then modifiers by their relations (`attach`), then `finish`.

    Entities of one type on the same spans become one, whichever source annotations they come from, and a modifier is
    one entity however many heads it serves. A source entity that plays several parts (a problem that is also the
    condition of another) becomes one entity for each part, with an id of its own.
    """

    def __init__(self, source: Document, corpus: str, dropped: Counter[str]) -> None:
        self.source = source
        self._corpus = corpus
        self._dropped = dropped
        self._by_id = {entity.id: entity for entity in source.entities}
        self._next = 1 + max((int(m[1]) for e in source.entities if (m := _NUMBERED.fullmatch(e.id))), default=0)
        self._entities: dict[tuple[str, tuple[Span, ...]], Entity] = {}
        self._origins: dict[str, str | None] = {}
        self._heads: dict[str, Entity] = {}
        self._used: set[str] = set()
        self._relations: dict[tuple[str, str, str], Relation] = {}

    def drop(self, reason: str, count: int = 1) -> None:
        """Count something the recipe does not take."""
        self._dropped[f"{self._corpus}: {reason}"] += count

    def of(self, entity_id: str) -> Entity:
        """The source entity of that id."""
        return self._by_id[entity_id]

    def known(self, ids: Json) -> list[str]:
        """The source ids in a list of the source's meta; whatever else it holds is counted."""
        items = ids if isinstance(ids, list) else [ids]
        names = [item for item in items if isinstance(item, str) and item in self._by_id]
        if len(names) < len(items):
            self.drop("reference to an entity that the document lacks", len(items) - len(names))
        return names

    def listed(self, key: str) -> list[Json]:
        """A list in the source's meta (`attributes`, `equivalences`, `events`); empty when it has none."""
        items = self.source.meta.get(key)
        return items if isinstance(items, list) else []

    def text_of(self, entity_id: str) -> str:
        """The source entity's text, the pieces of a discontinuous one joined by a blank."""
        return " ".join(self.source.text[start:end] for start, end in self.of(entity_id).spans)

    def head(self, entity_id: str) -> Entity | None:
        """The mapped main entity that a source entity became, if it became one."""
        return self._heads.get(entity_id)

    def keep(self, entity: Entity, target: str) -> None:
        """Take a source entity as a main entity of type `target`."""
        self._used.add(entity.id)
        known = self._entities.get((target, entity.spans))
        if known is not None:
            self.drop(f"{entity.type} on the spans of another {target} (merged)")
        self._heads[entity.id] = known or self._add(target, entity.spans, entity.id)

    def attach(self, head_id: str, modifier: str, tail_id: str) -> None:
        """Relate the source entity `tail_id`, as a modifier of that type, to the main entity from `head_id`.

        Counted and left out when the head was not kept or may not bear that modifier.
        """
        head = self._heads.get(head_id)
        if head is None:
            self.drop(f"{modifier} of {self.of(head_id).type}, which has no target label")
        elif self._relate(head, modifier, self.of(tail_id).spans, tail_id):
            self._used.add(tail_id)

    def attach_span(self, head_id: str, modifier: str, span: Span) -> None:
        """Relate a span that is no source entity (a recovered cue) to a kept main entity, as `attach` does."""
        self._relate(self._heads[head_id], modifier, (span,), None)

    def finish(self, labels: tuple[str, ...], modifier_sources: frozenset[str]) -> Document:
        """The mapped document; what was not used is counted.

        modifier_sources: source types that are kept only through a relation.
        """
        for entity in self.source.entities:
            if entity.id not in self._used:
                modifies = entity.type in modifier_sources
                self.drop(f"{entity.type} {'without a relation that maps' if modifies else 'has no target label'}")
        return Document(
            id=self.source.id,
            text=self.source.text,
            entities=tuple(sorted(self._entities.values(), key=lambda entity: entity.spans)),
            relations=tuple(self._relations.values()),
            patient=self.source.patient,
            labels=labels,
            meta={key: value for key, value in self.source.meta.items() if key not in _SOURCE_ONLY},
        )

    def _relate(self, head: Entity, modifier: str, spans: tuple[Span, ...], wish: str | None) -> bool:
        if modifier not in CLINICAL.modifiers[head.type]:
            self.drop(f"{modifier} may not attach to {head.type}")
            return False
        tail = self._entities.get((modifier, spans)) or self._add(modifier, spans, wish)
        if wish is not None and wish not in self._used and self._origins[tail.id] != wish:
            self.drop(f"{self.of(wish).type} on the spans of another {modifier} (merged)")
        key = (modifier, head.id, tail.id)
        if key in self._relations:
            self.drop(f"{modifier} relation repeated (merged)")
        else:
            self._relations[key] = Relation(f"R{len(self._relations) + 1}", *key)
        return True

    def _add(self, target: str, spans: tuple[Span, ...], wish: str | None) -> Entity:
        """A new entity under the wished id while that is free, else under a number no source entity has."""
        name = wish
        if name is None or name in self._origins:
            name, self._next = f"T{self._next}", self._next + 1
        self._origins[name] = wish
        entity = Entity(name, target, spans)
        self._entities[(target, spans)] = entity
        return entity


def map_documents(
    documents: Iterable[Document],
    corpus: str,
    fill: Callable[[Draft], None],
    labels: tuple[str, ...],
    modifier_sources: frozenset[str],
) -> ReadResult:
    """Let `fill` work on a draft of each document."""
    dropped: Counter[str] = Counter()
    mapped: list[Document] = []
    for document in documents:
        draft = Draft(document, corpus, dropped)
        fill(draft)
        mapped.append(draft.finish(labels, modifier_sources))
    return ReadResult(mapped, dropped)
