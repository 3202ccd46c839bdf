"""The peer's training: TRL's SFTTrainer on a plain Transformers model with a PEFT LoRA, set for speed.

No evaluation, no logging, no saving, no activation checkpointing, bf16 autocast, fused AdamW, loss and head at
completion tokens alone, token ids made beforehand, examples of like length together.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)

from fedmedlora.adapters.base import bundled_path
from fedmedlora.adapters.precision import has_bfloat16, working_dtype
from fedmedlora.training.batch import Corpus

RANK, ALPHA, LEARNING_RATE, WARMUP = 16, 64, 2e-4, 0.03
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_IGNORED = -100
_PACKED_TOKENS = 1024


class TokenExample(NamedTuple):
    """Ids of prompt and completion, and the completion's first index."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class SftPlan:
    """One run over all examples, once.

    batch_size: examples an optimizer step. packing: TRL's own, into rows of 1,024 tokens (its default), one row a
    pass, as many rows a step as give the number of steps that there are without.
    """

    batch_size: int
    packing: bool = False

    def steps(self, examples: int) -> int:
        """Optimizer steps without packing."""
        return -(-examples // self.batch_size)


class SftResult(NamedTuple):
    """What a run did. loss: mean nats a target token, as TRL reports it."""

    seconds: float
    steps: int
    loss: float


def token_examples(corpus: Corpus) -> list[TokenExample]:
    """What both sides train on, as plain numbers."""
    return [TokenExample(tuple(example.ids.tolist()), example.start) for example in corpus.examples]


def load_plain_base() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The bundled base as Transformers loads it, in the precision that ours is held in."""
    where, dtype = str(bundled_path()), working_dtype() or "auto"
    return AutoModelForCausalLM.from_pretrained(where, dtype=dtype), AutoTokenizer.from_pretrained(where)


def lora_config() -> LoraConfig:
    """The same LoRA as ours."""
    return LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(TARGETS), bias="none", task_type="CAUSAL_LM"
    )


def make_dataset(examples: Sequence[TokenExample]) -> Any:
    """A `datasets.Dataset` with ids and labels, so that TRL has nothing left to tokenise."""
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "input_ids": [list(ids) for ids, _ in examples],
            "labels": [[_IGNORED] * start + list(ids[start:]) for ids, start in examples],
        }
    )


def make_trainer(model: Any, tokenizer: PreTrainedTokenizerBase, dataset: Any, plan: SftPlan, folder: str) -> Any:
    """An SFTTrainer, ready to train. model: plain, which is given the LoRA, or a PEFT model."""
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=1 if plan.packing else plan.batch_size,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="cosine",
        warmup_steps=WARMUP,
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=has_bfloat16(),
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        packing=plan.packing,
        max_length=_PACKED_TOKENS if plan.packing else None,
        train_sampling_strategy="random" if plan.packing else "group_by_length",
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=None if hasattr(model, "peft_config") else lora_config(),
    )
    trainer.remove_callback(PrinterCallback)
    if plan.packing:
        # How many packs there are is known once TRL has made them.
        trainer.args.gradient_accumulation_steps = -(-len(trainer.train_dataset) // plan.steps(len(dataset)))
    return trainer


def train_sft(examples: Sequence[TokenExample], plan: SftPlan, loaded: Callable[[], None] = lambda: None) -> SftResult:
    """Load the base afresh and train; only the training itself is timed."""
    model, tokenizer = load_plain_base()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(model, tokenizer, make_dataset(examples), plan, folder)
        loaded()
        started = time.perf_counter()
        out = trainer.train()
        seconds = time.perf_counter() - started
    return SftResult(seconds, int(out.global_step), float(out.training_loss))


def train_in_child(payload: object, loaded: Callable[[], None]) -> Mapping[str, float]:
    """`train_sft` for `benchmarks.child`. payload: examples and plan."""
    examples, plan = cast("tuple[list[TokenExample], SftPlan]", payload)
    result = train_sft(examples, plan, loaded)
    return {"seconds": result.seconds, "steps": result.steps}
