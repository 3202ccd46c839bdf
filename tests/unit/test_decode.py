"""The jumping decoder against taking one best allowed token at a time, and predictions in document offsets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest
import torch

import tiny
from fedmedlora.adapters import attention
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.readout import make_readout
from fedmedlora.adapters.state import AdapterState
from fedmedlora.corpus.document import Document, Entity
from fedmedlora.inference.decode import Decoder, make_decoder
from fedmedlora.inference.predict import predict_entities, predict_modifiers
from fedmedlora.markup.encode import Encoder, Request
from fedmedlora.markup.grammar import TokenSpan

TEXTS = ("No fever", "mild cough; aspirin 81 mg", "Acute pain", "x", "Severe headache")


@cache
def make_adapted(kind: tiny.Kind, spelling: tiny.Spelling = "tagged") -> Adapted:
    """A tiny model with a LoRA that is not the fresh one. Cached: treat it as read-only."""
    adapted = attach_lora(tiny.make_base(kind, spelling), rank=2, alpha=4)
    draw = np.random.default_rng(2)
    arrays = {name: draw.normal(size=shape).astype(np.float32) for name, shape in adapted.fresh(0).shapes.items()}
    adapted.write(AdapterState(arrays, adapted.spec))
    return adapted


def requests_of(adapted: Adapted) -> list[Request]:
    """Five NER requests and two RE requests, of differing lengths."""
    encoder = Encoder(adapted.base.tokenizer, tiny.LABELS)
    asked = [encoder.ner_request(Document("d", text)) for text in TEXTS]
    for text, words in ((TEXTS[1], "cough"), (TEXTS[4], "headache")):
        document = tiny.mark(text, ("problem", words))
        asked.append(encoder.re_request(document, document.entities[0]))
    return [request for request in asked if request is not None]


def one_token_at_a_time(adapted: Adapted, request: Request) -> tuple[TokenSpan, ...]:
    """The spans of the best completion, token by token."""
    return complete(adapted, request)[0]


def complete(adapted: Adapted, request: Request) -> tuple[tuple[TokenSpan, ...], tuple[int, ...]]:
    """The best allowed token, from a whole forward pass at every step; ties go to the copy, then to the lowest id.

    Returns the spans and the completion.
    """
    state, written = request.grammar.start(), list(request.prompt)
    while not state.ended:
        choice = request.grammar.choice(state)
        ranked = [choice.copy, *sorted(choice.others)] if choice.copy is not None else sorted(choice.others)
        best = ranked[0]
        if len(ranked) > 1:
            with torch.no_grad():
                logits = adapted.base.model(input_ids=torch.tensor([written])).logits[0, -1]
            best = max(ranked, key=lambda token: float(logits[token]))  # max keeps the first of equals
        written.append(best)
        state = request.grammar.advance(state, best)
    return state.spans, tuple(written[len(request.prompt) :])


@pytest.mark.parametrize(
    ("kind", "spelling"),
    [
        ("llama", "tagged"),
        ("llama", "bytes"),
        ("llama", "unigram"),
        ("qwen2", "bytes"),
        ("neox", "tagged"),
        ("gpt2", "tagged"),
        # Every prompt is longer than the window of 6.
        ("mistral", "tagged"),
    ],
)
def test_jumping_equals_one_token_at_a_time(kind: tiny.Kind, spelling: tiny.Spelling) -> None:
    adapted = make_adapted(kind, spelling)
    requests = requests_of(adapted)
    expected = [one_token_at_a_time(adapted, request) for request in requests]
    # The random model marks something here and nothing there, so that the comparison says something.
    assert sum(map(len, expected)) >= 3
    decoder = make_decoder(adapted)
    assert decoder.cached
    for cached in (True, False):
        for batch_size in (1, 7):
            assert Decoder(adapted, decoder.readout, cached, batch_size).decode(requests) == expected
    for request, spans in zip(requests, expected, strict=True):
        for _, (start, end) in request.entities(spans):
            assert 0 <= start < end <= len(request.document.text)


def test_an_attention_of_its_own_is_read_anew_and_gives_the_same() -> None:
    base = tiny.make_base("llama")
    adapted = attach_lora(base, rank=2)
    requests = requests_of(adapted)
    expected = make_decoder(adapted).decode(requests)
    base.model.set_attn_implementation("eager")
    decoder = make_decoder(adapted, batch_size=7)
    assert not decoder.cached
    assert decoder.decode(requests) == expected


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral"])
def test_all_slots_at_once_give_what_each_gives_alone(kind: tiny.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = make_adapted(kind)
    requests = requests_of(adapted)
    expected = make_decoder(adapted, batch_size=4).mark(requests)
    # What a GPU takes.
    monkeypatch.setattr(attention, "_slot_by_slot", attention._slots_at_once)
    decoder = make_decoder(adapted, batch_size=4)
    assert decoder.cached
    for (spans, confidences), (same, close) in zip(decoder.mark(requests), expected, strict=True):
        assert spans == same
        assert confidences == pytest.approx(close, rel=1e-4)


def with_head(change: Callable[[torch.Tensor], None]) -> Adapted:
    """A Llama whose output head is changed in place."""
    base = tiny.make_base("llama")
    head = base.model.get_output_embeddings()
    with torch.no_grad():
        change(head.weight)
    return attach_lora(base, rank=2)


def test_ties_go_to_the_copy_in_one_pass() -> None:
    adapted = with_head(lambda weight: weight.zero_())
    decoder = make_decoder(adapted)
    requests = requests_of(adapted)
    assert decoder.decode(requests) == [()] * 7
    assert decoder.passes == 7
    # Read once: the instructions of two kinds of request, the rest of each prompt, and the source but for its last
    # token, whose choice the one before it makes.
    shared = {request.prompt[: request.prefix_tokens] for request in requests}
    assert len(shared) == 2
    own = sum(len(request.prompt) - request.prefix_tokens + len(request.source.ids) - 1 for request in requests)
    assert decoder.tokens == own + sum(map(len, shared))


def test_ties_of_tags_go_to_the_lowest_id() -> None:
    words = tiny.hub_tokenizer("tagged")
    first, second = sorted(words.convert_tokens_to_ids(["<problem>", "<drug>"]))

    def same(weight: torch.Tensor) -> None:
        weight[second] = weight[first]

    adapted = with_head(same)
    requests = requests_of(adapted)[:5]
    found = make_decoder(adapted).decode(requests)
    assert {label for spans in found for label, _, _ in spans} == {words.convert_ids_to_tokens(first).strip("<>")}
    assert found == [one_token_at_a_time(adapted, request) for request in requests]


def test_answers_keep_the_order_and_progress_is_told() -> None:
    adapted = make_adapted("llama")
    requests = requests_of(adapted)
    told: list[int] = []
    decoder = make_decoder(adapted, batch_size=3)
    forward = decoder.decode(requests, told.append)
    assert sum(told) == 7
    assert all(0 < count <= 3 for count in told)
    assert decoder.decode(requests[::-1]) == forward[::-1]
    assert decoder.decode([]) == []


def test_passes_grow_with_entities_not_with_tokens() -> None:
    adapted = make_adapted("llama")
    requests = requests_of(adapted)
    decoder = make_decoder(adapted)
    found = decoder.decode(requests)
    assert decoder.passes <= sum(1 + 2 * len(spans) for spans in found)


def log_probabilities(adapted: Adapted, request: Request, completion: Sequence[int]) -> list[float]:
    """Of each token of a completion, among the tokens allowed there."""
    with torch.no_grad():
        logits = adapted.base.model(input_ids=torch.tensor([[*request.prompt, *completion]])).logits[0].double()
    found = []
    for place, (choice, token) in enumerate(zip(request.grammar.choices(completion), completion, strict=True)):
        allowed = list(choice.tokens)
        scores = logits[len(request.prompt) + place - 1, allowed].log_softmax(0)
        found.append(scores[allowed.index(token)].item())
    return found


@pytest.mark.parametrize("spelling", tiny.SPELLINGS)
@pytest.mark.parametrize("cached", [True, False])
def test_confidence_is_the_probability_of_the_choices_that_made_the_span(spelling: tiny.Spelling, cached: bool) -> None:
    adapted = make_adapted("llama", spelling)
    requests = requests_of(adapted)
    answers = Decoder(adapted, adapted.readout, cached, 3).mark(requests)
    assert sum(len(answer.spans) for answer in answers) >= 3
    for request, (spans, confidences) in zip(requests, answers, strict=True):
        expected, written = complete(adapted, request)
        assert spans == expected
        scores = log_probabilities(adapted, request, written)
        for span, confidence, (first, last) in zip(spans, confidences, request.grammar.extents(spans), strict=True):
            opening, closing = request.grammar.tags.opening[span.label], request.grammar.tags.closing[span.label]
            assert written[first : first + len(opening)] == opening
            assert written[last - len(closing) : last] == closing
            assert confidence == pytest.approx(math.exp(sum(scores[first:last])), rel=1e-3)
            assert 0 < confidence <= 1


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_places_are_refilled_whatever_the_order(batch_size: int) -> None:
    adapted = make_adapted("llama", "bytes")
    requests = requests_of(adapted) * 3
    expected = [one_token_at_a_time(adapted, request) for request in requests[:7]] * 3
    decoder = make_decoder(adapted, batch_size)
    assert decoder.decode(requests) == expected
    shuffled = np.random.default_rng(batch_size).permutation(len(requests))
    assert decoder.decode([requests[index] for index in shuffled]) == [expected[index] for index in shuffled]


def test_instructions_are_read_once_for_all_that_share_them() -> None:
    adapted = make_adapted("llama")
    requests = requests_of(adapted)[:5] * 4
    alone, together = make_decoder(adapted), make_decoder(adapted, 4)
    alone.decode(requests[:1])
    prefix = requests[0].prefix_tokens
    for index in range(1, 5):
        alone.decode([requests[index]])
    together.decode(requests)
    # Five prefixes apart against one, the other tokens four times over.
    assert together.tokens == 4 * (alone.tokens - 5 * prefix) + prefix


def test_readout_gives_the_model_s_own_logits() -> None:
    ids = torch.tensor([[0, 4, 8, 15, 16]])
    tokens = torch.tensor([3, 9, 27])
    for kind in ("llama", "qwen2", "neox", "gpt2"):
        model = make_adapted(kind).base.model
        readout = make_readout(model)
        with torch.no_grad():
            expected = model(input_ids=ids).logits[0]
            states = readout.hidden(ids).states[0]
            torch.testing.assert_close(readout.logits(states), expected, rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(readout.logits_of(states, tokens), expected[:, tokens], rtol=1e-5, atol=1e-4)
            each = torch.tensor([3, 9, 27, 3, 1])
            torch.testing.assert_close(readout.logits_at(states, each), expected[range(5), each], rtol=1e-5, atol=1e-4)


class ByHand:
    """Answers requests from a table: text of the window, and of its target → marked (label, words) pairs."""

    def __init__(self, table: dict[tuple[str, str | None], list[tuple[str, str]]]) -> None:
        self.table = MappingProxyType(table)
        self.asked: list[tuple[str, str | None]] = []

    def decode(
        self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None
    ) -> list[tuple[TokenSpan, ...]]:
        found = []
        for request in requests:
            text = request.document.text
            target = None
            if request.head is not None:
                head = request.document.entity(request.head)
                target = text[head.start : head.end]
            self.asked.append((text, target))
            found.append(tuple(self._span(request, *pair) for pair in self.table.get((text, target), [])))
        return found

    def _span(self, request: Request, label: str, words: str) -> TokenSpan:
        start = request.document.text.index(words)
        covered = [
            index
            for index, (first, last) in enumerate(request.source.offsets)
            if first < start + len(words) and start < last
        ]
        return TokenSpan(label, covered[0], covered[-1] + 1)


def make_encoder(max_tokens: int = 1024) -> Encoder:
    return Encoder(tiny.tokenizer("tagged"), tiny.LABELS, max_tokens=max_tokens)


# Windows: [0:9] "No fever.", [10:29] "Mild cough, 😀 pain.", [30:45] "Aspirin 500 mg."
NOTE = "No fever. Mild cough, 😀 pain.\nAspirin 500 mg."


def test_entities_come_back_in_document_offsets() -> None:
    gold = Document("n1", NOTE, (Entity("X", "drug", ((0, 2),)),), patient="p")
    answers = ByHand(
        {
            ("No fever.", None): [("problem", "fever")],
            # A duplicate counts once; entities are numbered in the order of the text.
            ("Mild cough, 😀 pain.", None): [("problem", "pain"), ("problem", "cough"), ("problem", "pain")],
            ("Aspirin 500 mg.", None): [("drug", "Aspirin")],
        }
    )
    (found, empty), dropped = predict_entities([gold, Document("n2", " \n")], make_encoder(), answers)
    # The gold annotation shapes nothing: three windows, one question each.
    assert answers.asked == [("No fever.", None), ("Mild cough, 😀 pain.", None), ("Aspirin 500 mg.", None)]
    assert found.entities == (
        Entity("T1", "problem", ((3, 8),)),
        Entity("T2", "problem", ((15, 20),)),
        Entity("T3", "problem", ((24, 28),)),
        Entity("T4", "drug", ((30, 37),)),
    )
    assert (found.id, found.patient, found.text, found.relations) == ("n1", "p", NOTE, ())
    assert (empty.id, empty.entities) == ("n2", ())
    assert not dropped


def test_modifiers_of_given_entities() -> None:
    cough, pain, aspirin = (
        Entity("T2", "problem", ((15, 20),)),
        Entity("M1", "problem", ((24, 28),)),
        Entity("T4", "drug", ((30, 37),)),
    )
    stray = Entity("S", "severity", ((0, 2),))
    answers = ByHand(
        {
            ("Mild cough, 😀 pain.", "cough"): [("severity", "Mild")],
            ("Mild cough, 😀 pain.", "pain"): [("severity", "Mild"), ("negation", "Mild")],
            ("Aspirin 500 mg.", "Aspirin"): [("dosage", "500 mg")],
        }
    )
    (found,), dropped = predict_modifiers([Document("n", NOTE, (stray, cough, pain, aspirin))], make_encoder(), answers)
    assert not dropped
    # The stray modifier is no head and goes; a span that two heads share is one entity; no id is used twice.
    kept = {entity.id: (entity.type, entity.spans) for entity in found.entities}
    assert list(kept)[:3] == ["T2", "M1", "T4"]
    assert sorted(kept.values()) == [
        ("dosage", ((38, 44),)),
        ("drug", ((30, 37),)),
        ("negation", ((10, 14),)),
        ("problem", ((15, 20),)),
        ("problem", ((24, 28),)),
        ("severity", ((10, 14),)),
    ]
    assert sorted((item.head, item.type, kept[item.tail][1][0]) for item in found.relations) == [
        ("M1", "negation", (10, 14)),
        ("M1", "severity", (10, 14)),
        ("T2", "severity", (10, 14)),
        ("T4", "dosage", (38, 44)),
    ]


def test_predictions_say_how_sure_they_are() -> None:
    adapted = make_adapted("llama")
    encoder = Encoder(adapted.base.tokenizer, tiny.LABELS)
    documents = [Document("n", NOTE, meta={"ward": "7", "confidence": {"T1": 0.5, "old": 0.5}})]
    decoder = make_decoder(adapted)
    (named,), _ = predict_entities(documents, encoder, decoder)
    (whole,), _ = predict_modifiers([named], encoder, decoder)
    assert named.entities
    assert whole.relations
    for document, marked in ((named, named.entities), (whole, (*named.entities, *whole.relations))):
        found = document.meta["confidence"]
        assert document.meta["ward"] == "7"
        assert isinstance(found, dict)
        # A modifier is as sure as the relation that it stands in.
        assert list(found) == [item.id for item in marked]
        assert all(isinstance(value, float) and 0 <= value <= 1 for value in found.values())
    (unsure,), _ = predict_entities(documents, encoder, ByHand({}))
    assert unsure.meta == {"ward": "7"}


def test_only_annotated_labels_are_asked() -> None:
    answers = ByHand({})
    predict_entities([Document("n", NOTE, labels=("severity",))], make_encoder(), answers)
    heads = (Entity("T1", "problem", ((3, 8),)), Entity("T2", "drug", ((30, 37),)))
    predict_modifiers([Document("n", NOTE, heads, labels=("problem", "drug", "dosage"))], make_encoder(), answers)
    assert answers.asked == [("Aspirin 500 mg.", "Aspirin")]


def test_what_cannot_be_asked_is_counted() -> None:
    across = Entity("T1", "problem", ((3, 8), (24, 28)))
    document = Document("n", NOTE, (across, Entity("T2", "problem", ((15, 20),))))
    (found,), dropped = predict_modifiers([document], make_encoder(), ByHand({}))
    assert found.entities == document.entities
    assert dropped == Counter({"re: entity across windows": 1})
    for predict, task, count in ((predict_entities, "ner", 3), (predict_modifiers, "re", 1)):
        answers = ByHand({})
        _, dropped = predict([document], make_encoder(max_tokens=20), answers)
        assert dropped[f"{task}: window longer than 20 tokens"] == count
        assert not answers.asked
