"""Whole documents scored, every expected count by hand."""

from __future__ import annotations

import json
import time
from random import Random

import pytest

from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import CorpusError, LabelError
from fedmedlora.scoring import Count, Counts, Scores, score_documents

TEXT = "x" * 100


def entity(name: str, kind: str, *spans: Span) -> Entity:
    return Entity(name, kind, spans)


def note(
    *entities: Entity,
    relations: tuple[Relation, ...] = (),
    labels: tuple[str, ...] | None = None,
    name: str = "d1",
    text: str = TEXT,
) -> Document:
    return Document(name, text, entities, relations, labels=labels)


def score(gold: Document, predicted: Document) -> Scores:
    return score_documents([gold], [predicted], CLINICAL)


def test_precision_recall_f1_by_hand() -> None:
    # P = 2/3, R = 2/4, F1 = 2 * 2 / (4 + 3).
    count = Count(gold=4, pred=3, correct=2)
    assert count.precision == pytest.approx(2 / 3)
    assert count.recall == pytest.approx(1 / 2)
    assert count.f1 == pytest.approx(4 / 7)
    assert count + Count(1, 1, 0) == Count(5, 4, 2)


def test_empty_counts_are_not_supported() -> None:
    nothing, missed, invented = Count(0, 0, 0), Count(3, 0, 0), Count(0, 3, 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
    assert (missed.precision, missed.recall, missed.f1) == (None, 0.0, 0.0)
    assert (invented.precision, invented.recall, invented.f1) == (0.0, None, 0.0)


def test_ner_strict_and_lenient_by_hand() -> None:
    gold = note(entity("a", "drug", (0, 7)), entity("b", "test", (9, 12)), entity("c", "problem", (20, 30)))
    predicted = note(
        entity("p", "drug", (0, 6)),  # boundary off: lenient only
        entity("q", "test", (9, 12)),  # exact
        entity("r", "test", (20, 30)),  # right place, wrong type: neither
        entity("s", "drug", (40, 45)),  # nothing there: neither
    )
    scores = score(gold, predicted)
    # gold 3, predicted 4; strict q; lenient p and q.
    assert scores.ner.strict == Count(3, 4, 1)
    assert scores.ner.lenient == Count(3, 4, 2)
    assert scores.ner.types["drug"] == Counts(Count(1, 2, 0), Count(1, 2, 1))
    assert scores.ner.types["test"] == Counts(Count(1, 2, 1), Count(1, 2, 1))
    assert scores.ner.types["problem"] == Counts(Count(1, 0, 0), Count(1, 0, 0))
    assert scores.ner.types["treatment"] == Counts()
    assert scores.re.strict == Count()


def test_modifiers_count_in_re_and_not_in_ner() -> None:
    # One main entity and its modifier on both sides: NER sees 1, RE sees 1.
    document = note(
        entity("a", "problem", (0, 4)),
        entity("m", "severity", (5, 9)),
        relations=(Relation("r", "severity", "a", "m"),),
    )
    scores = score(document, document)
    assert scores.ner.strict == Count(1, 1, 1)
    assert scores.re.strict == Count(1, 1, 1)
    assert scores.re.types["severity"].lenient == Count(1, 1, 1)
    assert not scores.dropped


def test_re_by_hand() -> None:
    gold = note(
        entity("a", "drug", (0, 7)),
        entity("s", "strength", (8, 13)),
        entity("f", "frequency", (14, 19)),
        entity("n", "negation", (40, 42)),
        entity("b", "problem", (43, 50)),
        relations=(
            Relation("r1", "strength", "a", "s"),
            Relation("r2", "frequency", "a", "f"),
            Relation("r3", "negation", "b", "n"),
        ),
    )
    predicted = note(
        entity("a", "drug", (0, 7)),
        entity("s", "strength", (8, 13)),
        entity("f", "frequency", (16, 19)),
        entity("n", "negation", (40, 42)),
        entity("b", "treatment", (43, 50)),
        relations=(
            Relation("r1", "strength", "a", "s"),  # all agree
            Relation("r2", "frequency", "a", "f"),  # tail begins late: lenient only
            Relation("r3", "negation", "b", "n"),  # the head has another type: neither
            Relation("r4", "negation", "a", "n"),  # head elsewhere: neither
        ),
    )
    scores = score(gold, predicted)
    # gold 3, predicted 4; strict r1; lenient r1, r2. NER: drug exact, problem not found.
    assert scores.re.strict == Count(3, 4, 1)
    assert scores.re.lenient == Count(3, 4, 2)
    assert scores.re.types["negation"].lenient == Count(1, 2, 0)
    assert scores.ner.strict == Count(2, 2, 1)


def test_the_tails_own_type_does_not_matter() -> None:
    # A relation is its type, its head and its tail's spans; a system may name the tail entity as it likes.
    gold = note(
        entity("a", "drug", (0, 7)), entity("m", "route", (8, 10)), relations=(Relation("r", "route", "a", "m"),)
    )
    predicted = note(
        entity("a", "drug", (0, 7)), entity("m", "form", (8, 10)), relations=(Relation("r", "route", "a", "m"),)
    )
    assert score(gold, predicted).re.strict == Count(1, 1, 1)


def test_discontinuous_entities() -> None:
    gold = note(entity("a", "problem", (0, 4), (10, 14)), entity("b", "problem", (20, 24), (30, 34)))
    predicted = note(
        entity("p", "problem", (0, 4), (10, 14)),  # exact
        entity("q", "problem", (20, 34)),  # same outer boundaries, gap filled: lenient only
        entity("r", "problem", (5, 9)),  # in the gap of a: neither
    )
    scores = score(gold, predicted)
    assert scores.ner.strict == Count(2, 3, 1)
    assert scores.ner.lenient == Count(2, 3, 2)


def test_nested_entities_of_one_type() -> None:
    # Gold [0, 20] holds [5, 10]. Predicted [5, 10] and [6, 9]: strict 1; lenient [0, 20]-[6, 9], [5, 10]-[5, 10]: 2.
    gold = note(entity("a", "problem", (0, 20)), entity("b", "problem", (5, 10)))
    predicted = note(entity("p", "problem", (5, 10)), entity("q", "problem", (6, 9)))
    scores = score(gold, predicted)
    assert scores.ner.strict == Count(2, 2, 1)
    assert scores.ner.lenient == Count(2, 2, 2)


def test_duplicates_count_once_on_both_sides() -> None:
    gold = note(
        entity("a", "drug", (0, 7)),
        entity("b", "drug", (0, 7)),
        entity("m", "route", (8, 10)),
        relations=(Relation("r1", "route", "a", "m"), Relation("r2", "route", "b", "m")),
    )
    predicted = note(
        entity("a", "drug", (0, 7)),
        entity("b", "drug", (0, 7)),
        entity("c", "drug", (0, 7)),
        entity("m", "route", (8, 10)),
        entity("n", "route", (8, 10)),
        relations=(Relation("r1", "route", "a", "m"), Relation("r2", "route", "c", "n")),
    )
    scores = score(gold, predicted)
    # Gold: one drug, one route. Predicted: the same. Dropped: gold b and r2; predicted b, c and r2.
    assert scores.ner.strict == Count(1, 1, 1)
    assert scores.ner.lenient == Count(1, 1, 1)
    assert scores.re.strict == Count(1, 1, 1)
    assert scores.re.lenient == Count(1, 1, 1)
    assert scores.dropped == {
        "gold entity given twice": 1,
        "gold relation given twice": 1,
        "predicted entity given twice": 2,
        "predicted relation given twice": 1,
    }


def test_only_labels_of_the_gold_document_are_scored() -> None:
    parts = (
        entity("a", "problem", (0, 4)),
        entity("b", "drug", (10, 14)),
        entity("m", "negation", (5, 7)),
        entity("s", "severity", (8, 9)),
        entity("t", "strength", (15, 18)),
    )
    relations = (
        Relation("r1", "negation", "a", "m"),
        Relation("r2", "severity", "a", "s"),
        Relation("r3", "strength", "b", "t"),
        Relation("r4", "negation", "b", "m"),
    )
    gold = note(entity("a", "problem", (0, 4)), labels=("problem", "negation", "strength"))
    scores = score(gold, note(*parts, relations=relations))
    # Scored: problem a; relation r1. Not: drug b and modifier s (severity); r2 (severity), r3 and r4 (head is a drug).
    assert scores.ner.strict == Count(1, 1, 1)
    assert scores.re.strict == Count(0, 1, 0)
    assert scores.dropped == {
        "predicted entity of a label not annotated in gold": 2,
        "predicted relation of a label not annotated in gold": 3,
    }


def test_labels_of_the_prediction_are_not_asked() -> None:
    # The prediction says that it looked for drugs only; gold asked for problems too, so the problem is missed.
    gold = note(entity("a", "problem", (0, 4)), entity("b", "drug", (5, 9)))
    predicted = note(entity("b", "drug", (5, 9)), labels=("drug",))
    assert score(gold, predicted).ner.strict == Count(2, 1, 1)


def test_a_document_without_prediction_counts_as_missed() -> None:
    gold = [note(entity("a", "drug", (0, 4))), note(entity("a", "drug", (0, 4)), name="d2")]
    scores = score_documents(gold, gold[:1], CLINICAL)
    assert scores.ner.strict == Count(2, 1, 1)
    assert scores.unanswered == 1
    assert [document.micro("ner").strict for document in scores.documents] == [Count(1, 1, 1), Count(1, 0, 0)]


def test_nothing_at_all() -> None:
    scores = score_documents([], [], CLINICAL)
    assert scores.to_json()["documents"] == 0
    assert scores.ner.strict.f1 is None
    # A document with no entity, predicted to have none, is one document and no support.
    scores = score(note(), note())
    assert scores.to_json()["documents"] == 1
    assert scores.ner.lenient.f1 is None


def test_json_has_the_promised_shape() -> None:
    gold = note(entity("a", "drug", (0, 4)), entity("b", "drug", (5, 9)))
    result = json.loads(json.dumps(score(gold, note(entity("a", "drug", (0, 4)))).to_json()))
    # gold 2, predicted 1, correct 1: P 1, R 1/2, F1 2/3.
    one = {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "gold": 2, "pred": 1, "correct": 1}
    none = {"precision": None, "recall": None, "f1": None, "gold": 0, "pred": 0, "correct": 0}
    assert list(result) == ["ner", "re", "documents"]
    assert result["documents"] == 1
    assert result["ner"]["strict"] == result["ner"]["lenient"] == one
    assert set(result["ner"]["types"]) == set(CLINICAL.entity_types)
    assert result["ner"]["types"]["drug"] == {"strict": one, "lenient": one}
    assert result["ner"]["types"]["test"] == {"strict": none, "lenient": none}
    assert set(result["re"]) == {"strict", "lenient", "types"}
    assert set(result["re"]["types"]) == set(CLINICAL.modifier_types)
    assert result["re"]["types"]["reference_range"] == {"strict": none, "lenient": none}


def test_a_predicted_stranger_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"1 predicted document\(s\) are not in gold, for instance 'd9'"):
        score(note(), note(name="d9"))


def test_ids_used_twice_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"1 gold document id\(s\) are used more than once, for instance 'd1'"):
        score_documents([note(), note()], [], CLINICAL)
    with pytest.raises(CorpusError, match=r"1 predicted document id\(s\) are used more than once"):
        score_documents([note()], [note(), note()], CLINICAL)


def test_another_text_is_refused_without_quoting_it() -> None:
    with pytest.raises(CorpusError, match=r"document 'd1': gold has a text of 100 code points") as caught:
        score(note(), note(text="secret"))
    assert "secret" not in str(caught.value)


def test_an_unknown_label_names_the_document() -> None:
    with pytest.raises(LabelError, match="document 'd1': unknown label 'drugs': did you mean 'drug'"):
        score(note(labels=("drugs",)), note())


def _random_notes(seed: int, documents: int, shift: int) -> list[Document]:
    draw = Random(seed)
    notes = []
    for number in range(documents):
        entities, relations = [], []
        for place in range(12):
            start = 40 * place + draw.randrange(shift)
            kind = draw.choice(CLINICAL.entity_types)
            modifier = draw.choice(CLINICAL.modifiers[kind])
            entities += [Entity(f"e{place}", kind, ((start, start + 8),))]
            entities += [Entity(f"m{place}", modifier, ((start + 10, start + 14),))]
            relations.append(Relation(f"r{place}", modifier, f"e{place}", f"m{place}"))
        notes.append(Document(f"d{number}", "x" * 500, tuple(entities), tuple(relations)))
    return notes


def test_four_thousand_documents_take_seconds() -> None:
    # 48,000 entities and as many relations a side. The bound leaves room for a busy machine.
    gold, predicted = _random_notes(1, 4000, 3), _random_notes(2, 4000, 3)
    before = time.process_time()
    scores = score_documents(gold, predicted, CLINICAL)
    assert time.process_time() - before < 4
    assert scores.ner.strict.gold == 48_000
