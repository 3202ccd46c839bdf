"""Answers in JSON: always well-formed, always quoting the source, and what greedy decoding under the grammar gives."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from json_tokenizers import SMILE, make_tokenizer
from llguidance import LLMatcher, LLTokenizer

import tiny
from fedmedlora.adapters.base import Base, load_base, model_digest
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.state import AdapterState, save_state
from fedmedlora.cli.main import main
from fedmedlora.corpus.document import Document, Entity
from fedmedlora.errors import EnvironmentProblem
from fedmedlora.inference import json_decode
from fedmedlora.inference.extract import extract_documents, load_adapted
from fedmedlora.inference.json_decode import JsonAnswer, JsonDecoder, JsonQuestion, make_json_decoder
from fedmedlora.inference.memory import cache_is_exact
from fedmedlora.markup.json_format import appearances, parse_json
from fedmedlora.markup.json_grammar import JsonGrammar
from fedmedlora.markup.parsed import Found
from fedmedlora.markup.prompts import Prompt, ner_prompt, re_prompt

MAX_TOKENS = 512
TYPES = tiny.LABELS.entity_types
SEEDS = {"tagged": 2, "bytes": 4, "unigram": 8}
"""Random models that list something."""


@pytest.fixture(autouse=True, scope="module")
def short_instructions() -> Iterator[None]:
    """The real ones take a thousand of the tiny tokenizers' tokens, and say nothing to a random model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_decode, "ner_prompt", lambda labels, asked, style: Prompt("Mark entities:", "\nText:"))
        patch.setattr(json_decode, "re_prompt", lambda labels, kind, asked, style: Prompt("Mark:", "\nText:"))
        yield


@cache
def make_adapted(spelling: tiny.Spelling, kind: tiny.Kind = "llama") -> Adapted:
    """A tiny model with a LoRA that is not the fresh one. Cached: treat it as read-only."""
    words = make_tokenizer(spelling)
    model = tiny.make_model(kind, len(words.hub))
    model.requires_grad_(False)
    adapted = attach_lora(Base("tiny", model, words, model_digest(model)), rank=2, alpha=4)
    draw = np.random.default_rng(SEEDS[spelling])
    arrays = {name: draw.normal(size=shape).astype(np.float32) for name, shape in adapted.fresh(0).shapes.items()}
    adapted.write(AdapterState(arrays, adapted.spec))
    return adapted


def make_decoder(spelling: tiny.Spelling = "bytes", kind: tiny.Kind = "llama", tokens: int = 160) -> JsonDecoder:
    decoder = make_json_decoder(make_adapted(spelling, kind), tiny.LABELS, batch_size=4, max_tokens=MAX_TOKENS)
    decoder.answer_tokens = tokens
    return decoder


def ner(text: str, *asked: str) -> JsonQuestion:
    return JsonQuestion(Document("n", text), None, asked or TYPES)


def re(text: str, words: str) -> JsonQuestion:
    document = tiny.mark(text, ("problem", words))
    return JsonQuestion(document, "T1", tiny.LABELS.modifiers["problem"])


QUESTIONS = (
    ner("No fever, no cough."),
    ner(f'"q" \\ a\n\te\N{COMBINING ACUTE ACCENT} {SMILE} fever'),
    re("Severe headache", "headache"),
    ner("mild cough; aspirin 81 mg", "drug"),
    ner("x"),
)


def one_token_at_a_time(decoder: JsonDecoder, question: JsonQuestion) -> str:
    """The best allowed token from a whole forward pass at every step, one question alone; ties go to the lowest id."""
    grammar = JsonGrammar(
        "entities" if question.head is None else "modifiers",
        question.document.text,
        question.asked,
        decoder.vocabulary.spells,
    )
    assert grammar.lark is not None
    assert decoder.answer_tokens is not None
    matcher = LLMatcher(LLTokenizer(decoder.vocabulary), grammar.lark)
    prompt = [token for part in decoder._prompt(question) for token in part]
    written: list[int] = []

    def write(token: int) -> None:
        assert matcher.compute_logit_bias()[token]
        assert matcher.consume_token(token)
        written.append(token)

    def answer() -> bytes:
        return b"".join(decoder.vocabulary.tokens[token] for token in written)

    while not matcher.is_accepting():
        if forced := matcher.compute_ff_tokens():
            for token in forced:
                write(token)
            continue
        if len(written) >= decoder.answer_tokens:
            return grammar.close(answer())
        with torch.no_grad():
            logits = decoder.adapted.base.model(input_ids=torch.tensor([prompt + written])).logits[0, -1].tolist()
        allowed = matcher.compute_logit_bias()
        ranked = sorted(
            (-logit, token) for token, logit in enumerate(logits) if token < len(allowed) and allowed[token]
        )
        write(next(token for _, token in ranked if grammar.allows(answer() + decoder.vocabulary.tokens[token])))
    return answer().decode()


def check(question: JsonQuestion, answer: JsonAnswer) -> None:
    """Well-formed, asked for, quoted from the source at the offsets that are given."""
    source = question.document.text
    (key, items), *others = json.loads(answer.text).items()
    assert not others
    assert key == ("entities" if question.head is None else "modifiers")
    expected = set()
    for item in items:
        assert item["type"] in question.asked
        pieces = item.get("pieces", [item])
        assert item.keys() == ({"type", "pieces"} if "pieces" in item else {"type", "text", "occurrence"})
        assert len(pieces) > ("pieces" in item)
        spans = []
        for piece in pieces:
            assert piece["text"].strip()
            start = list(appearances(source, piece["text"]))[piece["occurrence"] - 1]
            assert piece["occurrence"] > 0
            margin = len(piece["text"]) - len(piece["text"].lstrip())
            spans.append((start + margin, start + margin + len(piece["text"].strip())))
        spans.sort()
        if all(before[1] <= after[0] for before, after in pairwise(spans)):
            expected.add(Found(item["type"], tuple(spans)))
    # Pieces are compared with their margins when they are found to overlap, so a few of these may be lost.
    assert set(answer.entities) <= expected
    assert {one for one in expected if len(one.spans) == 1} <= set(answer.entities)
    for entity in answer.entities:
        for start, end in entity.spans:
            assert source[start:end] == source[start:end].strip() != ""
    # What was listed before is listed once more at most, as the last.
    assert len({json.dumps(item) for item in items}) >= len(items) - 1


@pytest.mark.parametrize("spelling", tiny.SPELLINGS)
def test_batches_equal_one_token_at_a_time(spelling: tiny.Spelling) -> None:
    decoder = make_decoder(spelling)
    assert decoder.cached
    found = decoder.answer(QUESTIONS)
    assert [answer.text for answer in found] == [one_token_at_a_time(decoder, question) for question in QUESTIONS]
    for question, answer in zip(QUESTIONS, found, strict=True):
        check(question, answer)
    # The random model lists something, so that the comparison says something. How much differs from run to run, as
    # training the unigram tokenizer breaks ties as it likes.
    assert any("occurrence" in answer.text for answer in found)
    # Rows do not depend on their neighbours, and the order of the questions is kept.
    assert decoder.answer(QUESTIONS[::-1]) == found[::-1]
    decoder.batch_size = 1
    assert decoder.answer(QUESTIONS) == found
    decoder.batch_size, decoder.cached = 3, False
    assert decoder.answer(QUESTIONS) == found


def test_a_sliding_window_hides_the_same_from_every_pass() -> None:
    decoder = make_decoder("bytes", "mistral", tokens=80)
    assert decoder.cached
    questions = QUESTIONS[:2]
    expected = [one_token_at_a_time(decoder, question) for question in questions]
    assert [answer.text for answer in decoder.answer(questions)] == expected


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "neox", "gpt2"])
def test_kept_keys_and_values_change_nothing(kind: tiny.Kind) -> None:
    adapted = make_adapted("bytes", kind)
    assert cache_is_exact(adapted.readout, adapted.base.tokenizer.pad_id)


def test_the_prompt_explains_json_and_shows_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_decode, "ner_prompt", ner_prompt)
    monkeypatch.setattr(json_decode, "re_prompt", re_prompt)
    decoder = make_decoder("bytes")
    for question, shown, style in (
        (ner("mild <problem> cough", "drug"), "mild <problem> cough", ner_prompt(tiny.LABELS, ["drug"], "json")),
        (
            re("mild cough", "cough"),
            "mild <problem>cough</problem>",
            re_prompt(tiny.LABELS, "problem", ["severity", "negation"], "json"),
        ),
    ):
        parts = [decoder.adapted.base.tokenizer.text(list(part)) for part in decoder._prompt(question)]
        assert parts == [style.prefix, shown, style.suffix]
        assert "JSON" in style.prefix


def test_instructions_are_read_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_decode, "ner_prompt", ner_prompt)
    decoder = make_decoder(tokens=30)
    decoder.max_tokens = 2048
    told: list[int] = []
    questions = [ner("No fever"), ner("mild cough"), ner("")]
    decoder.answer(questions, told.append)
    assert told == [1, 2]
    prefix, *_ = decoder._prompt(questions[0])
    assert len(prefix) < decoder.tokens < 2 * len(prefix)


@pytest.mark.parametrize(
    "question", [ner(""), ner(" \n\t"), JsonQuestion(Document("n", "No fever"), None, ()), ner("\ud800")]
)
def test_nothing_to_ask_or_to_quote_runs_no_model(question: JsonQuestion) -> None:
    decoder = make_decoder()
    assert decoder.answer([question]) == [JsonAnswer('{"entities": []}', [])]
    assert (decoder.passes, decoder.tokens) == (0, 0)
    assert not decoder.problems


def test_an_answer_at_its_bound_is_closed_and_counted() -> None:
    for tokens in (1, 60, 120):
        decoder = make_decoder(tokens=tokens)
        (answer,) = decoder.answer(QUESTIONS[:1])
        if tokens < 60:
            assert answer == JsonAnswer('{"entities": []}', [], closed=True)
        check(QUESTIONS[0], answer)
        assert decoder.problems["ner: JSON answer closed at its token bound"] == answer.closed


def test_a_window_without_room_is_counted() -> None:
    decoder = make_decoder()
    decoder.max_tokens = 70
    assert decoder.answer([ner("No fever"), re("Severe headache", "headache")])[0].entities == []
    assert decoder.problems == {
        "ner: window longer than 70 tokens": 1,
        "re: window longer than 70 tokens": 1,
    }
    assert decoder.passes == 0


@st.composite
def sources(draw: st.DrawFn) -> str:
    odd = (
        *("a", "aa", "ab ", " ", "  ", "\n", "\r\n", "\t", "\x00", "\x1f", "\x7f", "\u2028", "\xa0", '"', "\\", "\\n"),
        *("\\u0041", '{"type": "', '", "occurrence": 7', "é", "e\u0301", "\u0301", "ﬁ", "≥", SMILE, "👩\u200d⚕️"),
        *("<problem>", "</problem>", "<\\problem>", "▁", "Ġ", "fever", "<0x41>"),
    )
    return "".join(draw(st.lists(st.sampled_from(odd) | st.text(max_size=3), max_size=8)))


def at_random(decoder: JsonDecoder, question: JsonQuestion, seed: int) -> JsonAnswer | None:
    """An answer by a model that prefers anything at all; None where none is to be asked."""
    plan = decoder._plan(0, question)
    if plan is None:
        return None
    draw = random.Random(seed)
    row = json_decode._start_row(plan, decoder.vocabulary, decoder._engine)
    while not row.ended:
        bits = np.unpackbits(row.mask(), bitorder="little").nonzero()[0].tolist()
        draw.shuffle(bits)
        token = next((token for token in bits if row.allows(token)), None)
        # There is always a way on.
        assert token is not None
        row.take(token)
    return decoder._finish(row)


@pytest.mark.parametrize("spelling", tiny.SPELLINGS)
@settings(max_examples=30, deadline=None)
@given(text=sources(), seed=st.integers(0, 1000), tokens=st.integers(5, 120))
def test_malformed_is_impossible(spelling: tiny.Spelling, text: str, seed: int, tokens: int) -> None:
    decoder = make_decoder(spelling, tokens=tokens)
    questions = [ner(text), ner(text, "drug")]
    if text.strip():
        questions.append(re(text, text.strip()[:2]))
    for question in questions:
        answer = at_random(decoder, question, seed)
        if answer is not None:
            check(question, answer)
    reasons = {reason.partition(": ")[2] for reason in decoder.problems}
    assert reasons <= {"duplicate", "malformed item", "JSON answer closed at its token bound"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A base, and an adapter (random) on it in the folder that is returned."""
    folder = tiny.save_base(tmp_path / "base", spelling="bytes")
    adapted = attach_lora(load_base(str(folder)), rank=2, alpha=6)
    draw = np.random.default_rng(4)
    arrays = {name: draw.normal(size=shape).astype(np.float32) for name, shape in adapted.fresh(0).shapes.items()}
    save_state(AdapterState(arrays, adapted.spec), tmp_path / "adapter", str(folder))
    return tmp_path / "adapter"


def test_documents_are_extracted_in_their_own_offsets(saved: Path) -> None:
    adapted = load_adapted(saved)
    texts = (f"No fever. Mild cough, {SMILE} pain.", "", "Severe headache")
    documents = [Document(f"n{number}", text) for number, text in enumerate(texts)]
    found, dropped = extract_documents(adapted, documents, tiny.LABELS, answers="json")
    assert [document.text for document in found] == list(texts)
    assert any(document.relations for document in found)
    for document in found:
        for entity in document.entities:
            assert entity.type in tiny.LABELS.names
            assert all(document.text[start:end].strip() for start, end in entity.spans)
        for relation in document.relations:
            assert relation.type in tiny.LABELS.modifiers[document.entity(relation.head).type]
    assert {reason.partition(": ")[0] for reason in dropped} <= {"ner", "re"}
    with pytest.raises(ValueError, match="span format"):
        extract_documents(adapted, documents, tiny.LABELS, answers="json", plain=True)


def test_discontinuous_answers_become_discontinuous_entities(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        None: '{"entities": [{"type": "problem", "pieces": [{"text": "pain in", "occurrence": 1}, '
        '{"text": " hip", "occurrence": 1}]}]}',
        "T1": '{"modifiers": [{"type": "negation", "text": "No", "occurrence": 1}]}',
    }

    def written(decoder: JsonDecoder, questions: list[JsonQuestion], on_done: object) -> list[JsonAnswer]:
        found = []
        for question in questions:
            parsed = parse_json(answers[question.head], question.document.text, question.asked)
            trimmed = [json_decode._without_margins(question.document.text, entity) for entity in parsed.entities]
            found.append(JsonAnswer(answers[question.head], trimmed))
        return found

    monkeypatch.setattr(JsonDecoder, "answer", written)
    document = Document("n", "Fine. No pain in knee or hip.")
    (found,), dropped = extract_documents(load_adapted(saved), [document], tiny.LABELS, answers="json")
    # The second window begins at 6: "No" at 6, "pain in" at 9, "hip" at 25; the first holds none of it.
    assert found.entities == (Entity("T1", "problem", ((9, 16), (25, 28))), Entity("M1", "negation", ((6, 8),)))
    assert [(one.type, one.head, one.tail) for one in found.relations] == [("negation", "T1", "M1")]
    assert dropped == Counter()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'fedmedlora\[json\]'"):
        make_json_decoder(make_adapted("bytes"), tiny.LABELS)


def extract(folder: Path, *options: str) -> Iterator[str]:
    yield from ("extract", str(folder / "n.txt"), "--from", "text", "--model", str(folder / "adapter"))
    yield from ("--out", str(folder / "found.jsonl"), *options)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--answers", "jsn"), 2, "did you mean 'json'"),
        (("--answers", "json", "--plain"), 2, "--plain reads answers in the span format"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], status: int, message: str
) -> None:
    (tmp_path / "n.txt").write_text("No fever.")
    assert main(list(extract(tmp_path, *options))) == status
    assert message in capsys.readouterr().err


def test_the_verb_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    assert main(list(extract(tmp_path, "--answers", "json"))) == 3
    assert "pip install 'fedmedlora[json]'" in capsys.readouterr().err


def test_the_verb_extracts(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("No fever.")
    labels = tmp_path / "labels.toml"
    labels.write_text("[entities.problem]\nmodifiers = []\n[entities.drug]\nmodifiers = []\n")
    assert main(list(extract(tmp_path, "--answers", "json", "--labels", str(labels)))) == 0
    assert json.loads((tmp_path / "found.jsonl").read_text())["text"] == "No fever."
