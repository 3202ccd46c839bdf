from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from corpus_strategies import documents, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus import windows
from fedmedlora.corpus.brat import read_brat
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.windows import Window, join_windows, sentence_spans, sentence_windows
from fedmedlora.errors import CorpusError


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def at(text: str, *pieces: str) -> tuple[tuple[int, int], ...]:
    """The spans of pieces of a text."""
    return tuple((text.index(piece), text.index(piece) + len(piece)) for piece in pieces)


@pytest.mark.parametrize(
    "text",
    [
        "He took 2.5 mg p.o. daily.",
        "Seen by Dr. Smith, J. Doe and St. Jude in Fig. 2 vs. Fig.1 here.",
        "Temp. 38.4 °C, e.g. Today.",
        "1. Age over 18",
        "- a. Age over 18",
        "iv. Age over 18",
        "A mass of 2.5 × 3.0 cm and 1.65 L of fluid",
        "P < . 05 and 0 . 6 % of s . c . injections , M . S . change",
        "on Feb. 18, 2016, no. 5 of Acme Inc. and E. coli",
        "pain. and more",
        "Urine cotinine ? 100 ng/ml",
    ],
)
def test_what_does_not_end_a_sentence(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No fever. He left.", ["No fever.", "He left."]),
        ("No fever!  Really? 2 days.", ["No fever!", "Really?", "2 days."]),
        ('He said "papa." The end (all of it.) Then', ['He said "papa."', "The end (all of it.)", "Then"]),
        ("as described.[10,11] Effector cells", ["as described.[10,11]", "Effector cells"]),
        ("aggressively.1 Owing to it", ["aggressively.1", "Owing to it"]),
        ("He said no. Then he left. Élan.", ["He said no.", "Then he left.", "Élan."]),
        ("fever ; chills . He left .", ["fever ; chills .", "He left ."]),
        ("Plan:\r\n\r\n - rest\r\n\t- drink\x85end", ["Plan:", "- rest", "- drink", "end"]),
        ("1. Age. Of course.\n2. Sex.", ["1. Age.", "Of course.", "2. Sex."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_what_ends_a_sentence(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_windows_hold_what_lies_in_them_rebased() -> None:
    text = "No fever. Mild pain today."
    document = Document(
        "n1",
        text,
        (
            Entity("T1", "problem", at(text, "fever")),
            Entity("T2", "negation", at(text, "No")),
            Entity("T3", "problem", at(text, "pain")),
            Entity("T4", "severity", at(text, "Mild")),
        ),
        (
            Relation("R1", "negation", "T1", "T2"),
            Relation("R2", "severity", "T3", "T4"),
            Relation("R3", "temporal", "T1", "T4"),
        ),
        patient="p",
        labels=("problem", "severity"),
        meta={"source": "x"},
    )
    result = sentence_windows(document)
    assert result.windows == [
        Window(
            "n1",
            0,
            9,
            Document(
                "n1[0:9]",
                "No fever.",
                (Entity("T1", "problem", ((3, 8),)), Entity("T2", "negation", ((0, 2),))),
                (Relation("R1", "negation", "T1", "T2"),),
                "p",
                ("problem", "severity"),
            ),
        ),
        Window(
            "n1",
            10,
            26,
            Document(
                "n1[10:26]",
                "Mild pain today.",
                (Entity("T3", "problem", ((5, 9),)), Entity("T4", "severity", ((0, 4),))),
                (Relation("R2", "severity", "T3", "T4"),),
                "p",
                ("problem", "severity"),
            ),
        ),
    ]
    assert result.dropped == Counter({windows.RELATION_ACROSS: 1})


def test_an_entity_over_a_sentence_end_is_cut_at_evaluation_and_kept_whole_in_training() -> None:
    text = "First pain. Second leg. Third."
    document = Document(
        "n1",
        text,
        (Entity("T1", "problem", at(text, "pain", "leg")), Entity("T2", "problem", at(text, "Third"))),
        (Relation("R1", "x", "T2", "T1"),),
    )
    blind = sentence_windows(document)
    assert [window.document.text for window in blind.windows] == ["First pain.", "Second leg.", "Third."]
    # T1 is cut, and R1 goes with it.
    assert blind.dropped == Counter({windows.ENTITY_CUT: 1, windows.RELATION_OF_CUT: 1})
    whole = sentence_windows(document, keep_entities_whole=True)
    assert [window.document.text for window in whole.windows] == ["First pain. Second leg.", "Third."]
    assert whole.windows[0].document.entities == (Entity("T1", "problem", ((6, 10), (19, 22))),)
    assert whole.dropped == Counter({windows.RELATION_ACROSS: 1})
    # Merged they would be 23 code points; under a cap of 20 the window begins at the entity: "pain. Second leg." is 17.
    moved = sentence_windows(document, 20, keep_entities_whole=True)
    assert [window.document.text for window in moved.windows] == ["First", "pain. Second leg.", "Third."]
    # The entity's extent, 6 to 22, is longer than 15: it stays cut, and the windows stay as they were.
    assert sentence_windows(document, 15, keep_entities_whole=True) == sentence_windows(document, 15)


def test_a_long_sentence_is_cut_at_a_late_semicolon_comma_or_space() -> None:
    def pieces(text: str, cap: int) -> list[str]:
        return [window.document.text for window in sentence_windows(Document("n", text), cap).windows]

    assert pieces("one two; three, four five", 20) == ["one two; three,", "four five"]
    assert pieces("one two three; four, five six", 22) == ["one two three;", "four, five six"]
    assert pieces("one two three four", 9) == ["one two", "three", "four"]
    assert pieces("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    # "e" and its accent stay together, and so do the parts of a joined emoji.
    assert pieces("abce\u0301x", 4) == ["abc", "e\u0301x"]
    assert pieces("abc👩\u200d🔬", 5) == ["abc", "👩\u200d🔬"]


def test_white_space_at_an_entitys_end_does_not_cut_it() -> None:
    document = Document("n", "pain \nleg", (Entity("T1", "x", ((0, 6),)), Entity("T2", "x", ((4, 6),))))
    result = sentence_windows(document)
    assert result.windows[0].document.entities == (Entity("T1", "x", ((0, 4),)),)
    assert result.dropped == Counter({windows.ENTITY_TRIMMED: 1, windows.ENTITY_BLANK: 1})


def test_the_cap_must_be_positive() -> None:
    with pytest.raises(CorpusError, match="max_characters is 0"):
        sentence_windows(Document("n", "x"), 0)


CAPS = st.sampled_from([1, 3, 7, 20, 600])


@settings(max_examples=80)
@given(document=documents(), cap=CAPS, whole=st.booleans())
def test_every_character_lies_in_one_window_and_every_annotation_in_one_or_a_count(
    document: Document, cap: int, whole: bool
) -> None:
    result = sentence_windows(document, cap, keep_entities_whole=whole)
    seen = Counter(place for window in result.windows for place in range(window.start, window.end))
    assert all(count == 1 for count in seen.values())
    assert all(character.isspace() or seen[place] for place, character in enumerate(document.text))
    for window in result.windows:
        piece = document.text[window.start : window.end]
        assert window.document.text == piece == piece.strip()
        assert 0 < len(piece) <= cap
    entities = [entity for window in result.windows for entity in window.document.entities]
    cut = result.dropped[windows.ENTITY_CUT] + result.dropped[windows.ENTITY_BLANK]
    assert len(entities) + cut == len(document.entities)
    relations = sum(len(window.document.relations) for window in result.windows)
    lost = result.dropped[windows.RELATION_ACROSS] + result.dropped[windows.RELATION_OF_CUT]
    assert relations + lost == len(document.relations)


@settings(max_examples=50)
@given(document=documents(), cap=CAPS)
def test_evaluation_windows_do_not_depend_on_the_annotations(document: Document, cap: int) -> None:
    bare = sentence_windows(Document(document.id, document.text), cap).windows
    assert [(w.start, w.end) for w in sentence_windows(document, cap).windows] == [(w.start, w.end) for w in bare]


@settings(max_examples=50)
@given(document=documents(), cap=CAPS)
def test_keeping_entities_whole_never_cuts_more_of_them(document: Document, cap: int) -> None:
    blind = sentence_windows(document, cap).dropped[windows.ENTITY_CUT]
    assert sentence_windows(document, cap, keep_entities_whole=True).dropped[windows.ENTITY_CUT] <= blind


@settings(max_examples=50)
@given(document=documents(), cap=CAPS)
def test_joined_windows_are_the_document_without_what_was_counted(document: Document, cap: int) -> None:
    result = sentence_windows(document, cap)
    joined = join_windows(document, result.windows)
    trimmed = result.dropped[windows.ENTITY_TRIMMED]
    assert joined.text == document.text
    assert len(set(joined.entities) - set(document.entities)) <= trimmed
    assert set(joined.relations) <= set(document.relations)
    if not result.dropped:
        assert set(joined.entities) == set(document.entities)
        assert set(joined.relations) == set(document.relations)


def test_predictions_of_windows_get_ids_of_their_own() -> None:
    document = Document("n", "ab. Cd.")
    entity = Entity("T1", "x", ((0, 1),))
    predicted = [
        Window(
            w.document_id, w.start, w.end, Document("w", w.document.text, (entity,), (Relation("R1", "x", "T1", "T1"),))
        )
        for w in sentence_windows(document).windows
    ]
    joined = join_windows(document, predicted)
    assert joined.entities == (entity, Entity("T1@4", "x", ((4, 5),)))
    assert joined.relations == (Relation("R1", "x", "T1", "T1"), Relation("R1@4", "x", "T1@4", "T1@4"))
    with pytest.raises(CorpusError, match="does not fit document 'm'"):
        join_windows(Document("m", "ab. Cd."), predicted)


@given(text=texts)
def test_sentences_never_run_over_a_line_break(text: str) -> None:
    assert not any(set("\n\r\x85\u2028") & set(sentence) for sentence in sentences(text))


def test_the_published_corpora_lose_next_to_nothing(corpora: Path) -> None:
    # Kept whole: none of MACCROBAT's is cut; CHIA has 11 entities longer than the cap of 600 code points.
    for corpus, cut_blind, cut_whole in (("maccrobat", 10, 0), ("chia", 110, 11)):
        notes = read_brat(corpora / corpus).documents
        longer = sum(entity.end - entity.start > 600 for note in notes for entity in note.entities)
        blind = sum((sentence_windows(note).dropped for note in notes), Counter[str]())
        whole = sum((sentence_windows(note, keep_entities_whole=True).dropped for note in notes), Counter[str]())
        assert blind[windows.ENTITY_CUT] <= cut_blind
        assert whole[windows.ENTITY_CUT] == cut_whole == longer
