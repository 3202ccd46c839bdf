from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fedmedlora.corpus.check import check_documents, validate_labels
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import CorpusError

# "No mild fever. Right knee pain." — No 0-2, mild 3-7, fever 8-13, Right 15-20, knee 21-25, pain 26-30: 31 code points.
NOTE = Document(
    "n1",
    "No mild fever. Right knee pain.",
    (
        Entity("T1", "problem", ((8, 13),)),
        Entity("T2", "negation", ((0, 2),)),
        Entity("T3", "severity", ((3, 7),)),
        Entity("T4", "problem", ((15, 30),)),
        Entity("T5", "bodyloc", ((15, 25),)),
        Entity("T6", "test", ((21, 25), (26, 30))),
        Entity("T7", "drug", ((3, 13),)),
    ),
    (
        Relation("R1", "negation", "T1", "T2"),
        Relation("R2", "severity", "T1", "T3"),
        Relation("R3", "severity", "T7", "T3"),
        Relation("R4", "severity", "T1", "T5"),
    ),
    patient="p",
)


def test_what_a_corpus_holds_is_counted() -> None:
    notes = [
        NOTE,
        replace(NOTE, id="n2", labels=("problem", "negation"), relations=()),
        Document("n3", " \n", patient="q"),
        Document("n4", "Fine.", labels=()),
    ]
    report = check_documents(notes, {"note (ignored)": 3, "nothing": 0}, CLINICAL)
    assert (report.documents, report.patients, report.characters) == (4, 3, 31 + 31 + 2 + 5)
    assert report.sentences == 2 + 2 + 0 + 1
    assert report.entities == {"problem": 4, "drug": 2, "test": 2}
    assert report.modifiers == {"severity": 2, "bodyloc": 2, "negation": 2}
    assert report.relations == {"severity": 3, "negation": 1}
    assert report.discontinuous == 2
    # In each copy: T1 and T3 lie in T7, T5 and T6 in T4: four nested. T5 and T6 share "knee" only: one crossing.
    assert (report.nested, report.overlapping) == (8, 2)
    # n1: every modifier is a tail; n2 has no relation: its three modifiers are unlinked.
    assert report.unlinked_modifiers == 3
    assert report.illegal_relations == {"severity on drug": 1, "severity with a tail marked bodyloc": 1}
    assert report.label_sets == {"all": 2, "problem, negation": 1, "none": 1}
    # n2 names problem and negation only: severity, bodyloc, test and drug are outside.
    assert report.outside_labels == {"severity": 1, "bodyloc": 1, "test": 1, "drug": 1}
    assert report.empty_documents == ["n3"]
    assert report.unannotated_documents == 2
    assert report.duplicates == [["n1", "n2"]]
    assert report.dropped == {"note (ignored)": 3}
    assert report.unknown_labels == {}
    # 2 illegal, 4 outside, 1 empty, 1 group of duplicates.
    assert report.faults == 8


def test_unknown_labels_come_with_the_nearest_known_one() -> None:
    note = Document(
        "n1",
        "abc",
        (Entity("T1", "Problem", ((0, 1),)), Entity("T2", "Problem", ((1, 2),)), Entity("T3", "xyz", ((2, 3),))),
        (
            Relation("R1", "severty", "T1", "T3"),
            Relation("R2", "severty", "T2", "T3"),
            Relation("R3", "xyz", "T1", "T3"),
        ),
        labels=("drugs",),
    )
    report = check_documents([note], {}, CLINICAL)
    # "xyz" counts as an entity's label only; its relation says the same thing again.
    assert report.unknown_labels == {
        "Problem": (2, "problem"),
        "drugs": (1, "drug"),
        "severty": (2, "severity"),
        "xyz": (1, None),
    }
    assert not report.illegal_relations


def test_the_report_is_json_and_lines_without_text() -> None:
    notes = [NOTE, replace(NOTE, id="n2"), Document("n3", "")]
    report = check_documents(notes, {"note (ignored)": 3}, CLINICAL)
    held = json.loads(json.dumps(report.to_json()))
    assert held["entities"] == {"problem": 4, "drug": 2, "test": 2}
    assert held["faults"] == report.faults
    lines = report.lines()
    assert lines[0] == "3 documents of 2 patients, 62 characters, 4 sentences"
    assert "entities: 8 (problem 4, drug 2, test 2)" in lines
    assert "! document 'n3' has no text" in lines
    assert "! 2 documents with the same text: n1, n2" in lines
    assert not any("fever" in line for line in [*lines, json.dumps(held)])


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (
            Document("n1", "abc", (Entity("T1", "problm", ((0, 1),)),)),
            "document 'n1', entity 'T1': unknown label 'problm'; did you mean 'problem'",
        ),
        (Document("n1", "abc", labels=("drugs",)), "document 'n1', labels: unknown label 'drugs'; did you mean 'drug'"),
        (
            replace(NOTE, relations=(Relation("R1", "problem", "T1", "T4"),)),
            "document 'n1', relation 'R1': unknown label 'problem'; Known: bodyloc",
        ),
        (
            replace(NOTE, relations=(Relation("R1", "severity", "T7", "T3"),)),
            "relation 'R1': 'severity' may not attach to 'drug'. Allowed there: strength",
        ),
        (
            replace(NOTE, relations=(Relation("R1", "severity", "T2", "T3"),)),
            "'severity' may not attach to 'negation'. Allowed there: nothing",
        ),
        (
            replace(NOTE, relations=(Relation("R1", "severity", "T1", "T5"),)),
            "relation 'R1': type 'severity', but its tail is marked 'bodyloc'",
        ),
    ],
)
def test_the_first_wrong_label_is_named(note: Document, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        validate_labels([Document("n0", "fine"), note], CLINICAL)


def test_right_labels_pass() -> None:
    validate_labels([replace(NOTE, relations=NOTE.relations[:2], labels=CLINICAL.names)], CLINICAL)
