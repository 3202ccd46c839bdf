"""Strict and lenient precision, recall and F1 of predicted documents against gold ones, for NER and RE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from fedmedlora.corpus.document import Document, Json
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import CorpusError, LabelError
from fedmedlora.scoring.counts import Count, Counts, DocumentCounts, Task
from fedmedlora.scoring.match import Annotation, lenient_matches, strict_matches

_NAMED_IN_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One task's micro counts, and the counts of every type of the label set beside them."""

    strict: Count
    lenient: Count
    types: Mapping[str, Counts]

    def to_json(self) -> dict[str, Json]:
        """`{"strict": …, "lenient": …, "types": {type: {"strict": …, "lenient": …}}}`."""
        return {
            "strict": self.strict.to_json(),
            "lenient": self.lenient.to_json(),
            "types": {name: counts.to_json() for name, counts in self.types.items()},
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """What a set of predictions is worth.

    documents: counts per gold document, in the order of the gold documents.
    unanswered: gold documents without a predicted one; each counts as a document with no prediction.
    dropped: annotations left out of the counts, reason → number.
    """

    ner: TaskScores
    re: TaskScores
    documents: tuple[DocumentCounts, ...]
    unanswered: int
    dropped: Mapping[str, int]

    def of(self, task: Task) -> TaskScores:
        """The scores of one task."""
        return self.ner if task == "ner" else self.re

    def to_json(self) -> dict[str, Json]:
        """`{"ner": …, "re": …, "documents": n}`, the object of `fedmedlora score --json`."""
        return {"ner": self.ner.to_json(), "re": self.re.to_json(), "documents": len(self.documents)}


def score_documents(gold: Sequence[Document], predicted: Sequence[Document], labels: LabelSet) -> Scores:
    """Score predicted documents against gold ones of the same id.

    Gold drug [0, 7] and test [9, 12], predicted drug [0, 6] and test [9, 12]: NER strict has gold 2, pred 2,
    correct 1 (F1 0.5), lenient correct 2 (F1 1.0).

    NER counts the main entities, RE the modifiers: a relation is right strictly when its type, its head's type and
    spans and its tail's spans agree, leniently when its type and its head's type agree and both spans overlap.
    Duplicates count once. Only labels that the gold document's `labels` name are scored, a relation only when its type
    and its head's type are both among them. A gold document without a predicted one has no prediction.

    Raises CorpusError on an id used twice, a predicted id absent from gold, or a predicted document whose text is not
    the gold document's (its offsets would mean nothing); LabelError on a label that `labels` does not hold.
    """
    answers = _by_id(predicted, "predicted")
    known = _by_id(gold, "gold")
    strangers = [name for name in answers if name not in known]
    if strangers:
        raise CorpusError(
            f"{len(strangers)} predicted document(s) are not in gold, for instance {_some(strangers)}. "
            "Score predictions against the gold documents that they were made for."
        )
    dropped: Counter[str] = Counter()
    documents = tuple(_score_document(one, answers.get(one.id), labels, dropped) for one in gold)
    return Scores(
        ner=_total(documents, "ner", labels.entity_types),
        re=_total(documents, "re", labels.modifier_types),
        documents=documents,
        unanswered=len(known) - len(answers),
        dropped=dropped,
    )


class _Scored(NamedTuple):
    """The labels to be scored in one document."""

    entities: frozenset[str]
    modifiers: frozenset[str]


def _score_document(
    gold: Document, predicted: Document | None, labels: LabelSet, dropped: Counter[str]
) -> DocumentCounts:
    scored = _scored(gold, labels)
    if predicted is None:
        predicted = Document(gold.id, gold.text)
    elif predicted.text != gold.text:
        raise CorpusError(
            f"document '{gold.id}': gold has a text of {len(gold.text)} code points, the prediction another one of "
            f"{len(predicted.text)}. Offsets can only be compared on the same text; predict on the gold text."
        )
    return DocumentCounts(
        gold.id,
        ner=_compare(_entities(gold, scored, "gold", dropped), _entities(predicted, scored, "predicted", dropped)),
        re=_compare(_relations(gold, scored, "gold", dropped), _relations(predicted, scored, "predicted", dropped)),
    )


def _scored(gold: Document, labels: LabelSet) -> _Scored:
    try:
        asked = labels.asked(gold.labels)
    except LabelError as error:
        raise LabelError(f"document '{gold.id}': {error}") from error
    return _Scored(asked.intersection(labels.entity_types), asked.intersection(labels.modifier_types))


def _entities(document: Document, scored: _Scored, side: str, dropped: Counter[str]) -> Set[Annotation]:
    """The document's main entities that are scored. Modifiers are left to the relations."""
    chosen: set[Annotation] = set()
    for entity in document.entities:
        if entity.type not in scored.entities:
            if entity.type not in scored.modifiers:
                dropped[f"{side} entity of a label not annotated in gold"] += 1
            continue
        _add(chosen, Annotation(entity.type, entity.type, (entity.spans,)), f"{side} entity", dropped)
    return chosen


def _relations(document: Document, scored: _Scored, side: str, dropped: Counter[str]) -> Set[Annotation]:
    """The document's relations whose type and whose head's type are scored."""
    chosen: set[Annotation] = set()
    by_id = {entity.id: entity for entity in document.entities} if document.relations else {}
    for relation in document.relations:
        head, tail = by_id[relation.head], by_id[relation.tail]
        if relation.type not in scored.modifiers or head.type not in scored.entities:
            dropped[f"{side} relation of a label not annotated in gold"] += 1
            continue
        _add(chosen, Annotation(relation.type, head.type, (head.spans, tail.spans)), f"{side} relation", dropped)
    return chosen


def _add(chosen: set[Annotation], annotation: Annotation, what: str, dropped: Counter[str]) -> None:
    if annotation in chosen:
        dropped[f"{what} given twice"] += 1
    chosen.add(annotation)


def _compare(gold: Set[Annotation], predicted: Set[Annotation]) -> dict[str, Counts]:
    """Label → counts under both rules, for the labels that either side uses."""
    golds = Counter(annotation.label for annotation in gold)
    predictions = Counter(annotation.label for annotation in predicted)
    strict, lenient = strict_matches(gold, predicted), lenient_matches(gold, predicted)
    return {
        label: Counts(
            Count(golds[label], predictions[label], strict[label]),
            Count(golds[label], predictions[label], lenient[label]),
        )
        for label in sorted(golds | predictions)
    }


def _total(documents: Sequence[DocumentCounts], task: Task, types: Sequence[str]) -> TaskScores:
    """Sum over documents. Every type of the label set is listed; one that never occurs shows as not supported."""
    totals = dict.fromkeys(types, Counts())
    for document in documents:
        for label, counts in document.types(task).items():
            totals[label] += counts
    micro = sum(totals.values(), Counts())
    return TaskScores(micro.strict, micro.lenient, totals)


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
