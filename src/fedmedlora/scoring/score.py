"""Strict and lenient precision, recall and F1 of predicted documents against gold ones, for NER and RE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from fedmedlora.corpus.document import Document, Json
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.scoring.annotations import carriers, paired_documents, scored_labels
from fedmedlora.scoring.counts import TASKS, Count, Counts, DocumentCounts, Task
from fedmedlora.scoring.match import Annotation, lenient_matches, strict_matches


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
    pairs = paired_documents(gold, predicted)
    dropped: Counter[str] = Counter()
    documents = tuple(_score_document(one, answer, labels, dropped) for one, answer in pairs)
    return Scores(
        ner=_total(documents, "ner", labels.entity_types),
        re=_total(documents, "re", labels.modifier_types),
        documents=documents,
        unanswered=len(gold) - len(predicted),
        dropped=dropped,
    )


def _score_document(gold: Document, predicted: Document, labels: LabelSet, dropped: Counter[str]) -> DocumentCounts:
    scored = scored_labels(gold, labels)
    found: dict[Task, dict[str, Counts]] = {}
    for task in TASKS:
        golds = carriers(gold, task, scored, "gold", dropped).keys()
        found[task] = _compare(golds, carriers(predicted, task, scored, "predicted", dropped).keys())
    return DocumentCounts(gold.id, ner=found["ner"], re=found["re"])


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
