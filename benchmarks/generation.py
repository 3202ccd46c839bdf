"""The peer's decoding: Hugging Face `generate` on the base with the adapter merged into it, greedy, with a KV cache.

Free, or held to the span format by llguidance. The answers are read and aligned as `fedmedlora extract --plain` does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from benchmarks.sft import load_plain_base
from fedmedlora.adapters.base import BUNDLED, FastTokenizer
from fedmedlora.adapters.state import AdapterState, save_state
from fedmedlora.markup.encode import Request
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.markup.span import parse_span
from fedmedlora.markup.tags import close_tag, open_tag

_SLACK, _SLACK_TOKENS = 2.0, 32

Constraint: TypeAlias = Callable[[Sequence[Request]], LogitsProcessor]
"""What holds the completions of a batch to a grammar."""


@dataclass(frozen=True)
class PlainModel:
    """A Transformers model without adapter, and the tokenizer."""

    model: Any
    tokenizer: FastTokenizer


def merged_model(state: AdapterState, dtype: torch.dtype) -> PlainModel:
    """The bundled base with an adapter merged into its weights: as fast as it gets without the package."""
    base, hub = load_plain_base()
    with tempfile.TemporaryDirectory() as folder:
        save_state(state, Path(folder), BUNDLED)
        # In float32, so that merging rounds nothing before the precision that is asked for.
        merged = PeftModel.from_pretrained(cast(Any, base).float(), folder).merge_and_unload()
    return PlainModel(cast(Any, merged).to(dtype).eval(), FastTokenizer(hub))


def generate_spans(
    plain: PlainModel, requests: Sequence[Request], *, batch_size: int, constraint: Constraint | None = None
) -> list[tuple[TokenSpan, ...]]:
    """What the model marks in each request's source, as spans over source tokens, in the order of the requests."""
    found: list[tuple[TokenSpan, ...]] = [()] * len(requests)
    order = sorted(range(len(requests)), key=lambda index: (len(requests[index].prompt), index))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        together = [requests[index] for index in chosen]
        for index, text in zip(chosen, _complete(plain, together, constraint), strict=True):
            found[index] = _spans(requests[index], text)
    return found


def _complete(plain: PlainModel, requests: Sequence[Request], constraint: Constraint | None) -> list[str]:
    words = plain.tokenizer
    width = max(len(request.prompt) for request in requests)
    padding = [width - len(request.prompt) for request in requests]
    ids = [[words.pad_id] * left + list(request.prompt) for left, request in zip(padding, requests, strict=True)]
    mask = [[0] * left + [1] * (width - left) for left in padding]
    most = int(_SLACK * max(len(request.source.ids) for request in requests)) + _SLACK_TOKENS
    config = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=words.end_id, pad_token_id=words.pad_id
    )
    processors = LogitsProcessorList([] if constraint is None else [constraint(requests)])
    with torch.inference_mode():
        written = plain.model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            generation_config=config,
            logits_processor=processors,
        )
    return [words.text(row[width:].tolist()) for row in written]


def _spans(request: Request, text: str) -> tuple[TokenSpan, ...]:
    escaped = [label for label in request.grammar.tags.opening if label not in request.grammar.labels]
    parsed = parse_span(text, request.document.text, request.grammar.labels, escaped)
    placed = [(entity.type, request.tokens_of(entity.spans[0])) for entity in parsed.entities if len(entity.spans) == 1]
    return tuple(TokenSpan(label, *covered) for label, covered in placed if covered is not None)


def llguidance_constraint(tokenizer: FastTokenizer) -> Constraint:
    """Grammars by llguidance: the source copied, with tags of the labels asked for between its tokens, not nested."""
    from llguidance.hf import from_tokenizer

    known = from_tokenizer(tokenizer.hub)
    return lambda requests: _Held(known, [span_grammar(request) for request in requests], tokenizer.end_id)


def span_grammar(request: Request) -> str:
    """A grammar in llguidance's Lark, right-linear: a rule for every source token outside and inside of a label."""
    source, labels, tags = request.source, request.grammar.labels, request.grammar.tags
    opening = [_tag(open_tag(label), tags.opening[label]) for label in labels]
    closing = [_tag(close_tag(label), tags.closing[label]) for label in labels]
    starts = sorted({0, *(start for start, _ in source.offsets)})
    text = source.escaped.text
    pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    last = len(pieces)
    rules = [f"start: {_out(0, last)}"]
    for place, piece in enumerate(pieces):
        copied = json.dumps(piece)
        opened = [f"{tag} i{place}_{number}" for number, tag in enumerate(opening)]
        rules.append(f"o{place}: " + " | ".join([f"{copied} {_out(place + 1, last)}", *opened]))
        rules += [f"i{place}_{number}: {copied} e{place + 1}_{number}" for number in range(len(labels))]
        rules += [
            f"e{place}_{number}: {copied} e{place + 1}_{number} | {tag} o{place}"
            for number, tag in enumerate(closing)
            if place
        ]
    rules += [f"e{last}_{number}: {tag}" for number, tag in enumerate(closing)]
    return "\n".join(rules) + "\n"


def _out(place: int, last: int) -> str:
    """The rule for what follows outside of any label; nothing does at the end."""
    return f"o{place}" if place < last else ""


def _tag(text: str, ids: tuple[int, ...]) -> str:
    """A tag: by its id where it is one token, which llguidance takes for a special one that has no text."""
    return f"<[{ids[0]}]>" if len(ids) == 1 else json.dumps(text)


class _Held(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """Leaves, in every row, the tokens that the row's grammar allows."""

    def __init__(self, known: Any, grammars: Sequence[str], end_id: int) -> None:
        from llguidance import LLMatcher

        self._matchers = [LLMatcher(known, LLMatcher.grammar_from_lark(text)) for text in grammars]
        for matcher in self._matchers:
            if matcher.is_error():
                raise RuntimeError(f"llguidance refuses the span grammar: {matcher.get_error()[:200]}")
        self._end_id = end_id
        self._begun = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take in the token that was chosen last, then mask what may not follow."""
        if self._begun:
            for matcher, token in zip(self._matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        self._begun = True
        allowed = np.zeros(scores.shape, dtype=bool)
        for row, matcher in enumerate(self._matchers):
            if matcher.is_stopped():
                allowed[row, self._end_id] = True
                continue
            bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
            width = min(len(bits), scores.shape[1])
            allowed[row, :width] = bits[:width].astype(bool)
        return scores.masked_fill(~torch.from_numpy(allowed), -torch.inf)
