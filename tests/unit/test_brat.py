from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from corpus_strategies import documents
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus import brat
from fedmedlora.corpus.brat import read_brat
from fedmedlora.corpus.brat_writer import write_brat
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.errors import CorpusError


def put(folder: Path, name: str, text: str, annotations: str | None) -> None:
    (folder / f"{name}.txt").write_bytes(text.encode())
    if annotations is not None:
        (folder / f"{name}.ann").write_bytes(annotations.encode())


def test_every_kind_of_line(tmp_path: Path) -> None:
    annotations = (
        "T1\tSign 3 8\tfever\n"
        "T2\tNeg 0 2\tNo\n"
        "T3\tSite 12 16;21 25\tleft knee\n"
        "E1\tSign:T1 Where:T3 Cue:E2\n"
        "E2\tNeg:T2\n"
        "R1\tMODIFY Arg1:E2 Arg2:E1\t\n"
        "A1\tPOLARITY E1 NEG\n"
        "M1\tSure T2\n"
        "*\tOR E1 T3\n"
        "#1\tAnnotatorNotes T1\tsomething\n"
        "N1\tReference T1 UMLS:C0015967\tFever\n"
        "what is this\n"
    )
    put(tmp_path, "a", "No fever in left or knee", annotations.replace("21 25", "20 24"))
    documents, dropped = read_brat(tmp_path)
    # R1: tail of MODIFY is E1 = T1. E1 has two arguments: E1.1 to T3, E1.2 to E2 = T2; E2 has none.
    assert documents == [
        Document(
            "a",
            "No fever in left or knee",
            (
                Entity("T1", "Sign", ((3, 8),)),
                Entity("T2", "Neg", ((0, 2),)),
                Entity("T3", "Site", ((12, 16), (20, 24))),
            ),
            (
                Relation("R1", "MODIFY", "T2", "T1"),
                Relation("E1.1", "Where", "T1", "T3"),
                Relation("E1.2", "Cue", "T1", "T2"),
            ),
            meta={
                "attributes": [
                    {"entity": "T1", "name": "POLARITY", "value": "NEG"},
                    {"entity": "T2", "name": "Sure", "value": True},
                ],
                "equivalences": [["OR", ["T1", "T3"]]],
            },
        )
    ]
    assert dropped == Counter({"note (ignored)": 1, "normalisation (ignored)": 1, brat.UNKNOWN_LINE: 1})


def test_what_does_not_match_the_text_goes_with_all_that_hangs_on_it(tmp_path: Path) -> None:
    annotations = (
        "T1\tSign 3 8\tcough\n"  # the text there is another
        "T2\tNeg 0 2\tNo\n"
        "T3\tSign 3 99\tfever\n"  # outside
        "T4\tSign 3 3\t\n"  # empty
        "T5\tSign 3 8\tfever\n"
        "E1\tSign:T1\n"
        "R1\tMODIFY Arg1:T2 Arg2:E1\n"
        "R2\tMODIFY Arg1:T2 Arg2:T5\n"
        "A1\tPOLARITY T1 NEG\n"
        "*\tOR T1 T5\n"
        "*\tOR T1 T2 T5\n"
    )
    put(tmp_path, "a", "No fever", annotations)
    [document], dropped = read_brat(tmp_path)
    assert [entity.id for entity in document.entities] == ["T2", "T5"]
    assert [relation.id for relation in document.relations] == ["R2"]
    assert document.meta == {"equivalences": [["OR", ["T2", "T5"]]]}
    # E1 loses its trigger, then R1 its argument; of the equivalences one is left with T5 alone, the other loses T1.
    assert dropped == Counter(
        {
            brat.MISMATCH: 1,
            brat.OUTSIDE: 1,
            brat.EMPTY: 1,
            brat.LOST_EVENT: 1,
            brat.LOST_RELATION: 1,
            brat.LOST_ATTRIBUTE: 1,
            brat.LOST_EQUIVALENCE: 1,
            brat.LOST_MEMBER: 1,
        }
    )


def test_line_breaks_stay_and_offsets_count_them(tmp_path: Path) -> None:
    # "Line\r\n" is 6 code points; brat writes a space for the line break inside a mention.
    put(tmp_path, "a", "Line\r\nbroken", "T1\tX 0 12\tLine  broken\nT2\tX 6 12\tbroken\r\n")
    [document], dropped = read_brat(tmp_path)
    assert document.text == "Line\r\nbroken"
    assert [entity.spans for entity in document.entities] == [((0, 12),), ((6, 12),)]
    assert not dropped


def test_offsets_over_lf_are_mapped_to_a_crlf_text(tmp_path: Path) -> None:
    # With LF: "A\nBB\nCC": BB is 2..4, CC 5..7, "BB\nCC" 2..7. With CRLF: BB 3..5, CC 7..9, 3..9.
    put(tmp_path, "a", "A\r\nBB\r\nCC", "T1\tX 2 4\tBB\nT2\tX 5 7\tCC\nT3\tX 2 7\tBB CC\n")
    [document], dropped = read_brat(tmp_path)
    assert [entity.spans for entity in document.entities] == [((3, 5),), ((7, 9),), ((3, 9),)]
    assert dropped == Counter({brat.MAPPED: 1})


def test_offsets_are_code_points(tmp_path: Path) -> None:
    # "e" + combining acute is two code points, the emoji one: "😀 " is 0..2, "fe\u0301vre" 2..8.
    put(tmp_path, "a", "😀 fe\u0301vre", "T1\tX 2 8\tfe\u0301vre\n")
    [document], _ = read_brat(tmp_path)
    assert document.text[slice(*document.entities[0].spans[0])] == "fe\u0301vre"


def test_pieces_out_of_order_are_put_in_order_and_overlapping_ones_joined(tmp_path: Path) -> None:
    put(tmp_path, "a", "left or right knee", "T1\tX 14 18;0 4\tknee left\nT2\tX 0 6;5 7\tleft o or\n")
    [document], dropped = read_brat(tmp_path)
    assert [entity.spans for entity in document.entities] == [((0, 4), (14, 18)), ((0, 7),)]
    assert dropped == Counter({brat.MERGED: 1})


def test_a_text_without_annotations_is_a_document_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "b", "nothing", None)
    put(tmp_path, "a", "fever", "")
    documents, dropped = read_brat(tmp_path)
    assert [document.id for document in documents] == ["a", "b"]
    assert dropped == Counter({brat.NO_ANNOTATION: 1})
    assert [document.id for document in read_brat(tmp_path / "b.txt").documents] == ["b"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere: no such file or folder"):
        read_brat(tmp_path / "nowhere")
    (tmp_path / "a.ann").write_text("T1\tX 0 1\ta\n")
    with pytest.raises(CorpusError, match=r"a\.ann: its text 'a\.txt' is missing"):
        read_brat(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xe9")
    with pytest.raises(CorpusError, match=r"a\.txt, byte 0: not UTF-8"):
        read_brat(tmp_path)
    put(tmp_path, "a", "aa", "T1\tX 0 1\ta\nT1\tX 1 2\ta\n")
    with pytest.raises(CorpusError, match=r"a\.ann, line 2: id 'T1' was used before, in line 1"):
        read_brat(tmp_path)
    put(tmp_path, "a", "aa", "#1\tfedmedlora DOCUMENT\t[]\n")
    with pytest.raises(CorpusError, match=r"a\.ann, line 1: the fedmedlora note is damaged"):
        read_brat(tmp_path)


@settings(max_examples=25)
@given(held=st.lists(documents(), max_size=2, unique_by=lambda document: document.id))
def test_reading_what_was_written_gives_the_documents_back(held: list[Document]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert not write_brat(held, Path(folder))
        result = read_brat(Path(folder))
    assert not result.dropped
    assert sorted(result.documents, key=lambda document: document.id) == sorted(held, key=lambda document: document.id)


def test_what_brat_can_say_is_said_in_brat(tmp_path: Path) -> None:
    document = Document(
        "a",
        "No fever",
        (Entity("T1", "Sign", ((0, 2), (3, 8))), Entity("T7", "Neg", ((0, 2),))),
        (Relation("R3", "MODIFY", "T7", "T1"),),
        meta={
            "attributes": [{"entity": "T1", "name": "POLARITY", "value": "NEG"}],
            "equivalences": [["OR", ["T1", "T7"]]],
        },
    )
    write_brat([document], tmp_path)
    assert (tmp_path / "a.ann").read_text(encoding="utf-8") == (
        "T1\tSign 0 2;3 8\tNo fever\nT7\tNeg 0 2\tNo\nR3\tMODIFY Arg1:T7 Arg2:T1\nA1\tPOLARITY T1 NEG\n*\tOR T1 T7\n"
    )


@pytest.mark.parametrize(
    ("corpus", "files", "entities", "relations", "discontinuous", "dropped"),
    [
        # 25,189 T lines, all matching; 16,307 R lines; 44 with a ";". 335 annotators' notes.
        ("maccrobat", 200, 25_189, 16_307, 44, {"note (ignored)": 335}),
        # 44,616 T lines, of which 14 do not match letter by letter: 11 in white space alone, 3 in earnest.
        ("chia", 2_000, 44_613, 20_153, 1_795, {brat.MISMATCH: 3}),
    ],
)
def test_the_published_corpora(
    corpora: Path, corpus: str, files: int, entities: int, relations: int, discontinuous: int, dropped: dict[str, int]
) -> None:
    documents, counts = read_brat(corpora / corpus)
    assert len(documents) == files
    assert sum(len(document.entities) for document in documents) == entities
    assert sum(len(document.relations) for document in documents) == relations
    assert sum(not e.contiguous for document in documents for e in document.entities) == discontinuous
    assert counts == Counter(dropped)


def test_the_published_corpora_survive_writing(corpora: Path, tmp_path: Path) -> None:
    for corpus in ("maccrobat", "chia"):
        held = read_brat(corpora / corpus).documents[:12]
        write_brat(held, tmp_path / corpus)
        assert read_brat(tmp_path / corpus).documents == held
