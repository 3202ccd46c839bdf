"""A causal language model's lesson: a LoRA trained to write right answers, and the loss that it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.precision import autocast
from fedmedlora.errors import TrainingError
from fedmedlora.record import digest_bytes, digest_json
from fedmedlora.training.batch import Batch, Corpus, collate, epoch_batches, sharing_pays, split_batch
from fedmedlora.training.budget import affordable_tokens
from fedmedlora.training.loop import Fit, LossSum, Moments, Progress, Schedule, TrainSettings, optimise
from fedmedlora.training.objective import judgement, summed_loss

_VALIDATION_TOKENS = 1 << 13


@dataclass(frozen=True)
class CausalLesson:
    """A causal language model with a LoRA, and what it should write. Satisfies `Lesson`."""

    learner: Adapted
    corpus: Corpus

    @property
    def data_digest(self) -> str:
        """SHA-256 over all examples' token ids, in order."""
        return digest_json([digest_bytes(example.ids.tobytes()) for example in self.corpus.examples])

    def __len__(self) -> int:
        return len(self.corpus)

    def target_tokens(self, chosen: Sequence[int] | None = None) -> int:
        """Completion tokens of the chosen examples, or of all."""
        if chosen is None:
            return self.corpus.target_tokens
        return sum(self.corpus.examples[index].target_tokens for index in chosen)

    def steps(self, settings: TrainSettings, seed: str) -> list[list[list[int]]]:
        """As `Lesson`; a pass is one pack where examples share their instructions."""
        return _steps(self.learner, self.corpus, settings, seed, self._packed)

    def loss(self, chosen: Sequence[int], settings: TrainSettings) -> Tensor:
        """As `Lesson`, by the settings' objective."""
        batch = _collate(self.learner, self.corpus, chosen, self._packed)
        return summed_loss(self.learner.readout, self.corpus, batch, settings.objective)

    @cached_property
    def _packed(self) -> bool:
        return self.learner.packed and sharing_pays(self.corpus)


def fit(
    adapted: Adapted,
    corpus: Corpus,
    settings: TrainSettings,
    schedule: Schedule,
    *,
    seed: str,
    moments: Moments | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> Fit:
    """Train the adapter as it stands in the model, in place; see `loop.optimise`."""
    lesson = CausalLesson(adapted, corpus)
    return optimise(lesson, settings, schedule, seed=seed, moments=moments, on_step=on_step)


def validation_loss(adapted: Adapted, corpus: Corpus, settings: TrainSettings) -> LossSum:
    """The loss of the adapter as it stands over a set of examples, without dropout or gradient.

    Raises TrainingError when the set is empty.
    """
    return loss_over(adapted, corpus, validation_batches(adapted, corpus), settings)


def validation_batches(adapted: Adapted, corpus: Corpus) -> list[Batch]:
    """A set of examples as batches, made once for all adapters judged on it. Raises TrainingError when it is empty."""
    if not len(corpus):
        raise TrainingError("there is no validation example. Give the coordinator at least one validation document.")
    longest = max(len(example.ids) for example in corpus.examples)
    parts = split_batch(corpus, range(len(corpus)), packed=adapted.packed, most_tokens=max(_VALIDATION_TOKENS, longest))
    return [_collate(adapted, corpus, part, adapted.packed) for part in parts]


def loss_over(adapted: Adapted, corpus: Corpus, batches: Sequence[Batch], settings: TrainSettings) -> LossSum:
    """The loss of the adapter as it stands over batches of a set, by its objective's `judgement`."""
    nats = 0.0
    with torch.inference_mode(), autocast(settings.bf16):
        for batch in batches:
            nats += float(summed_loss(adapted.readout, corpus, batch, judgement(settings.objective)))
    return LossSum(nats, sum(len(batch.targets) for batch in batches))


def _steps(adapted: Adapted, corpus: Corpus, settings: TrainSettings, seed: str, packed: bool) -> list[list[list[int]]]:
    """Optimizer steps of the whole stretch, each a list of packs of example indices."""
    lengths = [len(example.ids) for example in corpus.examples]
    groups = [example.group for example in corpus.examples] if packed else None
    most = settings.pack_tokens or max(*lengths, affordable_tokens(adapted, bf16=settings.bf16))
    steps = []
    for epoch in range(settings.epochs):
        batches = epoch_batches(lengths, settings.batch_size, f"{seed}/epoch {epoch}", groups)
        size = settings.gradient_accumulation
        for first in range(0, len(batches), size):
            together = batches[first : first + size]
            steps.append(
                [pack for batch in together for pack in split_batch(corpus, batch, packed=packed, most_tokens=most)]
            )
    return steps


def _collate(adapted: Adapted, corpus: Corpus, chosen: Sequence[int], packed: bool) -> Batch:
    base = adapted.base
    return collate(corpus, chosen, base.tokenizer.pad_id, base.model.device, packed=packed)
