"""Annotation as another site would have left it: fewer labels, or with mistakes. Documents in, documents out, counted.

Mistakes fall on distinct entities, an exact share of all of a site's, drawn by a seed; modifiers are entities too.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from fedmedlora.config.settings import HALF, ChangeConfig
from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import ConfigError, nearest
from fedmedlora.studies.sites import narrow_labels

_WORD = re.compile(r"\S+")

Mistake: TypeAlias = Callable[[Document, Entity, LabelSet, random.Random], Entity | None]


class Annotated(NamedTuple):
    """A site's documents as a case has them, and what was changed (what → count)."""

    documents: list[Document]
    changed: Counter[str]


def annotate(documents: Sequence[Document], change: ChangeConfig, labels: LabelSet, case: str) -> Annotated:
    """The documents of one site as a case has them. Raises ConfigError for a label that the study does not know."""
    changed: Counter[str] = Counter()
    found = list(documents)
    if change.labels is not None:
        wanted = _half(found, labels) if change.labels == HALF else change.labels
        unknown = [label for label in wanted if label not in labels.names]
        if unknown:
            raise ConfigError(
                f"uneven case '{case}', site '{change.name}': unknown label '{unknown[0]}': "
                f"{nearest(unknown[0], labels.names)}"
            )
        found = [narrow_labels(document, wanted, changed) for document in found]
    if change.noise:
        found = _mistaken(found, change, labels, f"uneven/{case}/{change.name}", changed)
    return Annotated(found, changed)


def describe_change(change: ChangeConfig) -> str:
    """In words, for a dry run and a log: "triage: trains ner alone, 10 % of entities left out"."""
    said = []
    if change.tasks is not None:
        said.append(f"trains {' and '.join(change.tasks)} alone")
    if change.labels is not None:
        said.append("every second entity type" if change.labels == HALF else f"labels {', '.join(change.labels)}")
    shares = {"left out": change.drop, "off by a word": change.shift, "of another type": change.swap}
    said += [f"{share:.0%} of entities {what}" for what, share in shares.items() if share]
    return f"{change.name}: {', '.join(said)}"


def _half(documents: Sequence[Document], labels: LabelSet) -> tuple[str, ...]:
    """Every second entity type that the site annotates, with its modifiers; of a single type every second modifier."""
    asked = {label for document in documents for label in labels.asked(document.labels)}
    types = [name for name in labels.entity_types if name in asked]
    if len(types) < 2:
        return (*types, *[name for name in labels.modifier_types if name in asked][::2])
    kept = types[::2]
    attached = {modifier for name in kept for modifier in labels.modifiers[name]} & asked
    return (*kept, *(name for name in labels.modifier_types if name in attached))


def _mistaken(
    documents: list[Document], change: ChangeConfig, labels: LabelSet, seed: str, changed: Counter[str]
) -> list[Document]:
    generator = random.Random(seed)
    everywhere = [(at, entity.id) for at, document in enumerate(documents) for entity in document.entities]
    shares = (change.drop, change.drop + change.shift, change.noise)
    ends = [min(len(everywhere), round(share * len(everywhere))) for share in shares]
    hit = generator.sample(everywhere, ends[2])
    mistakes: dict[int, dict[str, Mistake]] = {}
    for order, (at, entity_id) in enumerate(hit):
        mistake = _drop if order < ends[0] else _shift if order < ends[1] else _swap
        mistakes.setdefault(at, {})[entity_id] = mistake
    return [
        _apply(document, mistakes[at], labels, generator, changed) if at in mistakes else document
        for at, document in enumerate(documents)
    ]


def _apply(
    document: Document,
    mistakes: Mapping[str, Mistake],
    labels: LabelSet,
    generator: random.Random,
    changed: Counter[str],
) -> Document:
    entities: dict[str, Entity] = {}
    for entity in document.entities:
        mistake = mistakes.get(entity.id)
        found = entity if mistake is None else mistake(document, entity, labels, generator)
        if mistake is not None:
            changed[_UNCHANGED if found == entity else _DONE[mistake]] += 1
        if found is not None:
            entities[entity.id] = found
    relations = _relations(document, entities, labels)
    changed["relation of an entity left out or of another type"] += len(document.relations) - len(relations)
    return replace(document, entities=tuple(entities.values()), relations=relations)


def _relations(document: Document, entities: Mapping[str, Entity], labels: LabelSet) -> tuple[Relation, ...]:
    """Those whose ends are there and may still be related; a modifier of another type takes its relation along."""
    types = {entity.id: entity.type for entity in document.entities}
    kept = []
    for relation in document.relations:
        head, tail = entities.get(relation.head), entities.get(relation.tail)
        if head is None or tail is None:
            continue
        kind = relation.type if tail.type == types[tail.id] else tail.type
        as_it_was = kind == relation.type and head.type == types[head.id]
        if as_it_was or kind in labels.modifiers.get(head.type, ()):
            kept.append(replace(relation, type=kind))
    return tuple(kept)


def _drop(document: Document, entity: Entity, labels: LabelSet, generator: random.Random) -> Entity | None:
    return None


def _shift(document: Document, entity: Entity, labels: LabelSet, generator: random.Random) -> Entity | None:
    """One end of the entity a word further in or out; as it was where there is no such word."""
    words = [match.span() for match in _WORD.finditer(document.text)]
    first, last = entity.spans[0], entity.spans[-1]
    moved: list[tuple[Span, ...]] = [
        (*entity.spans[:-1], (last[0], end)) for end in _next_to(last[1], [b for _, b in words]) if end > last[0]
    ]
    moved += [
        ((start, first[1]), *entity.spans[1:])
        for start in _next_to(first[0], [a for a, _ in words])
        if start < first[1]
    ]
    moved = [spans for spans in moved if all(before[1] <= after[0] for before, after in pairwise(spans))]
    return replace(entity, spans=generator.choice(moved)) if moved else entity


def _next_to(place: int, boundaries: Sequence[int]) -> list[int]:
    """The nearest word boundaries before and after a place."""
    before = [boundary for boundary in boundaries if boundary < place]
    after = [boundary for boundary in boundaries if boundary > place]
    return before[-1:] + after[:1]


def _swap(document: Document, entity: Entity, labels: LabelSet, generator: random.Random) -> Entity | None:
    """Another label of its kind that the note is annotated for; as it was where there is no other."""
    asked = labels.asked(document.labels)
    kind = labels.entity_types if entity.type in labels.entity_types else labels.modifier_types
    others = [label for label in kind if label in asked and label != entity.type]
    return replace(entity, type=generator.choice(others)) if others else entity


_DONE: Mapping[Mistake, str] = {
    _drop: "entity left out",
    _shift: "boundary off by a word",
    _swap: "entity of another type",
}
_UNCHANGED = "entity that could not be changed"
