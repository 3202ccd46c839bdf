from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus import phee
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.phee import read_phee, write_phee
from fedmedlora.errors import CorpusError

TEXT = "Severe jaundice after oral aspirin and ibuprofen 50 mg daily"


def argument(text: str, *ids: str, context: str = TEXT) -> dict[str, object]:
    """One argument of as many entities as `ids`; entities are parted by `|`, pieces by `+`."""
    pieces = [entity.split("+") for entity in text.split("|")]
    starts = [[context.index(piece) for piece in entity] for entity in pieces]
    return {"text": pieces, "start": starts, "entity_id": list(ids)}


def record(**event: object) -> dict[str, object]:
    """A line of the file with one event."""
    body = {"event_id": "E1", "event_type": "Adverse_event", **event}
    return {"id": "1_1", "context": TEXT, "is_mult_event": False, "annotations": [{"events": [body]}]}


def put(folder: Path, *records: object) -> Path:
    path = folder / "train.json"
    path.write_text("".join(json.dumps(item) + "\n" for item in records), encoding="utf-8")
    return path


FULL = record(
    Trigger=argument("after", "T1"),
    Effect=argument("jaundice", "T2"),
    Treatment={
        **argument("oral aspirin+ibuprofen 50 mg", "T3"),
        "Combination": [
            {
                "event_id": "E2",
                "event_type": "Combination",
                "Trigger": argument("and", "T4"),
                "Drug": argument("aspirin|ibuprofen", "T5", "T6"),
            }
        ],
        "Drug": argument("aspirin|ibuprofen", "T5", "T6"),
        "Dosage": argument("50 mg", "T7"),
    },
    Severity={**argument("Severe", "T8"), "value": "High"},
)


def test_nested_arguments_become_entities_and_events(tmp_path: Path) -> None:
    [document], dropped = read_phee(put(tmp_path, FULL))
    assert [(entity.id, entity.type, [TEXT[a:b] for a, b in entity.spans]) for entity in document.entities] == [
        ("T1", "Trigger", ["after"]),
        ("T2", "Effect", ["jaundice"]),
        ("T3", "Treatment", ["oral aspirin", "ibuprofen 50 mg"]),
        ("T5", "Treatment.Drug", ["aspirin"]),
        ("T6", "Treatment.Drug", ["ibuprofen"]),
        ("T7", "Treatment.Dosage", ["50 mg"]),
        ("T4", "Treatment.Combination.Trigger", ["and"]),
        ("T5/Treatment.Combination.Drug", "Treatment.Combination.Drug", ["aspirin"]),
        ("T6/Treatment.Combination.Drug", "Treatment.Combination.Drug", ["ibuprofen"]),
        ("T8", "Severity", ["Severe"]),
    ]
    assert document.meta == {
        "is_mult_event": False,
        "events": [
            {
                "id": "E1",
                "type": "Adverse_event",
                "arguments": {
                    "Trigger": ["T1"],
                    "Effect": ["T2"],
                    "Treatment": ["T3"],
                    "Treatment.Drug": ["T5", "T6"],
                    "Treatment.Dosage": ["T7"],
                    "Severity": ["T8"],
                },
                "values": {"Severity": "High"},
                "combinations": [
                    {
                        "id": "E2",
                        "type": "Combination",
                        "arguments": {
                            "Treatment.Combination.Trigger": ["T4"],
                            "Treatment.Combination.Drug": [
                                "T5/Treatment.Combination.Drug",
                                "T6/Treatment.Combination.Drug",
                            ],
                        },
                    }
                ],
            }
        ],
    }
    assert not dropped


def test_an_entity_of_two_events_is_one_entity(tmp_path: Path) -> None:
    line = FULL | {
        "annotations": [
            {
                "events": [
                    {"event_id": "E1", "event_type": "Adverse_event", "Effect": argument("jaundice", "T2")},
                    {"event_id": "E2", "event_type": "Adverse_event", "Effect": argument("jaundice", "T2")},
                ]
            }
        ]
    }
    [document], _ = read_phee(put(tmp_path, line))
    assert document.entities == (Entity("T2", "Effect", ((7, 15),)),)


def test_what_does_not_match_is_dropped_and_counted(tmp_path: Path) -> None:
    wrong = {"text": [["jaundice"], [""], ["aspirin"]], "start": [[8], [0], [27]], "entity_id": ["T2", "T9", "T3"]}
    [document], dropped = read_phee(put(tmp_path, record(Effect=wrong)))
    assert [entity.id for entity in document.entities] == ["T3"]
    assert document.meta["events"] == [{"id": "E1", "type": "Adverse_event", "arguments": {"Effect": ["T3"]}}]
    assert dropped == Counter({phee.MISMATCH: 1, phee.EMPTY: 1})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "line 1: not an object"),
        ({"id": "1", "annotations": []}, "expected strings 'id' and 'context'"),
        ({"id": "1", "context": "x", "annotations": [{}]}, "no list 'events'"),
        ({"id": "1", "context": "x", "annotations": [{"events": [{}]}]}, "lacks 'event_id' or 'event_type'"),
        (record(Effect=[1]), "argument 'Effect' is not an object"),
        (record(Effect={"text": [["jaundice"]], "start": [[7]], "entity_id": []}), "differ in length"),
        (record(Effect={"text": [["jaundice"]], "start": [[7, 8]], "entity_id": ["T1"]}), "differ in length"),
        (record(Effect={"text": [["jaundice"]], "start": [["7"]], "entity_id": ["T1"]}), "whole-number starts"),
        (record(Effect=argument("jaundice|oral", "T1", "T1")), "entity 'T1' has two different spans as 'Effect'"),
    ],
)
def test_bad_lines_are_named_without_their_text(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        read_phee(put(tmp_path, line))
    assert "train.json, line 1" in str(caught.value)
    assert "jaundice" not in str(caught.value)


def test_an_id_used_twice_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"line 2: id '1_1' was used before, in line 1"):
        read_phee(put(tmp_path, FULL, FULL))


def test_what_the_format_cannot_hold_is_counted(tmp_path: Path) -> None:
    entities = (Entity("a", "X", ((0, 1),)), Entity("b", "X", ((1, 2),)))
    document = Document("n", "ab", entities, (Relation("r", "X", "a", "b"),), "p", ("X",), {"source": 1})
    assert write_phee([document], tmp_path / "out.json") == Counter(
        {"entity that no event names": 2, "relation": 1, "patient": 1, "labels": 1, "other meta": 1}
    )
    with pytest.raises(CorpusError, match="document 'n': meta 'events' is not as"):
        write_phee([Document("n", "ab", meta={"events": [{"id": "E1"}]})], tmp_path / "out.json")


ROLES = ("Trigger", "Effect", "Severity", "Subject", "Subject.Age", "Treatment", "Treatment.Drug", "Treatment.Disorder")


@st.composite
def records(draw: st.DrawFn) -> dict[str, object]:
    """A line with any roles, shared ids, pieces and combinations."""
    context = draw(st.text(alphabet="ab \u0301😀é\n", min_size=2, max_size=12))
    spans = draw(
        st.lists(
            st.lists(st.integers(0, len(context)), min_size=2, max_size=4, unique=True).map(sorted),
            min_size=1,
            max_size=4,
        )
    )
    entities: dict[str, tuple[list[str], list[int]]] = {}
    for number, edges in enumerate(spans):
        pairs = [(edges[at], edges[at + 1]) for at in range(0, len(edges) - 1, 2)]
        entities[f"T{number}"] = ([context[a:b] for a, b in pairs], [a for a, _ in pairs])

    def drawn_argument() -> dict[str, object]:
        ids = draw(st.lists(st.sampled_from(sorted(entities)), min_size=1, max_size=2, unique=True))
        return {"text": [entities[i][0] for i in ids], "start": [entities[i][1] for i in ids], "entity_id": ids}

    events = []
    for number in range(draw(st.integers(0, 2))):
        event: dict[str, dict[str, object]] = {}
        for role in draw(st.lists(st.sampled_from(ROLES), unique=True, max_size=5)):
            outer, _, inner = role.partition(".")
            place = event.setdefault(outer, {})
            found = drawn_argument()
            if inner:
                place[inner] = found
            else:
                event[outer] = {**place, **found}
        if draw(st.booleans()):
            nested = {"event_id": f"C{number}", "event_type": "Combination", "Drug": drawn_argument()}
            event.setdefault("Treatment", {})["Combination"] = [nested]
        if "Severity" in event:
            event["Severity"]["value"] = "High"
        events.append({"event_id": f"E{number}", "event_type": "Adverse_event", **event})
    return {"id": draw(st.text(min_size=1, max_size=3)), "context": context, "annotations": [{"events": events}]}


@settings(max_examples=25)
@given(lines=st.lists(records(), max_size=2, unique_by=lambda line: str(line["id"])))
def test_reading_what_was_written_gives_the_documents_back(lines: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        held = read_phee(put(Path(folder), *lines))
        again = Path(folder) / "again.json"
        assert not write_phee(held.documents, again)
        written = read_phee(again)
    assert not held.dropped
    # The writer adds `is_mult_event` where it was missing; nothing else may differ.
    stripped = [Document(d.id, d.text, d.entities, meta={"events": d.meta["events"]}) for d in written.documents]
    assert stripped == held.documents


def test_the_published_corpus(corpora: Path, tmp_path: Path) -> None:
    # 2,898 + 961 + 968 sentences, 5,019 events. 6,054 drug mentions, 26 of them a second
    # time, in another event of the sentence: 6,028 entities.
    result = [read_phee(corpora / "phee" / f"{part}.json") for part in ("train", "dev", "test")]
    assert [len(part.documents) for part in result] == [2_898, 961, 968]
    assert not any(part.dropped for part in result)
    types = Counter(entity.type for part in result for document in part.documents for entity in document.entities)
    assert sum(types.values()) == 31_735
    assert types["Treatment.Drug"] == 6_028
    assert not write_phee(result[1].documents, tmp_path / "dev.json")
    assert read_phee(tmp_path / "dev.json").documents == result[1].documents
