from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from corpus_strategies import documents
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.jsonl import parse_record, read_jsonl, render_record, write_jsonl
from fedmedlora.errors import CorpusError

RECORD = {
    "id": "n1",
    "text": "No fever 😀 today.",
    "entities": [
        {"id": "T1", "type": "problem", "spans": [[3, 8]]},
        {"id": "T2", "type": "negation", "spans": [[0, 2]]},
    ],
    "relations": [{"id": "R1", "type": "negation", "head": "T1", "tail": "T2"}],
}


def test_a_record_becomes_a_document(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("\ufeff" + json.dumps(RECORD, ensure_ascii=False) + "\r\n\n", encoding="utf-8")
    [document] = read_jsonl(path).documents
    assert document == Document(
        "n1",
        "No fever 😀 today.",
        (Entity("T1", "problem", ((3, 8),)), Entity("T2", "negation", ((0, 2),))),
        (Relation("R1", "negation", "T1", "T2"),),
    )
    assert document.text[3:8] == "fever"


@settings(max_examples=50)
@given(document=documents())
def test_a_document_survives_its_line(document: Document) -> None:
    line = render_record(document)
    assert "\n" not in line
    assert parse_record(line, "here") == document


@settings(max_examples=20)
@given(held=st.lists(documents(), max_size=3, unique_by=lambda document: document.id))
def test_reading_what_was_written_gives_the_documents_back(held: list[Document]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.jsonl"
        assert not write_jsonl(held, path)
        assert read_jsonl(path).documents == held


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, r"line 1: 'id' is a number; expected a string"),
        ({"id": ""}, "'id' is empty"),
        ({"text": None}, "'text' is null"),
        ({"entites": []}, "unknown field 'entites'; did you mean 'entities'"),
        ({"labels": "problem"}, "'labels' is a string; expected a list"),
        ({"labels": [1]}, "'labels' holds something other than strings"),
        ({"meta": []}, "'meta' is a list; expected an object"),
        ({"entities": [{"id": "T1", "type": "problem", "spans": [[3, 8.0]]}]}, "entity 0: a span is not"),
        ({"entities": [{"id": "T1", "type": "problem", "spans": [[True, 8]]}]}, "entity 0: a span is not"),
        ({"entities": [{"id": "T1", "type": "problem", "spans": [[3, 99]]}]}, r"entity 'T1': span \[3, 99\] is out"),
        ({"entities": [{"id": "T1", "type": "problem"}]}, "entity 'T1': no span"),
        ({"relations": [{"id": "R1", "type": "negation", "head": "T1", "tail": "T9"}]}, "entity 'T9' does not exist"),
        ({"relations": [{"id": "R1", "type": "negation", "head": "T1"}]}, "relation 0: field 'tail' is missing"),
    ],
)
def test_a_wrong_record_is_named_with_its_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text(json.dumps({**RECORD, **change}), encoding="utf-8")
    with pytest.raises(CorpusError, match=message) as caught:
        read_jsonl(path)
    assert "notes.jsonl, line 1" in str(caught.value)
    assert "fever" not in str(caught.value)


def test_an_id_used_twice_names_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    other = {**RECORD, "id": "n2"}
    path.write_text("\n".join(json.dumps(record) for record in (RECORD, other, RECORD)), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"line 3: document id 'n1' was used before, in line 1"):
        read_jsonl(path)


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"id": "n1", "text": "x"}\n{"id": "n2", \n', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"notes.jsonl, line 2, column \d+: not JSON"):
        read_jsonl(path)


def test_bytes_that_are_not_utf8_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b'{"id": "n1", "text": "\xe9"}')
    with pytest.raises(CorpusError, match=r"notes.jsonl, byte 22: not UTF-8"):
        read_jsonl(path)


def test_what_utf8_or_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    write_jsonl([Document("n1", "old")], path)
    with pytest.raises(CorpusError, match="document 'n2': not writable"):
        write_jsonl([Document("n2", "\ud800")], path)
    with pytest.raises(CorpusError, match="document 'n2': not writable"):
        write_jsonl([Document("n2", "", meta={"x": float("nan")})], path)
    assert read_jsonl(path).documents == [Document("n1", "old")]
