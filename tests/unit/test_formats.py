from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fedmedlora.corpus.document import Document, Entity
from fedmedlora.corpus.formats import FORMATS, WRITABLE, check_target, guess_format, read_documents, write_documents
from fedmedlora.errors import CorpusError

PHEE = '{"id": "1_1", "context": "a", "annotations": []}\n'


def test_the_format_is_guessed_from_the_path(tmp_path: Path) -> None:
    contents = {
        "a.jsonl": "",
        "b.txt": "No fever.",
        "c.txt": "No\tO\nfever\tB-X\n",
        "d.tsv": "No O\n",
        "e.json": PHEE,
        "f.txt": "O\tO\n",
        "f.ann": "",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    guesses = {name: guess_format(tmp_path / name) for name in contents}
    assert guesses == {
        "a.jsonl": "jsonl",
        "b.txt": "brat",
        "c.txt": "conll",
        "d.tsv": "conll",
        "e.json": "phee",
        "f.txt": "brat",
        "f.ann": "brat",
    }


def test_what_cannot_be_guessed_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.xml").write_text("<a/>")
    with pytest.raises(CorpusError, match=r"notes\.xml: looks like no known format\. Name the format: jsonl, brat"):
        read_documents(tmp_path / "notes.xml")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(CorpusError, match="looks like no known format"):
        read_documents(tmp_path)
    (tmp_path / "a.tsv").write_text("a\tO\n")
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(CorpusError, match="could be conll or jsonl"):
        read_documents(tmp_path)
    with pytest.raises(CorpusError, match="unknown format 'brta': did you mean 'brat'"):
        read_documents(tmp_path, "brta")


def test_a_missing_or_empty_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere: no such file or folder"):
        read_documents(tmp_path / "nowhere")
    for name in FORMATS:
        folder = tmp_path / name
        folder.mkdir()
        with pytest.raises(CorpusError, match="no document in it"):
            read_documents(folder, name)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(CorpusError, match=r"empty\.jsonl: no document in it"):
        read_documents(tmp_path / "empty.jsonl")


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "b.tsv").write_text("b\tI-X\n")
    (tmp_path / "a.tsv").write_text("a\tI-X\n\nc\tO\n")
    documents, dropped = read_documents(tmp_path)
    assert [document.id for document in documents] == ["a:1", "a:2", "b:1"]
    assert list(dropped.values()) == [2]


def test_an_id_in_two_files_is_an_error(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(PHEE)
    with pytest.raises(CorpusError, match="document id '1_1' is used twice"):
        read_documents(tmp_path)
    with pytest.raises(CorpusError, match="document id 'n' is used twice"):
        write_documents([Document("n", "a"), Document("n", "b")], tmp_path / "out.jsonl", "jsonl")


def test_writing_needs_the_right_kind_of_path(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is a folder; format 'jsonl' is written to one file"):
        write_documents([], tmp_path, "jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="is a file; format 'brat' is written to a folder"):
        write_documents([], tmp_path / "file", "brat")


def test_plain_text_is_read_whole_and_never_written(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes("No fe\u0301ver.\r\n".encode())
    (tmp_path / "a.txt").write_bytes(b"")
    documents, dropped = read_documents(tmp_path, "text")
    assert [(document.id, document.text) for document in documents] == [("a", ""), ("b", "No fe\u0301ver.\r\n")]
    assert not dropped
    with pytest.raises(CorpusError, match="'text' holds no annotation and is only read"):
        write_documents(documents, tmp_path / "out", "text")
    with pytest.raises(CorpusError, match="is a folder; format 'jsonl' is written to one file"):
        check_target(tmp_path, "jsonl")


@pytest.mark.parametrize("name", sorted(WRITABLE))
def test_every_format_keeps_a_plain_note(tmp_path: Path, name: str) -> None:
    document = Document(
        "out:1",
        "No fever",
        (Entity("T1", "problem", ((3, 8),)),),
        meta={"events": [{"id": "E1", "type": "X", "arguments": {"problem": ["T1"]}}]} if name == "phee" else {},
    )
    path = tmp_path / ("out" if name == "brat" else "out.x")
    assert write_documents([document], path, name) == Counter()
    [again] = read_documents(path, name).documents
    assert (again.id, again.text, again.entities) == (document.id, document.text, document.entities)


@pytest.mark.parametrize(
    ("corpus", "format"),
    [
        ("maccrobat", "brat"),
        ("chia", "brat"),
        ("phee", "phee"),
        ("psytar", "conll"),
        ("bc5cdr", "conll"),
        ("ncbi", "conll"),
    ],
)
def test_the_published_corpora_are_recognised(corpora: Path, corpus: str, format: str) -> None:
    assert guess_format(corpora / corpus) == format


def test_a_published_folder_of_parts_is_read_whole(corpora: Path) -> None:
    # 550 + 1,191 + 3,850 sentences, in the order of the files' names.
    documents, dropped = read_documents(corpora / "psytar")
    assert len(documents) == 5_591
    assert (documents[0].id, documents[-1].id) == ("dev:1", "train:3850")
    assert not dropped
