"""Greedy decoding of answers in the `json` format, held to their grammar at every step.

llguidance says which tokens may follow; the best of them that keeps the grammar's own rules is taken (ties go to the
lowest token id). Text that can only be one thing is written in the tokenizer's own tokens, unasked. So an answer is
well-formed JSON, names labels that were asked for, and quotes the source, whatever the model. One that reaches its
bound is closed after its last whole entity, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedmedlora.adapters.lora import Adapted
from fedmedlora.corpus.document import Document, Span
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import BaseModelError, EnvironmentProblem
from fedmedlora.inference.memory import Feed, Memory, cache_is_exact
from fedmedlora.inference.vocabulary import Vocabulary
from fedmedlora.markup.encode import Request
from fedmedlora.markup.json_format import parse_json
from fedmedlora.markup.json_grammar import SIGNS, JsonGrammar, Key
from fedmedlora.markup.parsed import Found, in_order
from fedmedlora.markup.prompts import ner_prompt, re_prompt
from fedmedlora.markup.span import mark_target

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MAX_TOKENS = 2048
"""Longest prompt plus answer by default: the prompt explains the format, and an entity takes some 30 tokens."""

_LEAST, _PER_TOKEN = 64, 12
_BOUND = "JSON answer closed at its token bound"
_TOO_COMPLEX = "JSON answer closed: its source is too much for the grammar"


class JsonQuestion(NamedTuple):
    """What is asked of one window: its entities (head None), or the modifiers of one of its entities.

    asked: entity types, or modifiers of the head's type.
    """

    document: Document
    head: str | None
    asked: tuple[str, ...]

    @property
    def task(self) -> str:
        """The task's short name."""
        return "ner" if self.head is None else "re"


class JsonAnswer(NamedTuple):
    """An answer as it was written, and its entities in the window's text.

    closed: True when it reached a bound and lists only what was complete by then.
    """

    text: str
    entities: list[Found]
    closed: bool = False


@dataclass
class JsonDecoder:
    """Answers questions with the adapter that is in the model; make one with `make_json_decoder`.

    cached: whether keys and values are kept between passes; without, every pass reads everything anew.
    max_tokens: longest prompt plus answer. answer_tokens: most tokens of an answer; None is 64 and 12 for each token
    of the source. problems: what was lost so far, by reason. tokens: tokens read so far, padding left out; passes:
    forward passes so far, each counted once a row.
    """

    adapted: Adapted
    labels: LabelSet
    vocabulary: Vocabulary
    cached: bool
    batch_size: int = 16
    max_tokens: int = MAX_TOKENS
    answer_tokens: int | None = None
    problems: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    passes: int = 0
    _engine: LLTokenizer = field(init=False, repr=False)
    _constants: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        from llguidance import LLTokenizer

        # The tokenizer is taken as its tokens' bytes, so it makes no difference which kind it is.
        self._engine = LLTokenizer(self.vocabulary)

    def find(self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None) -> list[list[Found]]:
        """The entities of each request's window, in the order of the requests; its span prompt is not used.

        on_done: called after each batch with the number of requests in it.
        """
        questions = [JsonQuestion(request.document, request.head, request.grammar.labels) for request in requests]
        return [answer.entities for answer in self.answer(questions, on_done)]

    def answer(
        self, questions: Sequence[JsonQuestion], on_done: Callable[[int], None] | None = None
    ) -> list[JsonAnswer]:
        """The answers, in the order of the questions. One that can only be empty does not run the model."""
        found = [JsonAnswer(_grammar(question, self.vocabulary).empty, []) for question in questions]
        plans = [plan for number, asked in enumerate(questions) if (plan := self._plan(number, asked)) is not None]
        if len(plans) < len(questions) and on_done is not None:
            on_done(len(questions) - len(plans))
        with torch.inference_mode():
            for batch in self._batches(plans):
                rows = [_start_row(plan, self.vocabulary, self._engine) for plan in batch]
                self._decode(rows)
                for row in rows:
                    found[row.plan.number] = self._finish(row)
                if on_done is not None:
                    on_done(len(batch))
        return found

    def _plan(self, number: int, question: JsonQuestion) -> _Plan | None:
        """What to read and how much to write; None where the model is not to be asked."""
        grammar = _grammar(question, self.vocabulary)
        if grammar.lark is None:
            return None
        prefix, source, suffix = self._prompt(question)
        room = self.max_tokens - len(prefix) - len(source) - len(suffix)
        if room < _LEAST:
            self.problems[f"{question.task}: window longer than {self.max_tokens} tokens"] += 1
            return None
        bound = _LEAST + _PER_TOKEN * len(source) if self.answer_tokens is None else self.answer_tokens
        return _Plan(number, question, grammar, prefix, (*source, *suffix), min(bound, room))

    def _prompt(self, question: JsonQuestion) -> tuple[tuple[int, ...], ...]:
        """The tokens of the instructions, of the source and of what follows it."""
        document, head, asked = question
        if head is None:
            prompt, shown = ner_prompt(self.labels, asked, "json"), document.text
        else:
            prompt = re_prompt(self.labels, document.entity(head).type, asked, "json")
            shown = mark_target(document, head, asked)
        tokenizer = self.adapted.base.tokenizer
        prefix = (*tokenizer.begin_ids, *self._constant(prompt.prefix))
        return prefix, tokenizer.tokens(shown)[0], self._constant(prompt.suffix)

    def _constant(self, text: str) -> tuple[int, ...]:
        known = self._constants.get(text)
        if known is None:
            known = self._constants[text] = self.adapted.base.tokenizer.tokens(text)[0]
        return known

    def _batches(self, plans: Iterable[_Plan]) -> Iterator[list[_Plan]]:
        """Plans with the same instructions, of similar length."""
        ordered = sorted(plans, key=lambda plan: (plan.prefix, len(plan.rest), plan.number))
        for _, alike in groupby(ordered, key=lambda plan: plan.prefix):
            group = list(alike)
            for first in range(0, len(group), self.batch_size):
                yield group[first : first + self.batch_size]

    def _decode(self, rows: Sequence[_Row]) -> None:
        """Bring every row of a batch to its end."""
        readout, pad = self.adapted.readout, self.adapted.base.tokenizer.pad_id
        active = [row for row in rows if not row.ended]
        if not active:
            return
        memory = Memory(readout, pad, len(active), cached=self.cached)
        for slot, row in enumerate(active):
            memory.share(slot, row.plan.prefix)
            row.slot, row.read = slot, len(row.plan.prefix)
        while active:
            self.passes += len(active)
            states = memory.read([Feed(row.slot, row.read, row.feed) for row in active])
            for row, token in zip(active, self._pick(active, torch.stack([each[-1] for each in states])), strict=True):
                row.read += len(row.feed)
                row.take(token)
            active = [row for row in active if not row.ended]
        self.tokens += memory.tokens

    def _pick(self, rows: Sequence[_Row], states: Tensor) -> list[int | None]:
        """The best allowed token of each row; None where there is none. states: [rows, width]."""
        logits = self.adapted.readout.logits(states)
        allowed = torch.zeros(logits.shape, dtype=torch.bool)
        masks = np.unpackbits(np.stack([row.mask() for row in rows]), axis=1, bitorder="little")
        known = min(masks.shape[1], logits.shape[1])
        allowed[:, :known] = torch.from_numpy(masks[:, :known]).bool()
        logits = logits.masked_fill(~allowed.to(logits.device), -torch.inf)
        return [
            self._first_allowed(row, logits[number], best)
            for number, (row, best) in enumerate(zip(rows, logits.argmax(dim=1).tolist(), strict=True))
        ]

    def _first_allowed(self, row: _Row, logits: Tensor, best: int) -> int | None:
        """The best token that keeps the rules which look back. logits: [vocabulary], changed in place."""
        while logits[best] > -torch.inf:
            if row.allows(best):
                return best
            logits[best] = -torch.inf
            best = int(logits.argmax())
        return None

    def _finish(self, row: _Row) -> JsonAnswer:
        question = row.plan.question
        text = row.answer.decode() if row.closed is None else row.plan.grammar.close(row.answer)
        if row.closed is not None:
            self.problems[f"{question.task}: {row.closed}"] += 1
        parsed = parse_json(text, question.document.text, question.asked)
        self.problems.update({f"{question.task}: {reason}": count for reason, count in parsed.problems.items()})
        entities = [_without_margins(question.document.text, entity) for entity in parsed.entities]
        return JsonAnswer(text, in_order(entities, Counter()).entities, row.closed is not None)


class _Plan(NamedTuple):
    """A question in tokens. prefix: begins every prompt with these labels; rest: what follows it up to the answer.

    number: its place among the questions. limit: most tokens of the answer.
    """

    number: int
    question: JsonQuestion
    grammar: JsonGrammar
    prefix: tuple[int, ...]
    rest: tuple[int, ...]
    limit: int


@dataclass
class _Row:
    """One question on its way. slot: where it is read into; read: how many tokens; feed: tokens that are still to be.

    answer: what has been written, in bytes; size: in tokens. closed: why the answer ends early; None while it does not.
    """

    plan: _Plan
    vocabulary: Vocabulary
    matcher: LLMatcher
    feed: list[int]
    answer: bytes = b""
    size: int = 0
    ended: bool = False
    closed: str | None = None
    slot: int = 0
    read: int = 0

    def mask(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """One bit for each token of the vocabulary, the first the lowest: whether the grammar allows it next."""
        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        return np.zeros_like(bits) if self.matcher.is_error() else bits

    def allows(self, token: int) -> bool:
        """Whether a token that the grammar allows keeps the rules which look back."""
        return self.plan.grammar.allows(self.answer + self.vocabulary.tokens[token])

    def take(self, token: int | None) -> None:
        """Write the token that was picked, and what must follow. None: there was none to pick."""
        self.feed = []
        if token is None:
            self._end(_TOO_COMPLEX)
        else:
            self._write([token])
            self.force()

    def force(self) -> None:
        """Write what can only be one thing, if anything."""
        while not self.ended and (forced := self.matcher.compute_ff_tokens()):
            self._write(forced)
        if not self.ended and self.size >= self.plan.limit:
            self._end(_BOUND)

    def _write(self, tokens: list[int]) -> None:
        if not self.matcher.consume_tokens(tokens):
            self._end(_TOO_COMPLEX)
            return
        self.feed += tokens
        self.answer += b"".join(self.vocabulary.tokens[token] for token in tokens)
        self.size += len(tokens)
        self.ended = self.matcher.is_accepting()

    def _end(self, reason: str) -> None:
        self.ended, self.closed = True, reason


def make_json_decoder(
    adapted: Adapted, labels: LabelSet, *, batch_size: int = 16, max_tokens: int = MAX_TOKENS
) -> JsonDecoder:
    """A decoder for the model; keeps keys and values between passes where a probe shows that this changes nothing.

    Raises EnvironmentProblem without llguidance, BaseModelError when the base's tokenizer cannot write the answers.
    """
    require_llguidance()
    vocabulary = Vocabulary(adapted.base.tokenizer)
    if not vocabulary.spells(SIGNS + "".join(labels.names)):
        raise BaseModelError(
            "the base model's tokenizer cannot spell JSON. Use a base whose vocabulary covers ASCII, or answers in the "
            "span format."
        )
    cached = cache_is_exact(adapted.readout, adapted.base.tokenizer.pad_id)
    return JsonDecoder(adapted, labels, vocabulary, cached, batch_size, max_tokens)


def require_llguidance() -> None:
    """Raise EnvironmentProblem when llguidance is not installed."""
    try:
        import llguidance  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            "llguidance is not installed, and answers in JSON are held to their grammar by it. Install it: "
            "pip install 'fedmedlora[json]'."
        ) from error


def _grammar(question: JsonQuestion, vocabulary: Vocabulary) -> JsonGrammar:
    key: Key = "entities" if question.head is None else "modifiers"
    return JsonGrammar(key, question.document.text, question.asked, vocabulary.spells)


def _start_row(plan: _Plan, vocabulary: Vocabulary, engine: LLTokenizer) -> _Row:
    from llguidance import LLMatcher

    assert plan.grammar.lark is not None
    # What it logs would quote the grammar, which quotes the note.
    row = _Row(plan, vocabulary, LLMatcher(engine, plan.grammar.lark, log_level=0), list(plan.rest))
    row.force()
    return row


def _without_margins(text: str, found: Found) -> Found:
    """The entity without white space at the ends of its pieces; the grammar leaves none that is nothing else."""
    spans: list[Span] = []
    for start, end in found.spans:
        words = text[start:end]
        spans.append((start + len(words) - len(words.lstrip()), end - len(words) + len(words.rstrip())))
    return Found(found.type, tuple(spans))
