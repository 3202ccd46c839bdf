from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from corpus_strategies import documents
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus import conll
from fedmedlora.corpus.conll import read_conll, write_conll
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.errors import CorpusError


def put(folder: Path, content: str, name: str = "train.tsv") -> Path:
    path = folder / name
    path.write_bytes(content.encode())
    return path


def test_every_sentence_is_a_document_and_offsets_count_in_the_joined_text(tmp_path: Path) -> None:
    path = put(tmp_path, "No\tO\nrenal\tB-Disease\nfailure\tI-Disease\n.\tO\n\n\n22\tB-Chemical\n😀\tO\n")
    documents, dropped = read_conll(path)
    assert [(document.id, document.text) for document in documents] == [
        ("train:1", "No renal failure ."),
        ("train:2", "22 😀"),
    ]
    # "No " is 3 code points, so "renal failure" is 3..16.
    assert documents[0].entities == (Entity("T1", "Disease", ((3, 16),)),)
    assert documents[0].meta == {"tokenised": True}
    assert not dropped


def test_documents_are_divided_by_docstart_where_there_is_one(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n\nGerman JJ B-NP B-MISC\ncall NN I-NP O\n\n"
        "-DOCSTART- -X- -X- O\n\n-DOCSTART- -X- -X- O\nend NN B-NP O\n",
    )
    documents, dropped = read_conll(path)
    assert [document.text for document in documents] == ["EU\nGerman call", "end"]
    assert [entity.spans for entity in documents[0].entities] == [((0, 2),), ((3, 9),)]
    assert dropped == Counter({conll.EMPTY_DOCUMENT: 1})


def test_an_entity_may_start_with_inside(tmp_path: Path) -> None:
    # I- after O, and I- of another type after an open entity: two entities begin with I-.
    path = put(tmp_path, "a\tI-X\nb\tI-X\nc\tI-Y\nd\tO\ne\tB-Y\nf\tB-Y\n")
    [document], dropped = read_conll(path)
    assert [(entity.type, entity.spans) for entity in document.entities] == [
        ("X", ((0, 3),)),
        ("Y", ((4, 5),)),
        ("Y", ((8, 9),)),
        ("Y", ((10, 11),)),
    ]
    assert dropped == Counter({conll.INSIDE_FIRST: 2})


def test_single_and_end_tags(tmp_path: Path) -> None:
    path = put(tmp_path, "a\tS-X\nb\tB-X\nc\tE-X\nd\tU-X\ne\tB-X\nf\tL-X\n")
    [document], dropped = read_conll(path)
    assert [entity.spans[0] for entity in document.entities] == [(0, 1), (2, 5), (6, 7), (8, 11)]
    assert not dropped


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = put(tmp_path, "\ufeffa\tB-X\r\nb\tO\r\n\r\nc\tO\r\n")
    assert [document.text for document in read_conll(path).documents] == ["a b", "c"]


def test_a_token_with_a_space_is_counted(tmp_path: Path) -> None:
    [document], dropped = read_conll(put(tmp_path, "10 mg\tB-Dose\n"))
    assert document.text == "10 mg"
    assert dropped == Counter({conll.TOKEN_WITH_SPACE: 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tO\nalone\n", r"train\.tsv, line 2: expected a token and a tag"),
        ("a\tO\n\tO\n", r"train\.tsv, line 2: expected a token and a tag"),
        ("a\tDisease\n", r"train\.tsv, line 1: the last column is no IOB tag"),
        ("a\tB-\n", r"train\.tsv, line 1: the last column is no IOB tag"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_conll(put(tmp_path, content))


def test_what_tags_cannot_say_is_counted(tmp_path: Path) -> None:
    text = "Severe chest-pain, right arm\npain e\u0301"
    document = Document(
        "n1",
        text,
        (
            Entity("a", "X", ((0, 17),)),  # "Severe chest-pain": kept, the longest
            Entity("b", "X", ((7, 12),)),  # inside a
            Entity("c", "X", ((13, 16),)),  # "pai" cuts a token
            Entity("d", "X", ((19, 24), (29, 33))),  # discontinuous
            Entity("e", "X", ((25, 33),)),  # over the line break
            Entity("f", "Y", ((18, 25),)),  # " right ": kept, without white space
            Entity("g", "a\tb", ((34, 36),)),
        ),
        (Relation("r", "Y", "a", "f"),),
        patient="p",
        labels=("X",),
    )
    path = tmp_path / "out.tsv"
    dropped = write_conll([document], path)
    assert path.read_text(encoding="utf-8") == (
        "-DOCSTART-\tO\n\nSevere\tB-X\nchest\tI-X\n-\tI-X\npain\tI-X\n,\tO\nright\tB-Y\narm\tO\n\npain\tO\ne\u0301\tO\n\n"
    )
    assert dropped == Counter(
        {
            "nested or overlapping entity": 1,
            "entity cuts a token": 1,
            "discontinuous entity": 1,
            "entity over a sentence end": 1,
            "entity trimmed of white space": 1,
            "type that a tag cannot hold": 1,
            "relation": 1,
            "patient": 1,
            "labels": 1,
            "document id": 1,
        }
    )


TOKENS = st.text(alphabet="abB019.,'-é\u0301😀漢#\u00a0", min_size=1, max_size=4)
SENTENCES = st.lists(st.tuples(TOKENS, st.sampled_from(["O", "B-X", "B-Y", "I"])), min_size=1, max_size=6)


@settings(max_examples=25)
@given(corpus=st.lists(st.lists(SENTENCES, min_size=1, max_size=2), min_size=1, max_size=3))
def test_writing_what_was_read_gives_the_file_back(corpus: list[list[list[tuple[str, str]]]]) -> None:
    lines: list[str] = []
    for sentences in corpus:
        if any(len(group) > 1 for group in corpus):
            lines.append("-DOCSTART-\tO\n")
        for sentence in sentences:
            previous = "O"
            for token, drawn in sentence:
                inside = "I-" + previous[2:] if previous != "O" else "O"
                tag = inside if drawn == "I" else drawn
                previous = tag
                lines.append(f"{token}\t{tag}")
            lines.append("")
    content = "".join(f"{line}\n" for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), content)
        held = read_conll(path)
        again = Path(folder) / "again" / "train.tsv"
        assert not write_conll(held.documents, again)
        assert again.read_bytes() == content.encode()
        assert read_conll(again) == held


@settings(max_examples=25)
@given(document=documents())
def test_every_entity_is_written_or_counted(document: Document) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.tsv"
        dropped = write_conll([document], path)
        found = sum(len(part.entities) for part in read_conll(path).documents)
    reasons = (
        "nested or overlapping entity",
        "entity cuts a token",
        "discontinuous entity",
        "entity over a sentence end",
        "entity of white space only",
        "type that a tag cannot hold",
        "entity of a document without a token",
    )
    assert found + sum(dropped[reason] for reason in reasons) == len(document.entities)


@pytest.mark.parametrize(
    ("path", "sentences", "entities"),
    # Blank lines of the file; lines whose tag begins with B-.
    [
        ("psytar/train.txt", 3_850, 3_535),
        ("psytar/dev.txt", 550, 431),
        ("psytar/test.txt", 1_191, 1_077),
        ("bc5cdr/test.tsv", 4_797, 9_809),
        ("ncbi/devel.tsv", 923, 787),
        ("ncbi/test.tsv", 940, 960),
    ],
)
def test_the_published_corpora_survive_reading_and_writing(
    corpora: Path, tmp_path: Path, path: str, sentences: int, entities: int
) -> None:
    documents, dropped = read_conll(corpora / path)
    assert len(documents) == sentences
    assert sum(len(document.entities) for document in documents) == entities
    assert not dropped
    again = tmp_path / Path(path).name
    assert not write_conll(documents, again)
    assert again.read_bytes() == (corpora / path).read_bytes()
