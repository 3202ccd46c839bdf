"""Extraction: source tokens a second, and strict F1, of span-constrained decoding against what else a user would run.

Sentences of documents that the adapter has not seen, half NER, half RE; the adapter is trained in the same run, with
the `lm` objective, which plain generation needs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import torch

from benchmarks.generation import (
    Constraint,
    PlainModel,
    generate_spans,
    llguidance_constraint,
    merged_model,
)
from benchmarks.notes import load_notes, task_examples
from benchmarks.process import require
from benchmarks.scale import Scale
from benchmarks.timing import Comparison, compare_rates, summarise, timed
from benchmarks.training import resident_base, train_ours, train_settings
from fedmedlora.adapters.base import autocast
from fedmedlora.adapters.lora import Adapted
from fedmedlora.inference.decode import Decoder, make_decoder
from fedmedlora.markup.encode import Example, Request
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.training.batch import prepare

_BATCH = 16
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Variant:
    """What one name measures. batch_size: of the peer. constrained: the peer, by llguidance."""

    batch_size: int
    constrained: bool = False


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "decode_vs_generate": Variant(1),
        "decode_vs_generate_batched": Variant(_BATCH),
        "decode_vs_constrained_generate": Variant(_BATCH, constrained=True),
    }
)
NAMES = tuple(VARIANTS)


@dataclass(frozen=True)
class Trained:
    """A model that has learned the tasks, examples that it has not seen, and the model that the peer decodes with."""

    adapted: Adapted
    decoder: Decoder
    examples: tuple[Example, ...]
    plain: PlainModel

    @property
    def requests(self) -> list[Request]:
        """The questions alone."""
        return [example.request for example in self.examples]

    def decode(self, requests: Sequence[Request]) -> list[tuple[TokenSpan, ...]]:
        """Our decoder, in the precision in which `fedmedlora extract` runs it."""
        with autocast(True):
            return self.decoder.decode(requests)


def run(name: str, scale: Scale) -> list[Comparison]:
    """Speed of both, and strict F1 of both. Raises EnvironmentProblem without llguidance where it is the peer."""
    variant = VARIANTS[name]
    if variant.constrained:
        require("llguidance")
    trained = trained_model(scale)
    plain, requests = trained.plain, trained.requests
    constraint: Constraint | None = llguidance_constraint(plain.tokenizer) if variant.constrained else None
    found: dict[str, list[tuple[TokenSpan, ...]]] = {}

    def ours() -> None:
        found["ours"] = trained.decode(requests)

    def peer() -> None:
        found["peer"] = generate_spans(plain, requests, batch_size=variant.batch_size, constraint=constraint)

    speed = compare_rates(name, "source tokens/s", source_tokens(requests), timed(ours), timed(peer), pairs=scale.pairs)
    mine, theirs = strict_f1(trained.examples, found["ours"]), strict_f1(trained.examples, found["peer"])
    same = sum(set(a) == set(b) for a, b in zip(found["ours"], found["peer"], strict=True))
    print(f"{name}: {same} of {len(requests)} answers are the same", file=sys.stderr)
    return [speed, summarise(f"{name}_f1", "strict F1", [(mine, theirs)], more_is_better=True)]


@cache
def trained_model(scale: Scale) -> Trained:
    """Train the adapter; once a process."""
    notes, adapted = load_notes(), resident_base()
    base, half = adapted.base, scale.decode_steps * scale.batch_size // 2
    learned = [*task_examples(base, notes.training, "ner", half), *task_examples(base, notes.training, "re", half)]
    train_ours(adapted, prepare(learned), train_settings("lm", scale.batch_size, lr=_LEARNING_RATE))
    count = scale.decode_requests
    unseen = [*task_examples(base, notes.held_out, "ner", count), *task_examples(base, notes.held_out, "re", count)]
    plain = merged_model(adapted.read(), torch.bfloat16)
    return Trained(adapted, make_decoder(adapted, _BATCH), tuple(unseen), plain)


def source_tokens(requests: Sequence[Request]) -> float:
    """Tokens of the sentences, prompts left out."""
    return float(sum(len(request.source.ids) for request in requests))


def gold_spans(example: Example) -> tuple[TokenSpan, ...]:
    """The spans that the right answer marks."""
    state = example.request.grammar.start()
    for token in example.completion:
        state = example.request.grammar.advance(state, token)
    return state.spans


def strict_f1(examples: Sequence[Example], found: Sequence[Sequence[TokenSpan]]) -> float:
    """Micro-averaged over answers: same label and same tokens. Nothing to find and nothing found is 1.

    One answer with gold {(drug, 0, 2), (problem, 5, 6)} and found {(drug, 0, 2)}: precision 1, recall ½, F1 ⅔.
    """
    gold = {(number, *span) for number, example in enumerate(examples) for span in gold_spans(example)}
    marked = {(number, *span) for number, spans in enumerate(found) for span in spans}
    return 2 * len(gold & marked) / (len(gold) + len(marked)) if gold or marked else 1.0
