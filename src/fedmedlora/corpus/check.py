"""What a site's notes hold, and what is wrong with them: counts, never text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from fedmedlora.corpus.document import Document, Entity, Json
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.corpus.windows import sentence_spans
from fedmedlora.errors import CorpusError, nearest
from fedmedlora.record import digest_bytes


@dataclass(frozen=True)
class CorpusReport:
    """Counts over a corpus.

    patients: distinct patients; a note without one counts as its own. entities, modifiers, relations: type → count.
    illegal_relations: `modifier on entity` → count, for modifiers that the label set does not let attach.
    unknown_labels: label → (count, nearest known label or None). label_sets: annotated labels → documents ("all" where
    a note names none). outside_labels: types marked in notes whose `labels` do not name them. duplicates: groups of ids
    with one text. unlinked_modifiers: modifiers that no relation ends in. dropped: what reader and recipe dropped.
    """

    documents: int
    patients: int
    characters: int
    sentences: int
    entities: Mapping[str, int]
    modifiers: Mapping[str, int]
    relations: Mapping[str, int]
    discontinuous: int
    nested: int
    overlapping: int
    unlinked_modifiers: int
    illegal_relations: Mapping[str, int]
    unknown_labels: Mapping[str, tuple[int, str | None]]
    label_sets: Mapping[str, int]
    outside_labels: Mapping[str, int]
    empty_documents: Sequence[str]
    unannotated_documents: int
    duplicates: Sequence[Sequence[str]]
    dropped: Mapping[str, int]

    @property
    def faults(self) -> int:
        """How many things should be mended before training: the lines that begin with `!`."""
        return (
            sum(count for count, _ in self.unknown_labels.values())
            + sum(self.illegal_relations.values())
            + sum(self.outside_labels.values())
            + len(self.empty_documents)
            + len(self.duplicates)
        )

    def to_json(self) -> dict[str, Json]:
        """The report as plain JSON values, with `faults`."""
        fields: dict[str, Json] = asdict(self)
        fields["unknown_labels"] = {
            label: {"count": count, "nearest": near} for label, (count, near) in self.unknown_labels.items()
        }
        fields["empty_documents"] = list(self.empty_documents)
        fields["duplicates"] = [list(group) for group in self.duplicates]
        return {**fields, "faults": self.faults}

    def lines(self) -> list[str]:
        """The report for people, one statement a line."""
        return [*self._count_lines(), *self._fault_lines()]

    def _count_lines(self) -> Iterator[str]:
        yield (
            f"{self.documents:,} documents of {self.patients:,} patients, {self.characters:,} characters, "
            f"{self.sentences:,} sentences"
        )
        for name in ("entities", "modifiers", "relations"):
            counts: Mapping[str, int] = getattr(self, name)
            by_type = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
            yield f"{name}: {sum(counts.values()):,}" + (f" ({by_type})" if by_type else "")
        yield f"discontinuous {self.discontinuous:,}, nested {self.nested:,}, crossing {self.overlapping:,}"
        for labels, count in self.label_sets.items():
            yield f"annotated labels: {labels} ({count:,} documents)"
        if self.unannotated_documents:
            yield f"{self.unannotated_documents:,} documents hold no annotation"
        if self.unlinked_modifiers:
            yield f"{self.unlinked_modifiers:,} modifiers belong to no entity and are not learnt from"
        for reason, count in self.dropped.items():
            yield f"dropped on reading: {reason}: {count:,}"

    def _fault_lines(self) -> Iterator[str]:
        for label, (count, near) in self.unknown_labels.items():
            yield f"! unknown label '{label}': {count:,}" + (f"; did you mean '{near}'?" if near else "")
        for pair, count in self.illegal_relations.items():
            yield f"! relation that the label set does not allow: {pair}: {count:,}"
        for label, count in self.outside_labels.items():
            yield f"! '{label}' marked in notes whose labels do not name it: {count:,}"
        for name in self.empty_documents:
            yield f"! document '{name}' has no text"
        for group in self.duplicates:
            yield f"! {len(group)} documents with the same text: {', '.join(group)}"


class _Overlaps(NamedTuple):
    nested: int
    overlapping: int


def check_documents(documents: Sequence[Document], dropped: Mapping[str, int], labels: LabelSet) -> CorpusReport:
    """Count what documents hold and what is wrong with them. `dropped` is what their reader and recipe dropped.

    Nested: an entity inside another of its document (an equal extent counts once). Overlapping: a pair that shares code
    points without either holding the other.
    """
    types = Counter(entity.type for document in documents for entity in document.entities)
    relations = Counter(relation.type for document in documents for relation in document.relations)
    unknown = _unknown(documents, types, relations, frozenset(labels.names))
    illegal = Counter(fault for document in documents for fault in _illegal(document, labels))
    overlaps = [_overlaps(document.entities) for document in documents]
    return CorpusReport(
        documents=len(documents),
        patients=len({(d.patient is None, d.id if d.patient is None else d.patient) for d in documents}),
        characters=sum(len(document.text) for document in documents),
        sentences=sum(len(sentence_spans(document.text)) for document in documents),
        entities={label: types[label] for label in labels.entity_types if types[label]},
        modifiers={label: types[label] for label in labels.modifier_types if types[label]},
        relations={label: relations[label] for label in _ordered(relations, labels)},
        discontinuous=sum(not entity.contiguous for document in documents for entity in document.entities),
        nested=sum(pairs.nested for pairs in overlaps),
        overlapping=sum(pairs.overlapping for pairs in overlaps),
        unlinked_modifiers=sum(_unlinked(document, labels) for document in documents),
        illegal_relations=dict(sorted(illegal.items())),
        unknown_labels={label: (unknown[label], _near(label, labels.names)) for label in sorted(unknown)},
        label_sets=dict(Counter(_label_set(document) for document in documents).most_common()),
        outside_labels=dict(sorted(Counter(_outside(documents)).items())),
        empty_documents=[document.id for document in documents if not document.text.strip()],
        unannotated_documents=sum(not document.entities for document in documents),
        duplicates=_duplicates(documents),
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
    )


def validate_labels(documents: Iterable[Document], labels: LabelSet) -> None:
    """Raise CorpusError for the first label that the label set does not know, or relation that it does not allow.

    The message names the document, the annotation and the nearest known label.
    """
    known = frozenset(labels.names)
    for document in documents:
        where = f"document '{document.id}'"
        for label in document.labels or ():
            if label not in known:
                raise CorpusError(f"{where}, labels: unknown label '{label}'; {nearest(label, known)}")
        types: dict[str, str] = {}
        for entity in document.entities:
            types[entity.id] = entity.type
            if entity.type not in known:
                raise CorpusError(
                    f"{where}, entity '{entity.id}': unknown label '{entity.type}'; {nearest(entity.type, known)}"
                )
        for relation in document.relations:
            place = f"{where}, relation '{relation.id}'"
            if relation.type not in labels.modifier_types:
                raise CorpusError(
                    f"{place}: unknown label '{relation.type}'; {nearest(relation.type, labels.modifier_types)}"
                )
            head, tail = types[relation.head], types[relation.tail]
            if tail != relation.type:
                raise CorpusError(
                    f"{place}: type '{relation.type}', but its tail is marked '{tail}'. Expected the same."
                )
            allowed = labels.modifiers.get(head, ())
            if relation.type not in allowed:
                raise CorpusError(
                    f"{place}: '{relation.type}' may not attach to '{head}'. "
                    f"Allowed there: {', '.join(allowed) or 'nothing'}."
                )


def _unknown(
    documents: Sequence[Document], types: Mapping[str, int], relations: Mapping[str, int], known: frozenset[str]
) -> Counter[str]:
    """Labels that the label set lacks: of entities, of relations that no entity is named like, and in `labels`."""
    unknown = Counter({label: count for label, count in types.items() if label not in known})
    unknown.update({label: count for label, count in relations.items() if label not in known | types.keys()})
    unknown.update(label for document in documents for label in document.labels or () if label not in known)
    return unknown


def _illegal(document: Document, labels: LabelSet) -> Iterator[str]:
    types = {entity.id: entity.type for entity in document.entities}
    for relation in document.relations:
        head, tail = types[relation.head], types[relation.tail]
        if not {relation.type, head, tail} <= set(labels.names):
            continue
        if relation.type not in labels.modifiers.get(head, ()):
            yield f"{relation.type} on {head}"
        elif tail != relation.type:
            yield f"{relation.type} with a tail marked {tail}"


def _unlinked(document: Document, labels: LabelSet) -> int:
    tails = {relation.tail for relation in document.relations}
    return sum(entity.type in labels.modifier_types and entity.id not in tails for entity in document.entities)


def _label_set(document: Document) -> str:
    return "all" if document.labels is None else ", ".join(document.labels) or "none"


def _outside(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        if document.labels is not None:
            yield from (entity.type for entity in document.entities if entity.type not in document.labels)


def _duplicates(documents: Sequence[Document]) -> list[list[str]]:
    texts: dict[str, list[str]] = {}
    for document in documents:
        if document.text.strip():
            texts.setdefault(digest_bytes(document.text.encode("utf-8", "surrogatepass")), []).append(document.id)
    return [group for group in texts.values() if len(group) > 1]


def _near(label: str, known: Iterable[str]) -> str | None:
    clause = nearest(label, known)
    return clause.split("'")[1] if clause.startswith("did you mean") else None


def _ordered(counts: Mapping[str, int], labels: LabelSet) -> list[str]:
    order = {label: place for place, label in enumerate(labels.names)}
    return sorted(counts, key=lambda label: (order.get(label, len(order)), label))


def _overlaps(entities: Sequence[Entity]) -> _Overlaps:
    """Nested entities, and pairs that overlap without nesting, by their code points."""
    order = sorted(entities, key=lambda entity: (entity.start, -entity.end))
    inside: set[str] = set()
    crossing = 0
    for at, outer in enumerate(order):
        for inner in order[at + 1 :]:
            if inner.start >= outer.end:
                break
            relation = _compare(outer, inner)
            if relation == "second inside":
                inside.add(inner.id)
            elif relation == "first inside":
                inside.add(outer.id)
            elif relation == "crossing":
                crossing += 1
    return _Overlaps(len(inside), crossing)


def _compare(first: Entity, second: Entity) -> str:
    if not any(a < d and c < b for a, b in first.spans for c, d in second.spans):
        return "apart"
    if all(any(a <= c and d <= b for a, b in first.spans) for c, d in second.spans):
        return "second inside"
    if all(any(c <= a and b <= d for c, d in second.spans) for a, b in first.spans):
        return "first inside"
    return "crossing"
