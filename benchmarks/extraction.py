"""Extraction: source tokens a second, and strict F1, of span-constrained decoding against what else a user would run.

Sentences of documents that the adapters have not seen, half NER, half RE. Two adapters are trained in the same run, on
the same examples and in as many steps: ours with the `mixed` objective, which is for instructions that the base has not
seen; the peers' with `lm`, which plain generation needs. `decode_same_adapter` gives ours the peers' too.
"""

from __future__ import annotations

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
from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.precision import autocast, working_dtype
from fedmedlora.adapters.state import AdapterState
from fedmedlora.inference.decode import Decoder, make_decoder
from fedmedlora.markup.encode import Example, Request, Task
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.training.batch import prepare
from fedmedlora.training.examples import MARKED_SHARE
from fedmedlora.training.objective import Objective

_TASKS: tuple[Task, ...] = ("ner", "re")
_OBJECTIVES: tuple[Objective, ...] = ("mixed", "lm")
_BATCH = 16
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Variant:
    """What one name measures. batch_size: of the peer. constrained: by llguidance. objective: of our adapter."""

    batch_size: int
    constrained: bool = False
    objective: Objective = "mixed"


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "decode_vs_generate": Variant(1),
        "decode_vs_generate_batched": Variant(_BATCH),
        "decode_vs_constrained_generate": Variant(_BATCH, constrained=True),
        "decode_same_adapter": Variant(_BATCH, objective="lm"),
    }
)
NAMES = tuple(VARIANTS)


@dataclass(frozen=True)
class Trained:
    """What both sides decode with, and examples that no adapter has seen.

    states: the adapter of each objective. plain: the model with the `lm` adapter merged into it.
    """

    adapted: Adapted
    decoder: Decoder
    states: Mapping[Objective, AdapterState]
    examples: tuple[Example, ...]
    plain: PlainModel

    @property
    def requests(self) -> list[Request]:
        """The questions alone."""
        return [example.request for example in self.examples]

    def decode(self, requests: Sequence[Request]) -> list[tuple[TokenSpan, ...]]:
        """Our decoder, with the adapter that stands in the model, in the precision of `fedmedlora extract`."""
        with autocast(True):
            return self.decoder.decode(requests)


def run(name: str, scale: Scale) -> list[Comparison]:
    """Speed of both, and strict F1 of both. Raises EnvironmentProblem without llguidance where it is the peer."""
    variant = VARIANTS[name]
    if variant.constrained:
        require("llguidance")
    trained = trained_adapters(scale)
    trained.adapted.write(trained.states[variant.objective])
    plain, requests = trained.plain, trained.requests
    constraint: Constraint | None = llguidance_constraint(plain.tokenizer) if variant.constrained else None
    found: dict[str, list[tuple[TokenSpan, ...]]] = {}

    def ours() -> None:
        found["ours"] = trained.decode(requests)

    def peer() -> None:
        found["peer"] = generate_spans(plain, requests, batch_size=variant.batch_size, constraint=constraint)

    speed = compare_rates(name, "source tokens/s", source_tokens(requests), timed(ours), timed(peer), pairs=scale.pairs)
    scores = []
    for task in _TASKS:
        chosen = [number for number, request in enumerate(requests) if request.task == task]
        examples = [trained.examples[number] for number in chosen]
        mine, theirs = (strict_f1(examples, [found[who][number] for number in chosen]) for who in ("ours", "peer"))
        scores.append(summarise(f"{name}_{task}_f1", "strict F1", [(mine, theirs)], more_is_better=True))
    return [speed, *scores]


@cache
def trained_adapters(scale: Scale) -> Trained:
    """Train both adapters; once a process."""
    notes, adapted = load_notes(), resident_base()
    base, half = adapted.base, scale.decode_steps * scale.batch_size // 2
    learned = prepare(
        [
            example
            for task in _TASKS
            for example in task_examples(base, notes.training, task, half, marked_share=MARKED_SHARE)
        ]
    )
    states: dict[Objective, AdapterState] = {}
    for objective in _OBJECTIVES:
        adapted.write(adapted.fresh(0))
        train_ours(adapted, learned, train_settings(objective, scale.batch_size, lr=_LEARNING_RATE))
        states[objective] = adapted.read()
    unseen = [
        example for task in _TASKS for example in task_examples(base, notes.held_out, task, scale.decode_requests)
    ]
    plain = merged_model(states["lm"], working_dtype() or torch.bfloat16)
    return Trained(adapted, make_decoder(adapted, _BATCH), states, tuple(unseen), plain)


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
