"""IOB tags: writing, the best legal reading, how sure, and where the source stands in a question."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

import tiny
from fedmedlora.markup.encode import Encoder
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.markup.iob import TagScheme, answer_spans, best_tags, tag_row, tag_schemes
from fedmedlora.markup.prompts import BARE

SCHEME = TagScheme(("drug", "problem"))
O, B_DRUG, I_DRUG, B_PROBLEM, I_PROBLEM = range(5)  # noqa: E741


def test_tags_are_named_and_ordered_by_label() -> None:
    assert SCHEME.names == ("O", "B-drug", "I-drug", "B-problem", "I-problem")
    assert tag_schemes(tiny.LABELS)["re"].labels == ("severity", "negation", "dosage")
    assert SCHEME.allowed({"problem"}).tolist() == [True, False, False, True, True]


def test_spans_become_tags_and_come_back() -> None:
    spans = [TokenSpan("problem", 1, 3), TokenSpan("problem", 3, 4), TokenSpan("drug", 5, 6)]
    tagged = SCHEME.write(spans, 6)
    assert tagged.tags.tolist() == [O, B_PROBLEM, I_PROBLEM, B_PROBLEM, O, B_DRUG]
    assert tagged.dropped == 0
    assert SCHEME.read(tagged.tags) == spans


def test_of_overlapping_spans_the_longest_is_kept_and_the_others_counted() -> None:
    nested = [TokenSpan("drug", 1, 2), TokenSpan("problem", 0, 3), TokenSpan("problem", 2, 4), TokenSpan("drug", 0, 3)]
    tagged = SCHEME.write(nested, 4)
    # Both spans over 0 to 3 are of length 3; of these "drug" comes first. All others touch it.
    assert tagged.tags.tolist() == [B_DRUG, I_DRUG, I_DRUG, O]
    assert tagged.dropped == 3


@pytest.mark.parametrize("seed", range(5))
def test_the_best_tags_are_the_best_legal_ones_of_all(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 5))
    legal = [
        tags
        for tags in product(range(5), repeat=4)
        if all(
            tag in (O, B_DRUG, B_PROBLEM) or (place and tags[place - 1] in (tag - 1, tag))
            for place, tag in enumerate(tags)
        )
    ]
    assert len(legal) < 5**4
    best = max(legal, key=lambda tags: sum(scores[place, tag] for place, tag in enumerate(tags)))
    assert tuple(best_tags(scores).tolist()) == best


def test_a_tag_that_is_not_allowed_is_never_given() -> None:
    scores = np.full((3, 5), -5.0)
    scores[:, [B_DRUG, I_DRUG]] = -np.inf
    scores[:, O] = -9.0
    assert set(best_tags(scores).tolist()) <= {B_PROBLEM, I_PROBLEM}


def test_confidence_is_the_product_of_tags_and_of_ending_there() -> None:
    shares = np.array(
        [[0.7, 0.1, 0, 0.2, 0], [0.1, 0.1, 0.1, 0.6, 0.1], [0.2, 0.1, 0.1, 0.1, 0.5], [0.75, 0, 0, 0, 0.25]]
    )
    with np.errstate(divide="ignore"):
        logs = np.log(shares)
    # B at 1, I at 2, and 3 does not go on: 0.6 · 0.5 · (1 − 0.25).
    assert SCHEME.confidence(TokenSpan("problem", 1, 3), logs) == pytest.approx(0.225)
    # Nothing follows the last token.
    assert SCHEME.confidence(TokenSpan("problem", 1, 3), logs[:3]) == pytest.approx(0.3)
    assert math.isfinite(SCHEME.confidence(TokenSpan("drug", 0, 2), logs))


@pytest.mark.parametrize("spelling", tiny.SPELLINGS)
def test_places_are_where_the_source_stands(spelling: tiny.Spelling) -> None:
    encoder = Encoder(tiny.tokenizer(spelling), tiny.LABELS, BARE)
    for example in [*encoder.ner_examples(tiny.notes()).examples, *encoder.re_examples(tiny.notes()).examples]:
        request = example.request
        assert tuple(request.prompt[place] for place in request.places) == request.source.ids
        marks = len(request.prompt) - request.prefix_tokens - len(request.source.ids)
        head = None if request.head is None else request.document.entity(request.head)
        tags = request.grammar.tags
        # Every head of these notes is one piece: one opening and one closing tag.
        assert marks == (0 if head is None else len(tags.opening[head.type]) + len(tags.closing[head.type]))


def test_a_row_is_cut_and_what_is_cut_is_counted() -> None:
    encoder = Encoder(tiny.tokenizer(), tiny.LABELS, BARE)
    example = encoder.ner_examples(tiny.notes()[:1]).examples[0]
    request = example.request
    whole = tag_row(request, 7, 1000)
    assert whole.ids == (*request.prompt, 7)
    assert (whole.places, whole.cut) == (request.places, 0)
    short = tag_row(request, 7, 5)
    # The begin token, three of the source, the end token.
    assert short.ids == (*request.prompt[:4], 7)
    assert short.places == (1, 2, 3)
    assert short.cut == len(request.source.ids) - 3


def test_the_spans_of_a_right_answer_are_those_of_the_note() -> None:
    encoder = Encoder(tiny.tokenizer("bytes"), tiny.LABELS, BARE)
    note = tiny.notes()[1]
    (example,) = encoder.ner_examples([note]).examples
    found = {(label, note.text[start:end]) for label, (start, end) in example.request.entities(answer_spans(example))}
    assert found == {("drug", "Metformin"), ("problem", "diabetes")}
