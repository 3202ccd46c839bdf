"""Classes of errors: small notes counted by hand, and the laws that tie them to the scores."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scoring_laws import Case, annotated, cases

from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import CorpusError, LabelError
from fedmedlora.scoring import (
    CLASSES,
    TASKS,
    ErrorItem,
    Task,
    classify_errors,
    count_errors,
    score_documents,
)

TEXT = "x" * 60


def note(*marks: tuple[str, str, list[Span]], relations: tuple[Relation, ...] = (), **more: object) -> Document:
    """marks: (id, type, spans)."""
    entities = tuple(Entity(name, kind, tuple(spans)) for name, kind, spans in marks)
    return replace(Document("n", TEXT, entities, relations), **more)  # type: ignore[arg-type]


def classes(
    gold: Document, predicted: Document, task: Task = "ner"
) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    found = classify_errors(gold, predicted, CLINICAL, task)
    return [(item.kind, item.gold, item.predicted) for item in found]


def test_one_of_every_class_of_entity() -> None:
    gold = note(
        ("g1", "drug", [(0, 5)]),  # the same
        ("g2", "drug", [(6, 12)]),  # [6, 9]: same type, overlap
        ("g3", "drug", [(14, 18)]),  # test at the same place
        ("g4", "drug", [(20, 25)]),  # test at [22, 27]
        ("g5", "drug", [(30, 33)]),  # nothing there
    )
    predicted = note(
        ("p1", "drug", [(0, 5)]),
        ("p2", "drug", [(6, 9)]),
        ("p3", "test", [(14, 18)]),
        ("p4", "test", [(22, 27)]),
        ("p5", "drug", [(40, 44)]),
    )
    assert classes(gold, predicted) == [
        ("correct", ("g1",), ("p1",)),
        ("boundary", ("g2",), ("p2",)),
        ("type", ("g3",), ("p3",)),
        ("type and boundary", ("g4",), ("p4",)),
        ("missed", ("g5",), ()),
        ("spurious", (), ("p5",)),
    ]
    assert count_errors([gold], [predicted], CLINICAL, "ner") == dict.fromkeys(CLASSES["ner"], 1)
    types = [item.type for item in classify_errors(gold, predicted, CLINICAL, "ner")]
    assert types == ["drug"] * 6


def test_a_better_class_goes_first_and_a_second_prediction_is_spurious() -> None:
    # The exact one takes the gold entity, whichever comes first in the note; the piece of it has no partner left.
    gold = note(("g", "drug", [(0, 10)]))
    assert classes(gold, note(("p1", "drug", [(0, 4)]), ("p2", "drug", [(0, 10)]))) == [
        ("spurious", (), ("p1",)),
        ("correct", ("g",), ("p2",)),
    ]
    # Right type with wrong boundaries is preferred to right boundaries with the wrong type.
    assert classes(gold, note(("p1", "test", [(0, 10)]), ("p2", "drug", [(0, 4)]))) == [
        ("boundary", ("g",), ("p2",)),
        ("spurious", (), ("p1",)),
    ]


def test_the_one_that_agrees_best_is_the_partner() -> None:
    # One prediction [4, 20] over golds [0, 5] (1 of 20 code points shared) and [6, 20] (14 of 16).
    gold = note(("g1", "drug", [(0, 5)]), ("g2", "drug", [(6, 20)]))
    assert classes(gold, note(("p", "drug", [(4, 20)]))) == [
        ("missed", ("g1",), ()),
        ("boundary", ("g2",), ("p",)),
    ]


def test_as_many_pairs_as_possible() -> None:
    # p1 agrees best with g1 (9 of 11), but g2 overlaps p1 alone: g1 goes to p2, so that nobody is left over.
    gold = note(("g1", "drug", [(0, 10)]), ("g2", "drug", [(10, 30)]))
    predicted = note(("p1", "drug", [(1, 11)]), ("p2", "drug", [(0, 1)]))
    assert classes(gold, predicted) == [("boundary", ("g1",), ("p2",)), ("boundary", ("g2",), ("p1",))]


def test_discontinuous_spans() -> None:
    # [3, 5] lies in the gap of the first gold entity and so does not touch it; [0, 2] alone is a piece of the second.
    gold = note(("g1", "drug", [(0, 2), (6, 8)]), ("g2", "test", [(20, 22), (24, 26)]))
    predicted = note(("p1", "drug", [(3, 5)]), ("p2", "test", [(20, 26)]))
    assert classes(gold, predicted) == [
        ("missed", ("g1",), ()),
        ("spurious", (), ("p1",)),
        ("boundary", ("g2",), ("p2",)),
    ]


def test_duplicates_are_one_item_with_all_ids() -> None:
    gold = note(("g1", "drug", [(0, 5)]), ("g2", "drug", [(0, 5)]))
    predicted = note(("p1", "drug", [(0, 5)]), ("p2", "drug", [(0, 5)]))
    assert classify_errors(gold, predicted, CLINICAL, "ner") == [
        ErrorItem("correct", "drug", ("g1", "g2"), ("p1", "p2"))
    ]


def test_a_label_that_was_not_annotated_is_no_error() -> None:
    # Drug alone was annotated: the test on either side is unknown here, so drug [0, 5] is missed, not a wrong type.
    gold = note(("g1", "drug", [(0, 5)]), ("g2", "test", [(10, 15)]), labels=("drug",))
    assert classes(gold, note(("p1", "test", [(0, 5)]), ("p2", "test", [(20, 25)]))) == [("missed", ("g1",), ())]


HEADS = (("a", "drug", [(0, 5)]), ("b", "drug", [(30, 35)]))


def test_one_of_every_class_of_relation() -> None:
    gold = note(
        *HEADS,
        ("t1", "dosage", [(6, 9)]),
        ("t2", "dosage", [(10, 14)]),
        ("t3", "route", [(15, 18)]),
        ("t4", "dosage", [(20, 24)]),
        ("t5", "route", [(40, 44)]),
        relations=(
            Relation("r1", "dosage", "a", "t1"),
            Relation("r2", "dosage", "a", "t2"),
            Relation("r3", "route", "a", "t3"),
            Relation("r4", "dosage", "a", "t4"),
            Relation("r5", "route", "b", "t5"),
        ),
    )
    predicted = note(
        *HEADS,
        ("m1", "dosage", [(6, 9)]),
        ("m2", "dosage", [(10, 12)]),
        ("m3", "form", [(15, 18)]),
        ("m4", "dosage", [(20, 24)]),
        ("m5", "form", [(50, 54)]),
        relations=(
            Relation("s1", "dosage", "a", "m1"),
            Relation("s2", "dosage", "a", "m2"),
            Relation("s3", "form", "a", "m3"),
            Relation("s4", "dosage", "b", "m4"),
            Relation("s5", "form", "b", "m5"),
        ),
    )
    assert classes(gold, predicted, "re") == [
        ("correct", ("r1",), ("s1",)),
        ("boundary", ("r2",), ("s2",)),
        ("type", ("r3",), ("s3",)),
        ("wrong target", ("r4",), ("s4",)),
        ("missed", ("r5",), ()),
        ("spurious", (), ("s5",)),
    ]
    assert count_errors([gold], [predicted], CLINICAL, "re") == dict.fromkeys(CLASSES["re"], 1)


def test_a_modifier_given_to_the_right_and_to_a_wrong_entity() -> None:
    # The gold relation is found; the other one has no gold relation left to be the wrong target of.
    tail = ("t", "dosage", [(6, 9)])
    gold = note(*HEADS, tail, relations=(Relation("r", "dosage", "a", "t"),))
    both = (Relation("s1", "dosage", "a", "t"), Relation("s2", "dosage", "b", "t"))
    assert classes(gold, note(*HEADS, tail, relations=both), "re") == [
        ("correct", ("r",), ("s1",)),
        ("spurious", (), ("s2",)),
    ]


@pytest.mark.parametrize(
    ("other_entity", "expected"),
    [
        # [0, 3] is nobody's gold entity: the predicted head is drug [0, 5] with wrong boundaries.
        (("z", "drug", [(50, 55)]), "boundary"),
        # [0, 3] is a gold entity of its own: the modifier was given to the wrong one of two nested entities.
        (("z", "drug", [(0, 3)]), "wrong target"),
    ],
)
def test_a_head_with_other_boundaries(other_entity: tuple[str, str, list[Span]], expected: str) -> None:
    tail = ("t", "dosage", [(6, 9)])
    gold = note(("a", "drug", [(0, 5)]), other_entity, tail, relations=(Relation("r", "dosage", "a", "t"),))
    predicted = note(("p", "drug", [(0, 3)]), tail, relations=(Relation("s", "dosage", "p", "t"),))
    assert classes(gold, predicted, "re") == [(expected, ("r",), ("s",))]


def test_bad_input_is_refused_as_in_scoring() -> None:
    with pytest.raises(CorpusError, match="code points"):
        classify_errors(note(), Document("n", "another text"), CLINICAL, "ner")
    with pytest.raises(LabelError, match="document 'n'"):
        classify_errors(note(labels=("no such label",)), note(), CLINICAL, "ner")
    with pytest.raises(CorpusError, match="not in gold"):
        count_errors([note()], [Document("m", TEXT)], CLINICAL, "ner")
    # No answer at all: everything in gold is missed.
    assert count_errors([note(("g", "drug", [(0, 5)]))], [], CLINICAL, "ner")["missed"] == 1


@settings(deadline=None, max_examples=100)
@given(cases())
def test_errors_add_up_to_the_scores(case: Case) -> None:
    gold, predicted = case
    scores = score_documents(gold, predicted, CLINICAL)
    for task in TASKS:
        strict, lenient = scores.of(task).strict, scores.of(task).lenient
        counted = count_errors(gold, predicted, CLINICAL, task)
        assert counted["correct"] == strict.correct
        assert counted["correct"] + counted["boundary"] <= lenient.correct
        assert sum(counted.values()) - counted["spurious"] == strict.gold
        assert sum(counted.values()) - counted["missed"] == strict.pred
    # Putting k exact pairs first costs a matching at most k pairs. Of relations, lenient counts some wrong targets too.
    found = count_errors(gold, predicted, CLINICAL, "ner")
    assert scores.ner.lenient.correct <= 2 * found["correct"] + found["boundary"]


@settings(deadline=None, max_examples=100)
@given(annotated("d"), annotated("d"), st.randoms(use_true_random=False))
def test_everything_has_one_class_and_order_is_irrelevant(gold: Document, predicted: Document, random: Random) -> None:
    def shuffled(document: Document) -> Document:
        entities = tuple(random.sample(document.entities, len(document.entities)))
        return replace(
            document, entities=entities, relations=tuple(random.sample(document.relations, len(document.relations)))
        )

    def told(items: list[ErrorItem]) -> list[tuple[str, str, set[str], set[str]]]:
        return [(item.kind, item.type, set(item.gold), set(item.predicted)) for item in items]

    for task in TASKS:
        items = classify_errors(gold, predicted, CLINICAL, task)
        for side in ("gold", "predicted"):
            ids = [name for item in items for name in getattr(item, side)]
            assert len(ids) == len(set(ids))
        assert told(classify_errors(shuffled(gold), shuffled(predicted), CLINICAL, task)) == told(items)
        assert all(item.kind == "correct" for item in classify_errors(gold, gold, CLINICAL, task))
