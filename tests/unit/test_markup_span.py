from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmedlora.corpus.brat import read_brat
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.markup.align import Alignment
from fedmedlora.markup.parsed import Found, Parsed
from fedmedlora.markup.representable import nestable
from fedmedlora.markup.span import mark_target, parse_span, render_ner, render_re

NOTE = Document(
    "n1",
    "No severe chest pain on aspirin 100 mg.",
    entities=(
        Entity("e1", "problem", ((10, 20),)),
        Entity("e2", "drug", ((24, 31),)),
        Entity("m1", "negation", ((0, 2),)),
        Entity("m2", "severity", ((3, 9),)),
        Entity("m3", "bodyloc", ((10, 15),)),
        Entity("m4", "strength", ((32, 38),)),
    ),
    relations=(
        Relation("r1", "negation", "e1", "m1"),
        Relation("r2", "severity", "e1", "m2"),
        Relation("r3", "bodyloc", "e1", "m3"),
        Relation("r4", "strength", "e2", "m4"),
    ),
)
LABELS = ("drug", "problem", "test")


def test_render_ner() -> None:
    assert render_ner(NOTE, ["problem", "drug"]).text == (
        "No severe <problem>chest pain</problem> on <drug>aspirin</drug> 100 mg."
    )
    assert render_ner(NOTE, ["drug"]).text == "No severe chest pain on <drug>aspirin</drug> 100 mg."


def test_render_re() -> None:
    rendered = render_re(NOTE, "e1", ["negation", "severity", "bodyloc", "strength"])
    assert rendered.text == (
        "<negation>No</negation> <severity>severe</severity> <bodyloc>chest</bodyloc> pain on aspirin 100 mg."
    )
    assert render_re(NOTE, "e1", ["severity"]).text == "No <severity>severe</severity> chest pain on aspirin 100 mg."
    assert not rendered.dropped


def test_mark_target_marks_every_piece() -> None:
    assert mark_target(NOTE, "e1") == "No severe <problem>chest pain</problem> on aspirin 100 mg."
    pieces = Document("n", "knee and hip pain <route>", (Entity("1", "problem", ((0, 4), (13, 17))),))
    assert mark_target(pieces, "1", ["route"]) == "<problem>knee</problem> and hip <problem>pain</problem> <\\route>"


def test_render_counts_what_it_drops() -> None:
    note = Document("n", "abcdef", (Entity("1", "drug", ((0, 3),)), Entity("2", "drug", ((2, 5),))))
    assert render_ner(note, LABELS) == ("<drug>abc</drug>def", Counter({"crosses another entity": 1}))


PIECES = [
    "<",
    ">",
    "&",
    "\\",
    "<drug>",
    "</drug>",
    "<\\test>",
    "<Test>",
    " ",
    "pain",
    "é",
    "e\u0301",
    "🩺",
    "\r\n",
    "\n",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), min_size=1, max_size=10).map("".join).filter(bool)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(texts)
    entities = []
    for name in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        entities.append(Entity(f"e{name}", draw(st.sampled_from(LABELS)), ((start, end),)))
    heads = [entity.id for entity in entities]
    relations = [
        Relation(f"r{name}", draw(st.sampled_from(LABELS)), draw(st.sampled_from(heads)), tail)
        for name, tail in enumerate(heads)
    ]
    return Document("d", text, tuple(entities), tuple(relations))


@given(documents())
def test_parse_inverts_render(document: Document) -> None:
    rendered = render_ner(document, LABELS)
    parsed = parse_span(rendered.text, document.text, LABELS)
    assert parsed == ([Found(one.type, one.spans) for one in nestable(document.entities).kept], Counter())
    for head in document.entities:
        asked = [label for label in LABELS if label != head.type]
        rendered = render_re(document, head.id, asked)
        tails = {(relation.type, relation.tail) for relation in document.relations if relation.head == head.id}
        modifiers = [Entity(tail, kind, document.entity(tail).spans) for kind, tail in tails if kind in asked]
        parsed = parse_span(rendered.text, document.text, asked, [head.type])
        assert parsed == ([Found(one.type, one.spans) for one in nestable(modifiers).kept], Counter())


SOURCE = "Denies chest pain. Took aspirin for fever on Monday."
#         0      7         17 19   24      32  36    42 45
MARKED = "Denies chest pain. Took aspirin for <problem>fever</problem> on Monday."


def parse(output: str, source: str = SOURCE) -> tuple[list[tuple[str, str]], dict[str, int]]:
    parsed = parse_span(output, source, LABELS)
    return [(kind, source[start:end]) for kind, ((start, end),) in parsed.entities], dict(parsed.problems)


@pytest.mark.parametrize(
    ("output", "expected", "problems"),
    [
        # The tags are wrong.
        ("Denies <problem>chest pain. Took aspirin for fever on Monday.", [], {"malformed tag": 1}),
        ("Denies chest pain</problem>. Took aspirin for fever on Monday.", [], {"malformed tag": 1}),
        (
            "Denies <problem>chest pain<problem>. Took aspirin for fever on Monday.",
            ["chest pain"],
            {"malformed tag": 1},
        ),
        ("Denies <problem>chest pain</test>. Took aspirin for fever on Monday.", ["chest pain"], {"malformed tag": 1}),
        ("Denies <problem></problem>chest pain. Took aspirin for fever on Monday.", [], {"malformed tag": 1}),
        (
            "Denies <problem>chest <test>pain</problem>. Took</test> aspirin for fever on Monday.",
            ["chest pain", "pain. Took"],
            {"malformed tag": 1},
        ),
        ("Denies <Problem>chest pain</ problem >. Took aspirin for fever on Monday.", ["chest pain"], {}),
        (
            "Denies <sign>chest pain</sign>. Took <drug>aspirin</drug> for fever on Monday.",
            ["aspirin"],
            {"unknown label": 1},
        ),
        # The text is wrong.
        (
            "denies <problem>Chest  pain</problem>. took aspirin\nfor fever on monday.",
            ["chest pain"],
            {"text differs": 1},
        ),
        ("Denies chest pain. Took <drug>aspirin </drug>for", ["aspirin"], {"text differs": 1}),
        ("Took aspirin for <problem>fever</problem> on Monday.", ["fever"], {"text differs": 1}),
        (
            "Denies <problem>bad chest pain</problem>. Took aspirin for fever on Monday.",
            ["chest pain"],
            {"text differs": 1, "snapped to words": 1},
        ),
        (
            "Denies <problem>chest pian</problem>. Took aspirin for fever on Monday.",
            ["chest pain"],
            {"text differs": 1, "snapped to words": 1},
        ),
        (
            "Denies <problem>dizziness</problem>. Took aspirin for fever on Monday.",
            [],
            {"text differs": 1, "hallucinated": 1},
        ),
        # There is more than the text.
        (f"Sure! Here is the text:\n{MARKED}\nNote: I marked the fever on Monday.", ["fever"], {"text differs": 1}),
        (
            f"{MARKED} I also found <problem>heart failure</problem>.",
            ["fever"],
            {"text differs": 1, "hallucinated": 1},
        ),
        (f"<think>Is <problem> right?</think>\n{MARKED}", ["fever"], {}),
        ("<think>Is <problem> right", [], {"unfinished reasoning": 1}),
        ("", [], {"text differs": 1}),
    ],
)
def test_tolerant_parse(output: str, expected: list[str], problems: dict[str, int]) -> None:
    entities, counted = parse(output)
    assert [text for _, text in entities] == expected
    assert counted == problems


def test_target_tags_repeated_in_an_re_answer() -> None:
    parsed = parse_span("No <problem>pain</problem> <route>today</route>", "No pain today", ["route"], ["problem"])
    assert parsed == ([Found("route", ((8, 13),))], Counter({"unknown label": 1}))


def test_tag_in_the_source_is_text() -> None:
    # "<sign>" is in the source, so it is no tag; "<drug>" was not escaped by the model, so it is one.
    assert parse("<sign>a <problem>b</problem>", "<sign>a b") == ([("problem", "b")], {})
    assert parse("x <drug> y <problem>b</problem> z", "x <drug> y b z") == (
        [("problem", "b")],
        {"malformed tag": 1, "text differs": 1},
    )


def test_repeats_prefer_the_word_beside_its_neighbours() -> None:
    # "fever" twice in the output, once in the source: the marked one follows "for".
    assert parse("fever or Took aspirin for <problem>fever</problem> on Monday.")[0] == [("problem", "fever")]


def test_composed_accents_and_quotes() -> None:
    source = "Me\u0301nie\u0300re\u2019s disease, stable"
    entities, problems = parse("<problem>Ménière's disease</problem>, stable", source)
    assert entities == [("problem", "Me\u0301nie\u0300re\u2019s disease")]
    assert problems == {"text differs": 1}


def test_a_word_that_spans_too_much_is_hallucinated() -> None:
    # "a" and "z" both match, but 2 of the 52 characters between them is less than half.
    source = "a " + "bcdef " * 10 + "z"
    assert Alignment("a z", source).to_source(0, 3) is None


outputs = st.lists(
    st.sampled_from([*PIECES, "<problem>", "</problem>", "</test>", "<x>", "< drug", "<think>", "</think>"])
    | st.text(max_size=4),
    max_size=25,
).map("".join)


@given(outputs, texts)
def test_never_raises_and_stays_inside(output: str, source: str) -> None:
    parsed = parse_span(output, source, LABELS)
    assert isinstance(parsed, Parsed)
    for kind, spans in parsed.entities:
        assert kind in LABELS
        assert all(0 <= start < end <= len(source) for start, end in spans)
    assert all(count > 0 for count in parsed.problems.values())


@given(st.text(alphabet="ab ", max_size=40), st.text(alphabet="ab ", max_size=40))
def test_alignment_is_monotone(output: str, source: str) -> None:
    placed = [Alignment(output, source).to_source(at, at + 1) for at in range(len(output))]
    starts = [found[0][0] for found in placed if found is not None]
    assert starts == sorted(starts)


def test_long_outputs_take_linear_time() -> None:
    words = random.Random(1).choices(["pain", "no", "the", "drug"], k=20_000)
    source = " ".join(words)
    began = time.perf_counter()
    for output in (
        " ".join(words[5_000:]) + " chatter" * 20_000,
        "no " * 20_000,
        "<drug>" * 20_000 + source,
        "<drug>no</drug> " * 20_000,
        "x" * 100_000,
        "<" * 100_000,
    ):
        parse_span(output, source, LABELS)
    assert time.perf_counter() - began < 20


def test_windowed_alignment_follows_a_long_copy() -> None:
    # 9,000 different words, every 50th changed, so more than one window; the marked last word must be found.
    words = [f"w{number}" for number in range(9_000)]
    output = " ".join("changed" if number % 50 == 7 else word for number, word in enumerate(words[:-1]))
    source = " ".join(words)
    parsed = parse_span(f"Preamble. {output} <drug>{words[-1]}</drug> and more", source, LABELS)
    assert parsed.entities == [Found("drug", ((len(source) - len(words[-1]), len(source)),))]


def test_round_trip_on_real_notes(corpora: Path) -> None:
    documents = read_brat(corpora / "maccrobat").documents[:40]
    assert len(documents) == 40
    for document in documents:
        types = {entity.type for entity in document.entities}
        kept, dropped = nestable(document.entities)
        rendered = render_ner(document, types)
        assert rendered.dropped == dropped
        found = {Found(one.type, one.spans) for one in kept}
        parsed = parse_span(rendered.text, document.text, types)
        assert set(parsed.entities) == found
        assert not parsed.problems
        # A model that lost case and line breaks, and talks, still lands on the same offsets.
        noisy = parse_span("Sure:\n" + " ".join(rendered.text.lower().split()) + "\nDone.", document.text, types)
        assert len(set(noisy.entities) & found) >= 0.99 * len(found)
