"""Training: tokens a second and peak memory of our loop against TRL's SFTTrainer.

The same base, LoRA, examples, batch, steps, schedule and precision. Tokens are those of prompts and completions, each
example's own, so that reading shared instructions once counts as speed. The loss is the same too, cross-entropy over
the whole vocabulary at completion tokens, but for the names with `choice`, our default, which scores what the grammar
allows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from benchmarks.memory import compare_peaks, measure_peak
from benchmarks.notes import load_notes, task_examples
from benchmarks.process import require
from benchmarks.scale import Scale
from benchmarks.sft import ALPHA, LEARNING_RATE, RANK, WARMUP, SftPlan, token_examples, train_sft
from benchmarks.timing import Comparison, Measured, compare_rates
from fedmedlora.adapters.base import load_base
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.precision import working_dtype
from fedmedlora.markup.encode import Task
from fedmedlora.training.batch import Corpus, prepare
from fedmedlora.training.causal import fit
from fedmedlora.training.loop import Fit, Schedule, TrainSettings
from fedmedlora.training.objective import Objective


@dataclass(frozen=True)
class Variant:
    """What one name measures. batch_size: where it is not the scale's. packing: TRL's. memory: instead of speed."""

    task: Task
    objective: Objective = "lm"
    style: str = "full"
    batch_size: int | None = None
    packing: bool = False
    memory: bool = False


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "train_ner": Variant("ner"),
        "train_re": Variant("re"),
        "train_ner_mixed": Variant("ner", objective="mixed"),
        "train_re_mixed": Variant("re", objective="mixed"),
        "train_ner_batch_4": Variant("ner", batch_size=4),
        "train_re_batch_4": Variant("re", batch_size=4),
        "train_ner_brief": Variant("ner", style="brief"),
        "train_re_brief": Variant("re", style="brief"),
        "train_ner_trl_packing": Variant("ner", packing=True),
        "train_re_trl_packing": Variant("re", packing=True),
        "train_ner_memory": Variant("ner", memory=True),
        "train_re_memory": Variant("re", memory=True),
    }
)
NAMES = tuple(VARIANTS)


def run(name: str, scale: Scale) -> list[Comparison]:
    """One variant. Raises EnvironmentProblem without TRL."""
    require("trl", "datasets")
    variant = VARIANTS[name]
    batch = min(variant.batch_size or scale.batch_size, scale.batch_size)
    base = load_base("bundled")
    examples = task_examples(base, load_notes().training, variant.task, batch * scale.train_steps, style=variant.style)
    corpus = prepare(examples)
    settings = train_settings(variant.objective, batch)
    plan = SftPlan(batch, variant.packing)
    if variant.memory:
        ours = measure_peak("benchmarks.training:train_in_child", (corpus, settings), threads=scale.threads)
        payload = (token_examples(corpus), plan)
        peer = measure_peak("benchmarks.sft:train_in_child", payload, threads=scale.threads)
        return compare_peaks(name, ours, peer)
    tokens = float(sum(len(example.ids) for example in corpus.examples))
    return [
        compare_rates(
            name, "tokens/s", tokens, _ours(name, corpus, settings), _peer(name, corpus, plan), pairs=scale.pairs
        )
    ]


def train_settings(objective: Objective, batch_size: int, *, lr: float = LEARNING_RATE) -> TrainSettings:
    """Our settings, as the peer's are."""
    return TrainSettings(lr=lr, objective=objective, epochs=1, batch_size=batch_size, warmup_fraction=WARMUP, bf16=True)


def resident_base() -> Adapted:
    """The bundled base with the LoRA."""
    return attach_lora(load_base("bundled", dtype=working_dtype()), rank=RANK, alpha=float(ALPHA))


def train_ours(adapted: Adapted, corpus: Corpus, settings: TrainSettings) -> Fit:
    """One stretch of training, from the adapter as it stands."""
    steps = settings.steps(len(corpus))
    return fit(adapted, corpus, settings, Schedule(0, steps, settings.warmup_fraction), seed="benchmarks")


def train_in_child(payload: object, loaded: Callable[[], None]) -> Mapping[str, float]:
    """`train_ours` for `benchmarks.child`. payload: corpus and settings."""
    corpus, settings = cast("tuple[Corpus, TrainSettings]", payload)
    adapted = resident_base()
    loaded()
    done = train_ours(adapted, corpus, settings)
    return {"seconds": done.seconds, "steps": done.steps}


def _ours(name: str, corpus: Corpus, settings: TrainSettings) -> Measured:
    adapted = resident_base()
    fresh = adapted.fresh(0)

    def run() -> float:
        adapted.write(fresh)
        started = time.perf_counter()
        done = train_ours(adapted, corpus, settings)
        seconds = time.perf_counter() - started
        _say(name, "ours", seconds, done.steps, done.loss)
        return seconds

    return run


def _peer(name: str, corpus: Corpus, plan: SftPlan) -> Measured:
    examples = token_examples(corpus)

    def run() -> float:
        done = train_sft(examples, plan)
        _say(name, "TRL", done.seconds, done.steps, done.loss)
        return done.seconds

    return run


def _say(name: str, who: str, seconds: float, steps: int, loss: float) -> None:
    """So that one sees that both did the same work: steps and loss side by side."""
    print(f"{name}: {who} {seconds:.2f} s, {steps} steps, mean loss {loss:.3f}", file=sys.stderr)
