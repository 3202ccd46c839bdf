"""The grammar of JSON answers with its rules, and tokens as the bytes that they write."""

from __future__ import annotations

import json

import pytest
from json_tokenizers import SMILE, make_tokenizer
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import tiny
from fedmedlora.adapters.base import FastTokenizer
from fedmedlora.adapters.lora import attach_lora
from fedmedlora.corpus.document import Document, Entity
from fedmedlora.errors import BaseModelError
from fedmedlora.inference.json_decode import make_json_decoder
from fedmedlora.inference.vocabulary import Vocabulary
from fedmedlora.markup.json_format import render_json_ner
from fedmedlora.markup.json_grammar import SIGNS, JsonGrammar

TYPES = tiny.LABELS.entity_types


def test_what_an_adapter_would_be_taught_is_allowed() -> None:
    text = f'"Pain" in knee\nand {SMILE} hip; \\pain'
    entities = (Entity("1", "problem", ((1, 5), (10, 14))), Entity("2", "drug", ((19, 24),)))
    target = render_json_ner(Document("n", text, entities), TYPES).text
    for spelling in ("tagged", "bytes"):
        vocabulary = Vocabulary(make_tokenizer(spelling))
        grammar = JsonGrammar("entities", text, TYPES, vocabulary.spells)
        matcher = LLMatcher(LLTokenizer(vocabulary), grammar.lark)
        tokens = vocabulary(target)
        assert matcher.consume_tokens(tokens)
        assert matcher.is_accepting()
        ends = [b"".join(vocabulary.tokens[token] for token in tokens[:end]) for end in range(len(tokens) + 1)]
        assert all(map(grammar.allows, ends))
        assert ends[-1].decode() == target


def said(*items: str) -> bytes:
    return ('{"entities": [' + ", ".join(items)).encode()


def item(text: str, occurrence: str) -> str:
    return f'{{"type": "drug", "text": {json.dumps(text)}, "occurrence": {occurrence}'


PIECES = '{"type": "drug", "pieces": [{"text": "ab", "occurrence": 1}, {"text": "ab", "occurrence": 1}'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # In 'ab " ab', "ab" stands twice, " ab" once.
        (said(item("ab", "2")), True),
        (said(item("ab", "3")), False),
        (said(item("ab", "2}"), item(" ab", "2")), False),
        (said('{"type": "drug", "text": "'), True),
        (said('{"type": "drug", "text": " '), True),
        (said('{"type": "drug", "text": ""'), False),
        (said('{"type": "drug", "text": " "'), False),
        (said('{"type": "drug", "text": " \\"'), True),
        (said('{"type": "drug", "text": " \\""'), True),
        (said(item("ab", "1}"), item("ab", "1}")), True),
        (said(item("ab", "1}"), item("ab", "1}")) + b"]}", True),
        (said(item("ab", "1}"), item("ab", "1}")) + b", ", False),
        (said(item("ab", "1}"), item("ab", "2}")) + b", ", True),
        (said(PIECES) + b"]}", True),
        (said(PIECES) + b", {", False),
        (said(PIECES.replace("1}, ", "2}, ")) + b", {", True),
        (said(item("ab", "1")) + b"\xf0\x9f", True),
    ],
)
def test_rules_that_look_back(answer: bytes, expected: bool) -> None:
    grammar = JsonGrammar("entities", 'ab " ab', TYPES, lambda text: True)
    assert grammar.allows(answer) is expected


def test_closing_keeps_what_is_complete() -> None:
    grammar = JsonGrammar("modifiers", "ab", TYPES, lambda text: True)
    pieces = '{"type": "drug", "pieces": [{"text": "a", "occurrence": 1}, {"text": "}]", "occurrence": 1}]}'
    begun = '{"modifiers": [' + pieces
    for rest in ("", ", ", ', {"type": "drug", "text": "\\"', "]", "]}"):
        assert grammar.close((begun + rest).encode()) == begun + "]}"
    for cut in range(len(begun)):
        assert grammar.close(begun[:cut].encode()) == grammar.empty == '{"modifiers": []}'


@pytest.mark.parametrize("spelling", tiny.SPELLINGS)
def test_a_vocabulary_writes_what_its_tokenizer_reads(spelling: tiny.Spelling) -> None:
    words = make_tokenizer(spelling)
    vocabulary = Vocabulary(words)
    for text in ("mild chest pain, no oedema", '"type": "drug"', "}, {", " a", "<problem>x</problem>"):
        ids, _ = words.tokens(text)
        spelled = b"".join(vocabulary.tokens[token] for token in ids).decode()
        assert spelled.removeprefix(" ") == text.removeprefix(" ")
        assert b"".join(vocabulary.tokens[token] for token in vocabulary(text)).decode() == text
    assert vocabulary.spells(SIGNS)
    assert vocabulary.spells(SMILE) is (spelling != "unigram")
    assert not vocabulary.spells("\udc00")
    # A sign that no token writes is never quoted, and parts what stands around it.
    runs = JsonGrammar("entities", f"a{SMILE}b", TYPES, vocabulary.spells).lark
    assert runs is not None
    assert ("RUN_1" in runs) is (spelling == "unigram")


def test_bytes_that_a_tokenizer_falls_back_to() -> None:
    made = Tokenizer(models.BPE({"<unk>": 0, "▁": 1, "a": 2, "<0xC3>": 3, "<0xA9>": 4, "▁a": 5}, [("▁", "a")]))
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens([tiny.BEGIN, tiny.END, tiny.PAD])
    made.add_tokens(["▁▁"])
    vocabulary = Vocabulary(FastTokenizer(tiny.as_hub(made)))
    assert vocabulary.tokens[-1] == b"  "
    assert vocabulary.tokens[1:6] == [b" ", b"a", b"\xc3", b"\xa9", b" a"]
    assert vocabulary.spells("é a")
    assert not vocabulary.spells("è")
    assert [vocabulary.tokens[token] for token in vocabulary("é a")] == [b"\xc3", b"\xa9", b" a"]
    assert vocabulary("è") == []


def test_tokenizers_that_cannot_write_json_are_refused() -> None:
    adapted = attach_lora(tiny.make_base("llama", "unigram"), rank=2)
    with pytest.raises(BaseModelError, match="cannot spell JSON"):
        make_json_decoder(adapted, tiny.LABELS)
    made = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([tiny.BEGIN, tiny.END, tiny.PAD])
    with pytest.raises(BaseModelError, match="which text its tokens write"):
        Vocabulary(FastTokenizer(tiny.as_hub(made)))
