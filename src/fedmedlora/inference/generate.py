"""Plain batched greedy generation with parsing and alignment, for what constrained decoding does not cover.

The model may write anything; what it writes is aligned to the source, and what cannot be used is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import torch
from transformers import GenerationConfig

from fedmedlora.adapters.lora import Adapted
from fedmedlora.corpus.document import Span
from fedmedlora.markup.encode import Request
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.markup.span import parse_span

_SLACK = 2.0
_SLACK_TOKENS = 32


class _Generates(Protocol):
    """What every causal language model of Transformers can do; its own annotation binds a stand-in for self."""

    def generate(
        self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, generation_config: GenerationConfig
    ) -> torch.Tensor:
        """Prompt and completion of every row: [rows, columns]."""
        ...


class Answer(NamedTuple):
    """What one completion said: labels with their spans in the window's text, and its problems (reason → count)."""

    entities: list[tuple[str, tuple[Span, ...]]]
    problems: Counter[str]


def generate_answers(
    adapted: Adapted,
    requests: Sequence[Request],
    *,
    batch_size: int = 16,
    on_done: Callable[[int], None] | None = None,
) -> list[Answer]:
    """Greedy completions of requests, parsed and aligned, in the order of the requests.

    A completion may grow to twice its source and 32 tokens more; one cut there is parsed as far as it goes.
    """
    found: list[Answer] = [Answer([], Counter())] * len(requests)
    order = sorted(range(len(requests)), key=lambda index: (len(requests[index].prompt), index))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        for index, text in zip(chosen, _complete(adapted, [requests[index] for index in chosen]), strict=True):
            found[index] = _parse(requests[index], text)
        if on_done is not None:
            on_done(len(chosen))
    return found


@dataclass
class PlainGeneration:
    """Answers requests by plain generation; takes the decoder's place in `predict`.

    Boundaries move out to tokens, as everywhere; a discontinuous entity is counted and left out, since a token span is
    whole. problems: what could not be used so far, by reason.
    """

    adapted: Adapted
    batch_size: int = 16
    problems: Counter[str] = field(default_factory=Counter)

    def decode(
        self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None
    ) -> list[tuple[TokenSpan, ...]]:
        """The spans that the model marks in each request's source, in the order of the requests."""
        answers = generate_answers(self.adapted, requests, batch_size=self.batch_size, on_done=on_done)
        return [self._placed(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _placed(self, request: Request, answer: Answer) -> tuple[TokenSpan, ...]:
        self.problems.update(answer.problems)
        found = []
        for label, spans in answer.entities:
            covered = request.tokens_of(spans[0]) if len(spans) == 1 else None
            if covered is None:
                self.problems["discontinuous, or no token covers it"] += 1
            else:
                found.append(TokenSpan(label, *covered))
        return tuple(found)


def _complete(adapted: Adapted, requests: Sequence[Request]) -> list[str]:
    tokenizer = adapted.base.tokenizer
    width = max(len(request.prompt) for request in requests)
    rows = [[tokenizer.pad_id] * (width - len(request.prompt)) + list(request.prompt) for request in requests]
    mask = [[0] * (width - len(request.prompt)) + [1] * len(request.prompt) for request in requests]
    most = int(_SLACK * max(len(request.source.ids) for request in requests)) + _SLACK_TOKENS
    config = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=tokenizer.end_id, pad_token_id=tokenizer.pad_id
    )
    model = cast(_Generates, adapted.base.model)
    device = adapted.base.model.device
    with torch.inference_mode():
        written = model.generate(
            input_ids=torch.tensor(rows, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=config,
        )
    return [tokenizer.text(row[width:].tolist()) for row in written]


def _parse(request: Request, text: str) -> Answer:
    escaped = [label for label in request.grammar.tags.opening if label not in request.grammar.labels]
    parsed = parse_span(text, request.document.text, request.grammar.labels, escaped)
    return Answer([(entity.type, entity.spans) for entity in parsed.entities], parsed.problems)
