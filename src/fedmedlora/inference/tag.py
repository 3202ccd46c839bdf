"""Answers by a token classifier: the most probable tags that keep the rules, and how sure it is of every span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from fedmedlora.adapters.tagger import Tagger, tag_batch
from fedmedlora.inference.draft import Marked
from fedmedlora.markup.encode import Request, Task
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.markup.iob import Row, Scores, TagScheme, best_tags, tag_row

_MARKED_NOTHING = Marked((), ())


@dataclass
class TagAnswers:
    """Answers requests by the tagger as it stands; takes the decoder's place in `predict`.

    max_tokens: of the longest row; tokens beyond it are in no span, and counted. passes, tokens: batches that were read
    and the tokens in them. problems: what could not be read so far, by reason.

    A span's confidence is what `TagScheme.confidence` says. It does not look at other spans.
    """

    tagger: Tagger
    schemes: Mapping[Task, TagScheme]
    max_tokens: int
    batch_size: int = 32
    passes: int = 0
    tokens: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def decode(
        self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None
    ) -> list[tuple[TokenSpan, ...]]:
        """The marked spans of each request's source, in order."""
        return [marked.spans for marked in self.mark(requests, on_done)]

    def mark(self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None) -> list[Marked]:
        """The same, with the confidence of each span."""
        rows = [tag_row(request, self.tagger.encoder.tokenizer.end_id, self.max_tokens) for request in requests]
        found = [_MARKED_NOTHING] * len(requests)
        for request, row in zip(requests, rows, strict=True):
            if row.cut:
                self.problems[f"{request.task}: token beyond {self.max_tokens}"] += row.cut
        # A batch is of one task, whose head reads it, and of like length.
        order = sorted(range(len(rows)), key=lambda number: (requests[number].task, -len(rows[number].ids), number))
        for first in range(0, len(order), self.batch_size):
            batch = order[first : first + self.batch_size]
            for task in {requests[number].task: None for number in batch}:
                own = [number for number in batch if requests[number].task == task]
                read = self._read(task, [requests[number] for number in own], [rows[number] for number in own])
                for number, marked in zip(own, read, strict=True):
                    found[number] = marked
            if on_done is not None:
                on_done(len(batch))
        return found

    def _read(self, task: Task, requests: Sequence[Request], rows: Sequence[Row]) -> list[Marked]:
        self.passes += 1
        self.tokens += sum(len(row.ids) for row in rows)
        scheme, counts = self.schemes[task], [len(row.places) for row in rows]
        with torch.inference_mode():
            logits = self.tagger.logits(task, self.tagger.place_states(tag_batch(rows, self.tagger)))
            allowed = np.repeat(
                np.stack([scheme.allowed(request.grammar.labels) for request in requests]), counts, axis=0
            )
            logits = logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), -torch.inf)
            scores = logits.log_softmax(-1).double().cpu().numpy()
        return [_marked(scheme, own) for own in np.split(scores, np.cumsum(counts)[:-1])]


def _marked(scheme: TagScheme, scores: Scores) -> Marked:
    if not len(scores):
        return _MARKED_NOTHING
    spans = scheme.read(best_tags(scores))
    return Marked(tuple(spans), tuple(scheme.confidence(span, scores) for span in spans))
