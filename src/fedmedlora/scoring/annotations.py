"""What is held against what: gold documents with their predicted ones, and the distinct annotations that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from fedmedlora.corpus.document import Document, Entity
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import CorpusError, LabelError
from fedmedlora.scoring.counts import Task
from fedmedlora.scoring.match import Annotation

Carriers: TypeAlias = dict[Annotation, list[str]]
"""Annotation → ids of the entities or relations that say it, in the document's order; duplicates share an entry."""


_NAMED_IN_MESSAGE = 3


def paired_documents(gold: Sequence[Document], predicted: Sequence[Document]) -> list[tuple[Document, Document]]:
    """Each gold document with the predicted one of its id, or with an empty one where there is none.

    Raises CorpusError on an id used twice, a predicted id absent from gold, or a predicted document whose text is not
    the gold document's.
    """
    answers = _by_id(predicted, "predicted")
    strangers = answers.keys() - _by_id(gold, "gold").keys()
    if strangers:
        raise CorpusError(
            f"{len(strangers)} predicted document(s) are not in gold, for instance {_some(strangers)}. "
            "Score predictions against the gold documents that they were made for."
        )
    pairs = [(one, answers.get(one.id, Document(one.id, one.text))) for one in gold]
    for one, answer in pairs:
        check_same_text(one, answer)
    return pairs


def check_same_text(gold: Document, predicted: Document) -> None:
    """Raise CorpusError unless offsets mean the same in both."""
    if predicted.text != gold.text:
        raise CorpusError(
            f"document '{gold.id}': gold has a text of {len(gold.text)} code points, the prediction another one of "
            f"{len(predicted.text)}. Offsets can only be compared on the same text; predict on the gold text."
        )


class ScoredLabels(NamedTuple):
    """The labels to be scored in one document."""

    entities: frozenset[str]
    modifiers: frozenset[str]


def scored_labels(gold: Document, labels: LabelSet) -> ScoredLabels:
    """What the gold note was annotated for. Raises LabelError on a label that `labels` does not hold."""
    try:
        asked = labels.asked(gold.labels)
    except LabelError as error:
        raise LabelError(f"document '{gold.id}': {error}") from error
    return ScoredLabels(asked.intersection(labels.entity_types), asked.intersection(labels.modifier_types))


def carriers(document: Document, task: Task, scored: ScoredLabels, side: str, dropped: Counter[str]) -> Carriers:
    """The annotations of one task that are scored: main entities for NER, relations for RE.

    side: "gold" or "predicted", for the reasons in `dropped`, to which what is left out is added.
    """
    if task == "ner":
        return _entities(document, scored, side, dropped)
    return _relations(document, scored, side, dropped)


def as_annotation(entity: Entity) -> Annotation:
    """A main entity as it is matched."""
    return Annotation(entity.type, entity.type, (entity.spans,))


def _entities(document: Document, scored: ScoredLabels, side: str, dropped: Counter[str]) -> Carriers:
    """Modifiers are left to the relations."""
    chosen: Carriers = {}
    for entity in document.entities:
        if entity.type not in scored.entities:
            if entity.type not in scored.modifiers:
                dropped[f"{side} entity of a label not annotated in gold"] += 1
            continue
        _add(chosen, as_annotation(entity), entity.id, f"{side} entity", dropped)
    return chosen


def _relations(document: Document, scored: ScoredLabels, side: str, dropped: Counter[str]) -> Carriers:
    """The relations whose type and whose head's type are scored."""
    chosen: Carriers = {}
    by_id: Mapping[str, Entity] = {entity.id: entity for entity in document.entities} if document.relations else {}
    for relation in document.relations:
        head, tail = by_id[relation.head], by_id[relation.tail]
        if relation.type not in scored.modifiers or head.type not in scored.entities:
            dropped[f"{side} relation of a label not annotated in gold"] += 1
            continue
        annotation = Annotation(relation.type, head.type, (head.spans, tail.spans))
        _add(chosen, annotation, relation.id, f"{side} relation", dropped)
    return chosen


def _add(chosen: Carriers, annotation: Annotation, name: str, what: str, dropped: Counter[str]) -> None:
    if annotation in chosen:
        dropped[f"{what} given twice"] += 1
    chosen.setdefault(annotation, []).append(name)


def _by_id(documents: Sequence[Document], side: str) -> dict[str, Document]:
    by_id = {document.id: document for document in documents}
    if len(by_id) < len(documents):
        twice = [name for name, uses in Counter(document.id for document in documents).items() if uses > 1]
        raise CorpusError(
            f"{len(twice)} {side} document id(s) are used more than once, for instance {_some(twice)}. "
            "Give every document its own id."
        )
    return by_id


def _some(ids: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(ids)[:_NAMED_IN_MESSAGE])
