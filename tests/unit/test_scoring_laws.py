"""Laws of scoring on random documents, and agreement with nervaluate where the two definitions are the same."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate import Evaluator
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.scoring import MODES, TASKS, Count, Counts, Scores, score_documents

SIZE = 24
TEXT = "x" * SIZE
TYPES = ("drug", "test", "negation", "route")
Case = tuple[list[Document], list[Document]]
Results = dict[str, object]


@st.composite
def regions(draw: st.DrawFn) -> tuple[Span, ...]:
    """One piece, or two that do not overlap."""
    cuts = sorted(draw(st.lists(st.integers(0, SIZE), min_size=2, max_size=4, unique=True)))
    pieces = [(cuts[0], cuts[1])] if len(cuts) < 4 else [(cuts[0], cuts[1]), (cuts[2], cuts[3])]
    return tuple(pieces)


@st.composite
def annotated(draw: st.DrawFn, name: str) -> Document:
    """A small crowded note: overlapping, nested, discontinuous and repeated annotations."""
    marks = draw(st.lists(st.tuples(st.sampled_from(TYPES), regions()), max_size=7))
    entities = tuple(Entity(f"e{number}", kind, spans) for number, (kind, spans) in enumerate(marks))
    ends = st.sampled_from([entity.id for entity in entities]) if entities else st.nothing()
    pairs = (
        draw(st.lists(st.tuples(st.sampled_from(("negation", "route")), ends, ends), max_size=6)) if entities else []
    )
    relations = tuple(Relation(f"r{number}", *pair) for number, pair in enumerate(pairs))
    return Document(name, TEXT, entities, relations)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = [f"d{number}" for number in range(draw(st.integers(1, 3)))]
    return [draw(annotated(name)) for name in names], [draw(annotated(name)) for name in names]


def counts_of(scores: Scores) -> list[Count]:
    """Micro and per-type counts of both tasks and modes."""
    found = []
    for task in TASKS:
        of_task = scores.of(task)
        found += [of_task.strict, of_task.lenient]
        found += [counts.of(mode) for counts in of_task.types.values() for mode in MODES]
    return found


@settings(deadline=None, max_examples=70)
@given(cases())
def test_strict_is_never_more_than_lenient_and_all_stay_in_range(case: Case) -> None:
    scores = score_documents(*case, CLINICAL)
    for task in TASKS:
        micro = Counts(scores.of(task).strict, scores.of(task).lenient)
        for counts in (micro, *scores.of(task).types.values()):
            assert counts.strict.correct <= counts.lenient.correct
            assert (counts.strict.gold, counts.strict.pred) == (counts.lenient.gold, counts.lenient.pred)
    for count in counts_of(scores):
        assert 0 <= count.correct <= min(count.gold, count.pred)
        for value in (count.precision, count.recall, count.f1):
            assert value is None or 0 <= value <= 1
        assert (count.f1 is None) == (count.gold == count.pred == 0)


@settings(deadline=None, max_examples=70)
@given(cases())
def test_swapping_the_sides_swaps_precision_and_recall(case: Case) -> None:
    gold, predicted = case
    for there, back in zip(
        counts_of(score_documents(gold, predicted, CLINICAL)),
        counts_of(score_documents(predicted, gold, CLINICAL)),
        strict=True,
    ):
        assert (there.precision, there.recall, there.f1) == (back.recall, back.precision, back.f1)


@settings(deadline=None, max_examples=70)
@given(cases())
def test_a_perfect_prediction_is_1_and_an_absent_class_unsupported(case: Case) -> None:
    gold, _ = case
    for count in counts_of(score_documents(gold, gold, CLINICAL)):
        assert count.f1 == (1.0 if count.gold else None)


@settings(deadline=None, max_examples=70)
@given(cases(), st.randoms(use_true_random=False))
def test_order_is_irrelevant(case: Case, random: Random) -> None:
    gold, predicted = case

    def shuffled(documents: list[Document]) -> list[Document]:
        turned = [
            replace(
                document,
                entities=tuple(random.sample(document.entities, len(document.entities))),
                relations=tuple(random.sample(document.relations, len(document.relations))),
            )
            for document in documents
        ]
        return random.sample(turned, len(turned))

    turned = score_documents(shuffled(gold), shuffled(predicted), CLINICAL)
    assert turned.to_json() == score_documents(gold, predicted, CLINICAL).to_json()


@settings(deadline=None, max_examples=70)
@given(cases())
def test_a_spurious_prediction_never_raises_precision_nor_changes_recall(case: Case) -> None:
    gold, predicted = [replace(document, text=TEXT + "yyyy") for document in case[0]], [*case[1]]
    predicted = [replace(document, text=TEXT + "yyyy") for document in predicted]
    spurious = (*predicted[0].entities, Entity("spurious", "drug", ((SIZE, SIZE + 4),)))
    before = score_documents(gold, predicted, CLINICAL).ner
    after = score_documents(gold, [replace(predicted[0], entities=spurious), *predicted[1:]], CLINICAL).ner
    for mode in MODES:
        old, new = before.types["drug"].of(mode), after.types["drug"].of(mode)
        assert new == Count(old.gold, old.pred + 1, old.correct)
        assert (new.precision or 0.0) <= (old.precision or 0.0)
        assert new.recall == old.recall


@settings(deadline=None, max_examples=70)
@given(cases())
def test_documents_add_up(case: Case) -> None:
    gold, predicted = case
    whole = score_documents(gold, predicted, CLINICAL)
    for task in TASKS:
        alone = [score_documents([one], [other], CLINICAL).of(task) for one, other in zip(gold, predicted, strict=True)]
        assert sum((scores.strict for scores in alone), Count()) == whole.of(task).strict
        assert sum((scores.lenient for scores in alone), Count()) == whole.of(task).lenient


def _slow_lenient(gold: Document, predicted: Document, kind: str) -> int:
    """Largest matching by scipy on the full table of pairs, overlap decided code point by code point."""

    def marked(document: Document) -> list[set[int]]:
        spans = {entity.spans for entity in document.entities if entity.type == kind}
        return [{at for start, end in each for at in range(start, end)} for each in spans]

    table = np.array([[bool(one & other) for other in marked(predicted)] for one in marked(gold)], dtype=np.int8)
    if table.size == 0:
        return 0
    return int((maximum_bipartite_matching(csr_matrix(table), perm_type="column") >= 0).sum())


@settings(deadline=None, max_examples=70)
@given(cases())
def test_lenient_equals_the_slow_way(case: Case) -> None:
    scores = score_documents(*case, CLINICAL)
    for kind in ("drug", "test"):
        expected = sum(_slow_lenient(one, other, kind) for one, other in zip(*case, strict=True))
        assert scores.ner.types[kind].lenient.correct == expected


def _flat(draw: Random, name: str) -> Document:
    """Contiguous entities that neither overlap nor touch, of three types."""
    entities, at = [], draw.randrange(4)
    while at < 70:
        end = at + draw.randrange(1, 8)
        entities.append(Entity(f"e{at}", draw.choice(("drug", "test", "problem")), ((at, end),)))
        at = end + draw.randrange(1, 7)
    return Document(name, "x" * 80, tuple(entities))


def _slotted(draw: Random, name: str) -> Document:
    """At most one entity in each of eight slots, so that no entity overlaps two of the other side."""
    entities = []
    for slot in range(8):
        if draw.random() < 0.8:
            start = 10 * slot + draw.randrange(6)
            kind = draw.choice(("drug", "test", "problem"))
            entities.append(Entity(f"e{slot}", kind, ((start, start + draw.randrange(1, 4)),)))
    return Document(name, "x" * 80, tuple(entities))


def _nervaluate(
    gold: list[Document], predicted: list[Document]
) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """(overall, per type) results of nervaluate, whose ends are inclusive."""
    sides = [
        [[{"label": e.type, "start": e.start, "end": e.end - 1} for e in document.entities] for document in side]
        for side in (gold, predicted)
    ]
    result = Evaluator(*sides, tags=["drug", "test", "problem"], loader="dict").evaluate()
    return result["overall"], result["entities"]


def _same(ours: Count, theirs: object) -> bool:
    return (ours.correct, ours.gold, ours.pred) == (
        getattr(theirs, "correct", None),
        getattr(theirs, "possible", None),
        getattr(theirs, "actual", None),
    )


def test_strict_equals_nervaluate_on_flat_annotations() -> None:
    for seed in range(40):
        draw = Random(seed)
        gold = [_flat(draw, f"d{number}") for number in range(4)]
        predicted = [_flat(draw, f"d{number}") for number in range(4)]
        # Some exact agreement: half of the documents keep every second gold entity, at its place, of its type.
        predicted[:2] = [replace(document, entities=document.entities[::2]) for document in gold[:2]]
        scores = score_documents(gold, predicted, CLINICAL)
        overall, by_type = _nervaluate(gold, predicted)
        assert scores.ner.strict.correct > 0
        assert _same(scores.ner.strict, overall["strict"])
        for kind, results in by_type.items():
            assert _same(scores.ner.types[kind].strict, results["strict"])
            # nervaluate matches one prediction after another, so it may find fewer lenient pairs and never more.
            assert scores.ner.types[kind].lenient.correct >= getattr(results["ent_type"], "correct", -1)


def test_lenient_equals_nervaluate_ent_type_where_overlaps_are_one_to_one() -> None:
    for seed in range(40):
        draw = Random(seed)
        gold = [_slotted(draw, f"d{number}") for number in range(4)]
        predicted = [_slotted(draw, f"d{number}") for number in range(4)]
        scores = score_documents(gold, predicted, CLINICAL)
        overall, by_type = _nervaluate(gold, predicted)
        assert scores.ner.lenient.correct > 0
        assert _same(scores.ner.lenient, overall["ent_type"])
        for kind, results in by_type.items():
            assert _same(scores.ner.types[kind].lenient, results["ent_type"])
