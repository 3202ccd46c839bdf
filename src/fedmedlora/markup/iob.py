"""Spans over tokens as IOB tags and back, for models that classify tokens in place of writing an answer.

    tokens   Severe   chest       pain        denied
    tags     O        B-problem   I-problem   O

One tag a token, so spans lie side by side: of spans that overlap the longest is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fedmedlora.corpus.labels import LabelSet
from fedmedlora.markup.encode import Example, Request, Task
from fedmedlora.markup.grammar import TokenSpan

Tags: TypeAlias = npt.NDArray[np.int64]
Scores: TypeAlias = npt.NDArray[np.float64]

OUTSIDE = 0
"""The tag of a token in no span."""


class Tagged(NamedTuple):
    """Tags of a row's tokens, and how many spans found no place among others."""

    tags: Tags
    dropped: int


class Row(NamedTuple):
    """A question as a token classifier reads it.

    ids: the text, its begin and end tokens, and around a marked entity its tags. places: where in ids each token of the
    source stands, the marks left out. cut: source tokens beyond the longest row; they have no place.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    cut: int


@dataclass(frozen=True)
class TagScheme:
    """The tags of some labels: `O`, and `B-` (first token) and `I-` (further tokens) of each label, in that order."""

    labels: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every tag; a tag's number is its place here."""
        return ("O", *(f"{part}-{label}" for label in self.labels for part in "BI"))

    def allowed(self, asked: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which tags may be given where these labels are asked for: [tags]."""
        return np.array([True, *(label in asked for label in self.labels for _ in "BI")])

    def write(self, spans: Sequence[TokenSpan], count: int) -> Tagged:
        """The tags of `count` tokens. Of spans that overlap the longest is kept, of equal ones the first."""
        tags = np.full(count, OUTSIDE, dtype=np.int64)
        dropped = 0
        for label, start, end in sorted(spans, key=lambda span: (span.start - span.end, span.start, span.label)):
            if tags[start:end].any():
                dropped += 1
                continue
            begin = self._begin(label)
            tags[start:end] = begin + 1
            tags[start] = begin
        return Tagged(tags, dropped)

    def read(self, tags: Tags) -> list[TokenSpan]:
        """The spans of tags that keep the rules: an `I-` follows the `B-` or `I-` of its own label."""
        spans: list[TokenSpan] = []
        for place, tag in enumerate(tags.tolist()):
            if tag == OUTSIDE:
                continue
            label = self.labels[(tag - 1) // 2]
            if tag % 2:
                spans.append(TokenSpan(label, place, place + 1))
            else:
                spans[-1] = spans[-1]._replace(end=place + 1)
        return spans

    def confidence(self, span: TokenSpan, log_probabilities: Scores) -> float:
        """How probable a span is with tokens independent of each other.

        The product of the probability of each of its tags, and of the next token not going on with it.
        """
        begin = self._begin(span.label)
        total = log_probabilities[span.start, begin] + log_probabilities[span.start + 1 : span.end, begin + 1].sum()
        beyond = np.exp(log_probabilities[span.end, begin + 1]) if span.end < len(log_probabilities) else 0.0
        return float(np.exp(total) * (1.0 - beyond))

    def _begin(self, label: str) -> int:
        return 1 + 2 * self.labels.index(label)


def tag_schemes(labels: LabelSet) -> dict[Task, TagScheme]:
    """The tags of each task: entity types for NER, modifier types for RE."""
    return {"ner": TagScheme(labels.entity_types), "re": TagScheme(labels.modifier_types)}


def best_tags(log_probabilities: Scores) -> Tags:
    """The most probable tags that keep the rules (Viterbi). log_probabilities: [tokens, tags], −inf where not allowed.

    Of equally probable ones the first in the order of tags.
    """
    count, width = log_probabilities.shape
    begins, insides = np.arange(1, width, 2), np.arange(2, width, 2)
    back = np.zeros((count, width), dtype=np.int64)
    score = log_probabilities[0].copy()
    score[insides] = -np.inf
    for place in range(1, count):
        leader = int(score.argmax())
        goes_on = score[insides] > score[begins]
        back[place] = leader
        back[place, insides] = np.where(goes_on, insides, begins)
        reached = np.full(width, score[leader])
        reached[insides] = np.where(goes_on, score[insides], score[begins])
        score = reached + log_probabilities[place]
    tags = np.empty(count, dtype=np.int64)
    tags[-1] = score.argmax()
    for place in range(count - 1, 0, -1):
        tags[place - 1] = back[place, tags[place]]
    return tags


def tag_row(request: Request, end_id: int, max_tokens: int) -> Row:
    """A question as at most `max_tokens` tokens; what is longer is cut off at the end of the text."""
    ids = (*request.prompt[: max_tokens - 1], end_id)
    places = tuple(place for place in request.places if place < max_tokens - 1)
    return Row(ids, places, len(request.source.ids) - len(places))


def answer_spans(example: Example) -> tuple[TokenSpan, ...]:
    """The spans that an example's right answer marks."""
    grammar = example.request.grammar
    state = grammar.start()
    for token in example.completion:
        state = grammar.advance(state, token)
    return state.spans
