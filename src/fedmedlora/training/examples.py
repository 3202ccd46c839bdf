"""From documents to training examples: windows, questions, right answers, a seeded cap. Counts what falls out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.windows import WINDOW_CHARACTERS, sentence_windows
from fedmedlora.markup.encode import Encoded, Encoder, Example, Task


def make_examples(
    documents: Sequence[Document],
    encoder: Encoder,
    tasks: Sequence[Task],
    *,
    max_per_task: int | None = None,
    seed: str = "",
) -> Encoded:
    """Examples of each task from documents, entities kept whole where a window can hold them.

    max_per_task: keep a random so many of each task, chosen by `seed` (any string); the rest is counted.
    """
    dropped: Counter[str] = Counter()
    windows = []
    for document in documents:
        cut = sentence_windows(document, WINDOW_CHARACTERS, keep_entities_whole=True)
        windows += [window.document for window in cut.windows]
        dropped.update(cut.dropped)
    chosen: list[Example] = []
    for task in tasks:
        found = encoder.ner_examples(windows) if task == "ner" else encoder.re_examples(windows)
        dropped.update(found.dropped)
        kept = _sample(found.examples, max_per_task, f"{seed}/{task}")
        if len(kept) < len(found.examples):
            dropped[f"{task}: example over the cap"] += len(found.examples) - len(kept)
        chosen += kept
    return Encoded(chosen, dropped)


def _sample(examples: list[Example], most: int | None, seed: str) -> list[Example]:
    if most is None or len(examples) <= most:
        return examples
    picked = sorted(random.Random(seed).sample(range(len(examples)), most))
    return [examples[index] for index in picked]
