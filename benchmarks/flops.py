"""How much of the processor training uses: achieved FLOP/s against a matrix product measured in the same run.

Counted are the multiplications and additions that the packed pass needs, from the model's shapes: projections and LoRA
of every token, forward and backward (no gradient for frozen weights, none beyond the first block's input), attention to
what a token may see, the output head at completion tokens. Padding, norms, softmax and the optimizer count for nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

import torch
from peft.tuners.lora.layer import Linear

from benchmarks.notes import load_notes, task_examples
from benchmarks.scale import Scale
from benchmarks.timing import Comparison, compare, timed
from benchmarks.training import resident_base, train_ours, train_settings
from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.precision import working_dtype
from fedmedlora.training.batch import Corpus, prepare

NAMES = ("achieved_flops",)

_PRODUCTS = 10
_READ_EMBEDDINGS = tuple(f"layers.0.self_attn.{name}_proj" for name in "qkv")


def run(name: str, scale: Scale) -> list[Comparison]:
    """GFLOP/s of training NER with the `lm` objective against GFLOP/s of the product; ratio: the share."""
    adapted = resident_base()
    documents, count = load_notes().training, scale.batch_size * scale.train_steps
    corpus = prepare(task_examples(adapted.base, documents, "ner", count))
    settings = train_settings("lm", scale.batch_size)
    counted = training_flops(adapted, corpus, scale.train_steps)
    fresh = adapted.fresh(0)
    size = scale.matmul
    left, right = (torch.randn(size, size, dtype=working_dtype() or torch.bfloat16) for _ in range(2))

    def train() -> float:
        adapted.write(fresh)
        return counted / train_ours(adapted, corpus, settings).seconds / 1e9

    def multiply() -> float:
        seconds = timed(lambda: [left @ right for _ in range(_PRODUCTS)])()
        return _PRODUCTS * 2.0 * size**3 / seconds / 1e9

    tokens = sum(len(example.ids) for example in corpus.examples)
    print(f"{name}: {counted / tokens / 1e6:.1f} MFLOP a token of prompt and completion", file=sys.stderr)
    return [compare(name, "GFLOP/s", train, multiply, pairs=scale.pairs, more_is_better=True)]


def training_flops(adapted: Adapted, corpus: Corpus, packs: int) -> float:
    """FLOP of one pass over the examples, in so many packs. All must be of one group, the base a Llama."""
    if len({example.group for example in corpus.examples}) > 1:
        raise ValueError("examples of several instructions: their number of packs is not known beforehand")
    prefix = corpus.examples[0].prefix
    lengths = [len(example.ids) - 1 - prefix for example in corpus.examples]
    config: Any = adapted.base.model.config
    tokens = packs * prefix + sum(lengths)
    # Scores and weighted values, twice as much again for their gradients.
    seen = 12.0 * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    head = 4.0 * config.hidden_size * config.vocab_size
    blocks = tokens * flops_per_token(adapted) + seen * attention_pairs(prefix, lengths, packs)
    return float(blocks + head * corpus.target_tokens)


def flops_per_token(adapted: Adapted) -> float:
    """FLOP of all adapted projections for one token, forward and backward."""
    total = 0.0
    for name, module in adapted.model.named_modules():
        if not isinstance(module, Linear):
            continue
        weight = cast("torch.Tensor", module.get_base_layer().weight)
        frozen, adapter = weight.numel(), module.r["default"] * sum(weight.shape)
        reads_embeddings = name.endswith(_READ_EMBEDDINGS)
        total += 2.0 * frozen * (1 if reads_embeddings else 2) + 6.0 * adapter
    return total


def attention_pairs(prefix: int, lengths: Sequence[int], packs: int) -> float:
    """How many (query, key) pairs the packed rows hold: causal in the instructions and in each example."""
    own = packs * prefix * (prefix + 1) / 2
    return own + sum(length * prefix + length * (length + 1) / 2 for length in lengths)
