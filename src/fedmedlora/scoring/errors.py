"""What kind of mistake each gold and each predicted annotation is. Two documents in, classes with ids out.

Gold drugs [0, 10] and [20, 25], predicted drug [0, 6] and tests [20, 25] and [30, 34]:

    boundary  drug [0, 10]   predicted as drug [0, 6]
    type      drug [20, 25]  predicted as test [20, 25]
    spurious                 test [30, 34]

Gold and predicted annotations are paired one to one, class after class in this order, each class with as many pairs as
it can have among what the earlier ones left:

    NER                                          RE
    correct            all equal                 all equal
    boundary           same type, overlap        same type, same entity, modifiers overlap
    type               same boundaries, another  same entity, same modifier boundaries, another type
                       type
    type and boundary  overlap, another type
    wrong target                                 same type and modifier boundaries, another entity

What is left over is missed in gold and spurious in the prediction. So a second prediction inside one gold entity is
spurious, and so is a modifier that is rightly given to one entity and wrongly to another one too.

In RE the entity is the same when type and boundaries agree; one of another type is another entity. A predicted head
that is no gold entity is also taken for the gold entity of its type that it overlaps; this can only happen where heads
are predicted as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.scoring.annotations import (
    Carriers,
    as_annotation,
    carriers,
    check_same_text,
    paired_documents,
    scored_labels,
)
from fedmedlora.scoring.counts import Task
from fedmedlora.scoring.match import Annotation, Region, matched_pairs, overlap

ErrorClass: TypeAlias = Literal[
    "correct", "boundary", "type", "type and boundary", "wrong target", "missed", "spurious"
]
Suits: TypeAlias = Callable[[Annotation, Annotation], bool]

CLASSES: dict[Task, tuple[ErrorClass, ...]] = {
    "ner": ("correct", "boundary", "type", "type and boundary", "missed", "spurious"),
    "re": ("correct", "boundary", "type", "wrong target", "missed", "spurious"),
}
"""The classes of each task, in the order of preference."""


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One pair, or one annotation without a partner.

    type: the entity's or modifier's type in gold; of a spurious one, in the prediction.
    gold, predicted: ids of the entities (NER) or relations (RE) in the two documents; those of duplicates stand
    together. gold is empty for "spurious", predicted for "missed".
    """

    kind: ErrorClass
    type: str
    gold: tuple[str, ...]
    predicted: tuple[str, ...]


def classify_errors(gold: Document, predicted: Document, labels: LabelSet, task: Task) -> list[ErrorItem]:
    """The class of every scored annotation of two documents with one text, in the order of the text.

    What counts is what `score_documents` counts: labels that the gold note was annotated for, duplicates once. So the
    number of "correct" items is the strict correct, and adding "boundary" never exceeds the lenient one.

    Raises CorpusError when the texts differ, LabelError on a label that `labels` does not hold.
    """
    check_same_text(gold, predicted)
    scored, left_out = scored_labels(gold, labels), Counter[str]()
    golds = carriers(gold, task, scored, "gold", left_out)
    predictions = carriers(predicted, task, scored, "predicted", left_out)
    rules = _ENTITY_RULES if task == "ner" else _relation_rules(gold)
    free_golds, free_predictions = sorted(golds, key=_place), sorted(predictions, key=_place)
    found: list[tuple[Annotation, ErrorItem]] = []  # the annotation says where in the text
    for kind, suits in rules:
        for one, other in _pairs(free_golds, free_predictions, suits):
            free_golds.remove(one)
            free_predictions.remove(other)
            found.append((one, _item(kind, one, golds, other, predictions)))
    found += [(one, ErrorItem("missed", one.label, tuple(golds[one]), ())) for one in free_golds]
    found += [(one, ErrorItem("spurious", one.label, (), tuple(predictions[one]))) for one in free_predictions]
    return [item for _, item in sorted(found, key=lambda entry: _place(entry[0]))]


def count_errors(
    gold: Sequence[Document], predicted: Sequence[Document], labels: LabelSet, task: Task
) -> dict[ErrorClass, int]:
    """How many of each class, over documents paired by id; every class of the task is there, with 0 too.

    All classes but "spurious" add up to the gold annotations, all but "missed" to the predicted ones. A gold document
    without a predicted one has its annotations missed.

    Raises what `score_documents` raises.
    """
    counted = Counter(
        item.kind
        for one, answer in paired_documents(gold, predicted)
        for item in classify_errors(one, answer, labels, task)
    )
    return {kind: counted[kind] for kind in CLASSES[task]}


def _item(
    kind: ErrorClass, gold: Annotation, golds: Carriers, predicted: Annotation, predictions: Carriers
) -> ErrorItem:
    return ErrorItem(kind, gold.label, tuple(golds[gold]), tuple(predictions[predicted]))


def _pairs(
    golds: Sequence[Annotation], predictions: Sequence[Annotation], suits: Suits
) -> list[tuple[Annotation, Annotation]]:
    """As many pairs as possible; where there is a choice, those that cover each other best come first."""
    candidates: list[tuple[float, int, list[int]]] = []
    for place, one in enumerate(golds):
        close = [(-_agreement(one, other), at) for at, other in enumerate(predictions) if suits(one, other)]
        if close:
            candidates.append((min(close)[0], place, [at for _, at in sorted(close)]))
    candidates.sort()
    pairs = matched_pairs([at for _, _, at in candidates])
    return [(golds[candidates[left][1]], predictions[right]) for left, right in pairs.items()]


def _agreement(gold: Annotation, predicted: Annotation) -> float:
    """Shared code points over all code points of the two, summed over regions; 1 when they are equal."""
    pairs = list(zip(gold.regions, predicted.regions, strict=True))
    shared = sum(_shared(one, other) for one, other in pairs)
    return shared / (sum(_size(one) + _size(other) for one, other in pairs) - shared)


def _shared(one: Region, other: Region) -> int:
    return sum(max(0, min(end, last) - max(start, first)) for start, end in one for first, last in other)


def _size(region: Region) -> int:
    return sum(end - start for start, end in region)


def _place(annotation: Annotation) -> tuple[Region, tuple[Region, ...], str, str]:
    """Where it stands in the text, a relation where its modifier does; the rest makes the order total."""
    return annotation.regions[-1], annotation.regions, annotation.label, annotation.entity_type


def _equal(gold: Annotation, predicted: Annotation) -> bool:
    return gold == predicted


def _entity_boundary(gold: Annotation, predicted: Annotation) -> bool:
    return gold.label == predicted.label and overlap(gold.regions[0], predicted.regions[0])


def _entity_type(gold: Annotation, predicted: Annotation) -> bool:
    return gold.regions == predicted.regions and gold.label != predicted.label


def _entity_both(gold: Annotation, predicted: Annotation) -> bool:
    return gold.label != predicted.label and overlap(gold.regions[0], predicted.regions[0])


_ENTITY_RULES: tuple[tuple[ErrorClass, Suits], ...] = (
    ("correct", _equal),
    ("boundary", _entity_boundary),
    ("type", _entity_type),
    ("type and boundary", _entity_both),
)


def _relation_rules(gold: Document) -> tuple[tuple[ErrorClass, Suits], ...]:
    known = {as_annotation(entity) for entity in gold.entities}

    def same_head(one: Annotation, other: Annotation) -> bool:
        if one.entity_type != other.entity_type:
            return False
        if one.regions[0] == other.regions[0]:
            return True
        stranger = Annotation(other.entity_type, other.entity_type, other.regions[:1]) not in known
        return stranger and overlap(one.regions[0], other.regions[0])

    def boundary(one: Annotation, other: Annotation) -> bool:
        return one.label == other.label and same_head(one, other) and overlap(one.regions[1], other.regions[1])

    def another_type(one: Annotation, other: Annotation) -> bool:
        return one.label != other.label and same_head(one, other) and one.regions[1] == other.regions[1]

    def wrong_target(one: Annotation, other: Annotation) -> bool:
        return one.label == other.label and not same_head(one, other) and one.regions[1] == other.regions[1]

    return (("correct", _equal), ("boundary", boundary), ("type", another_type), ("wrong target", wrong_target))
