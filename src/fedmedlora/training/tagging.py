"""A token classifier's lesson: an encoder and its heads trained to tag the tokens that a causal model would copy.

Questions are those of causal models (same windows, heads and labels), and of both tasks in one model: NER tags a text,
RE a text in which one entity is marked. The loss is cross-entropy over the tags of the labels asked for alone, so that
a label that a note is not annotated for is neither trained against nor for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.tagger import Tagger, tag_batch
from fedmedlora.errors import TrainingError
from fedmedlora.markup.encode import Example, Task
from fedmedlora.markup.iob import Row, Tags, TagScheme, answer_spans, tag_row
from fedmedlora.record import digest_json
from fedmedlora.training.batch import epoch_batches
from fedmedlora.training.loop import LossSum, TrainSettings

_PASS_TOKENS = 1 << 13
"""Most tokens of one pass, padding included, where the settings leave it to us."""


@dataclass(frozen=True)
class TagExample:
    """A question as a row, the right tag of each of its places, and which tags may be given."""

    task: Task
    row: Row
    tags: Tags
    allowed: np.ndarray


@dataclass(frozen=True)
class TagCorpus:
    """Prepared examples. dropped: what IOB tags or the longest row could not hold, by reason."""

    examples: tuple[TagExample, ...]
    dropped: Mapping[str, int]


def prepare_tags(
    examples: Sequence[Example], schemes: Mapping[Task, TagScheme], end_id: int, max_tokens: int
) -> TagCorpus:
    """Turn examples into tagged rows of at most `max_tokens`; counts what they cannot hold. Empty ones are left out."""
    dropped: Counter[str] = Counter()
    found = []
    for example in examples:
        request = example.request
        row = tag_row(request, end_id, max_tokens)
        scheme = schemes[request.task]
        tagged = scheme.write(answer_spans(example), len(request.source.ids))
        dropped[f"{request.task}: overlaps a span that is tagged"] += tagged.dropped
        dropped[f"{request.task}: token beyond {max_tokens}"] += row.cut
        if row.places:
            tags = tagged.tags[: len(row.places)]
            found.append(TagExample(request.task, row, tags, scheme.allowed(request.grammar.labels)))
    return TagCorpus(tuple(found), dict(sorted((+dropped).items())))


@dataclass(frozen=True)
class TagLesson:
    """A tagger with examples of its tasks. Satisfies `lesson.Lesson`."""

    learner: Tagger
    corpus: TagCorpus

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 over all examples' token ids, places, tags and allowed tags, in order."""
        return digest_json(
            [
                [example.task, example.row.ids, example.row.places, example.tags.tolist(), example.allowed.tolist()]
                for example in self.corpus.examples
            ]
        )

    def __len__(self) -> int:
        return len(self.corpus.examples)

    def target_tokens(self, chosen: Sequence[int] | None = None) -> int:
        """Tokens that are tagged in the chosen examples, or in all."""
        examples = self.corpus.examples
        return sum(len(examples[index].tags) for index in (range(len(examples)) if chosen is None else chosen))

    def steps(self, settings: TrainSettings, seed: str) -> list[list[list[int]]]:
        """As `Lesson`: batches of examples of like length, of both tasks."""
        most, size = settings.pack_tokens or _PASS_TOKENS, settings.gradient_accumulation
        steps = []
        for epoch in range(settings.epochs):
            batches = epoch_batches(self._lengths, settings.batch_size, f"{seed}/epoch {epoch}")
            steps += [
                [part for batch in batches[first : first + size] for part in self.passes(batch, most)]
                for first in range(0, len(batches), size)
            ]
        return steps

    def passes(self, chosen: Sequence[int], most_tokens: int) -> list[list[int]]:
        """Divide examples into passes of at most `most_tokens` with their padding, or of one example."""
        left = sorted(chosen, key=lambda index: (-self._lengths[index], index))
        parts = []
        while left:
            room = max(1, most_tokens // self._lengths[left[0]])
            parts.append(left[:room])
            left = left[room:]
        return parts

    def loss(self, chosen: Sequence[int], settings: TrainSettings) -> Tensor:
        """Summed cross-entropy over the tags allowed in each example, in nats."""
        learner, examples = self.learner, [self.corpus.examples[index] for index in chosen]
        states = learner.place_states(tag_batch([example.row for example in examples], learner))
        tasks = np.repeat([example.task for example in examples], [len(example.tags) for example in examples])
        total = states.new_zeros((), dtype=torch.float32)
        for task in learner.tags:
            own = [example for example in examples if example.task == task]
            # A head without an example here gets a gradient of zero, so that all take the same steps.
            logits = learner.logits(task, states[torch.from_numpy(np.flatnonzero(tasks == task)).to(states.device)])
            total = total + (_cross_entropy(logits, own) if own else logits.sum())
        return total

    @cached_property
    def _lengths(self) -> list[int]:
        return [len(example.row.ids) for example in self.corpus.examples]


def _cross_entropy(logits: Tensor, examples: Sequence[TagExample]) -> Tensor:
    """Summed over the places of some examples of one task, each over its allowed tags. logits: [places, tags]."""
    allowed = np.concatenate([np.tile(example.allowed, (len(example.tags), 1)) for example in examples])
    gold = np.concatenate([example.tags for example in examples])
    logits = logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), -torch.inf)
    return nn.functional.cross_entropy(logits, torch.from_numpy(gold).to(logits.device), reduction="sum")


def tag_loss(lesson: TagLesson, settings: TrainSettings) -> LossSum:
    """The loss of the tagger as it stands over a set of examples, without dropout or gradient.

    Raises TrainingError when the set is empty.
    """
    if not len(lesson):
        raise TrainingError("there is no validation example. Give the coordinator at least one validation document.")
    nats = 0.0
    with torch.inference_mode(), autocast(settings.bf16):
        for part in lesson.passes(range(len(lesson)), _PASS_TOKENS):
            nats += float(lesson.loss(part, settings))
    return LossSum(nats, lesson.target_tokens())
