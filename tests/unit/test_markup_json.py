from __future__ import annotations

import builtins
import json
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.errors import EnvironmentProblem
from fedmedlora.markup.json_format import parse_json, render_json_ner, render_json_re
from fedmedlora.markup.parsed import Found

LABELS = ("drug", "problem", "test")
SOURCE = "No pain. Pain in knee and hip; took aspirin for pain."
#         0  3     9       17       26        36          48


def test_render() -> None:
    entities = (
        Entity("1", "problem", ((48, 52),)),
        Entity("2", "problem", ((9, 16), (26, 29))),
        Entity("3", "drug", ((36, 43),)),
        Entity("4", "problem", ((48, 52),)),
    )
    note = Document("n", SOURCE, entities, (Relation("r", "drug", "1", "3"),))
    rendered = render_json_ner(note, ["problem"])
    # "pain" stands at 3 and 48 ("Pain" at 9 is another string); entity 4 says the same as entity 1.
    assert json.loads(rendered.text) == {
        "entities": [
            {"type": "problem", "pieces": [{"text": "Pain in", "occurrence": 1}, {"text": "hip", "occurrence": 1}]},
            {"type": "problem", "text": "pain", "occurrence": 2},
        ]
    }
    assert rendered.dropped == Counter({"duplicate": 1})
    assert json.loads(render_json_re(note, "1", ["drug"]).text) == {
        "modifiers": [{"type": "drug", "text": "aspirin", "occurrence": 1}]
    }
    assert render_json_re(note, "1", ["test"]).text == '{"modifiers": []}'


@st.composite
def documents(draw: st.DrawFn) -> Document:
    pieces = st.sampled_from(["a", "aa", "<drug>", '"', "\\", "\r\n", "e\u0301", "🩺", " ", "ß"]) | st.text(max_size=2)
    text = draw(st.lists(pieces, min_size=1, max_size=12).map("".join).filter(bool))
    entities = []
    for name in range(draw(st.integers(0, 5))):
        cuts = sorted(draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=6)))
        spans = tuple(zip(cuts[::2], cuts[1::2], strict=False))
        entities.append(Entity(str(name), draw(st.sampled_from(LABELS)), spans))
    relations = [Relation(f"r{one.id}", one.type, entities[0].id, one.id) for one in entities]
    return Document("d", text, tuple(entities), tuple(relations))


@given(documents())
def test_parse_inverts_render(document: Document) -> None:
    expected = {Found(one.type, one.spans) for one in document.entities}
    parsed = parse_json(render_json_ner(document, LABELS).text, document.text, LABELS)
    assert set(parsed.entities) == expected
    assert not parsed.problems
    if document.entities:
        rendered = render_json_re(document, document.entities[0].id, LABELS)
        assert parse_json(rendered.text, document.text, LABELS) == parsed


def one(text: str, occurrence: object = 1, kind: str = "problem") -> str:
    return json.dumps({"entities": [{"type": kind, "text": text, "occurrence": occurrence}]})


@pytest.mark.parametrize(
    ("output", "expected", "problems"),
    [
        (one("pain", 2), [(48, 52)], {}),
        (one("pain", "2"), [(48, 52)], {}),
        (one("pain", 1, " Problem "), [(3, 7)], {}),
        (one("knee", 3), [(17, 21)], {"occurrence out of range": 1}),
        (one("pain", 3), [], {"occurrence out of range": 1}),
        (one("pain", 0), [], {"occurrence out of range": 1}),
        (one("fever"), [], {"hallucinated": 1}),
        (one("Knee  And"), [(17, 25)], {"text differs": 1}),
        (one("", 1), [], {"missing text": 1}),
        (one("pain", 1, "sign"), [], {"unknown label": 1}),
        (
            '{"entities": [{"type": "problem"}, {"text": "pain"}, "pain", 3]}',
            [],
            {"missing text": 1, "malformed item": 3},
        ),
        # No occurrence: the next appearance each time.
        ('[{"type": "problem", "text": "pain"}, {"type": "problem", "text": "pain"}]', [(3, 7), (48, 52)], {}),
        ('{"problem": ["knee", {"text": "hip", "occurrence": 1}], "drug": []}', [(17, 21), (26, 29)], {}),
        ('{"type": "problem", "text": "knee", "occurrence": 1}', [(17, 21)], {}),
        ('{"entities": []}', [], {}),
        # Broken JSON.
        (f"Sure:\n```json\n{one('knee')}\n```\nDone {{ok}}.", [(17, 21)], {"repaired JSON": 1}),
        (f"Answer: {one('knee')} as asked.", [(17, 21)], {"repaired JSON": 1}),
        ("{'entities': [{'type': 'problem', 'text': 'knee', 'occurrence': 1,},]}", [(17, 21)], {"repaired JSON": 1}),
        (one("knee")[:-2] + ', {"type": "problem", "te', [(17, 21)], {"repaired JSON": 1, "missing text": 1}),
        (f"<think>[1]</think>{one('knee')}", [(17, 21)], {}),
        ("<think>hm", [], {"unfinished reasoning": 1}),
        ("I found nothing.", [], {"repaired JSON": 1, "malformed JSON": 1}),
        ("3", [], {"malformed JSON": 1}),
    ],
)
def test_tolerant_parse(output: str, expected: list[tuple[int, int]], problems: dict[str, int]) -> None:
    parsed = parse_json(output, SOURCE, LABELS)
    assert [spans for _, spans in parsed.entities] == [(span,) for span in expected]
    assert parsed.problems == Counter(problems)


def test_overlapping_pieces_are_malformed() -> None:
    pieces = [{"text": "pain", "occurrence": 1}, {"text": "No pain", "occurrence": 1}]
    output = json.dumps({"entities": [{"type": "problem", "pieces": pieces}]})
    assert parse_json(output, SOURCE, LABELS) == ([], Counter({"malformed item": 1}))


def test_json_repair_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "json_repair":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    assert parse_json(one("knee"), SOURCE, LABELS).entities
    with pytest.raises(EnvironmentProblem, match="pip install json_repair"):
        parse_json("{'entities': ", SOURCE, LABELS)


fragments = st.sampled_from(
    ['{"entities": [', '{"type": "drug"', ', "text": "pain"', '"occurrence": 1e99', *"}]', {[", "```", "null"]
)


@given(st.lists(fragments | st.text(max_size=4), max_size=15).map("".join))
def test_never_raises(output: str) -> None:
    for _, spans in parse_json(output, SOURCE, LABELS).entities:
        assert all(0 <= start < end <= len(SOURCE) for start, end in spans)


@pytest.mark.parametrize(
    "output", ["{" * 10_000, "[" * 20_000, '{"a":' * 5_000, '[{"type":"drug",' * 3_000, '"' * 20_000]
)
def test_deep_or_long_answers_end(output: str) -> None:
    began = time.perf_counter()
    parse_json(output, SOURCE, LABELS)
    assert time.perf_counter() - began < 10
