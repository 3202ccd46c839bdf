"""From documents to training examples: windows, questions, right answers, a seeded cap. Counts what falls out."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.windows import WINDOW_CHARACTERS, sentence_windows
from fedmedlora.markup.encode import Encoded, Encoder, Example, Task

MARKED_SHARE = 0.5
"""Share of a capped training sample whose answer marks something; chosen on the open benchmark's dev documents."""


def make_examples(
    documents: Sequence[Document],
    encoder: Encoder,
    tasks: Sequence[Task],
    *,
    max_per_task: int | None = None,
    marked_share: float = 0.0,
    seed: str = "",
) -> Encoded:
    """Examples of each task from documents, entities kept whole where a window can hold them.

    max_per_task: keep a random so many of each task, chosen by `seed` (any string); the rest is counted.
    marked_share: smallest share of what is kept whose answer marks something, as long as there are such: most entities
    have no modifier, and a small plain sample of them teaches to mark nothing.
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
        kept = _sample(found.examples, max_per_task, marked_share, f"{seed}/{task}")
        if len(kept) < len(found.examples):
            dropped[f"{task}: example over the cap"] += len(found.examples) - len(kept)
        chosen += kept
    return Encoded(chosen, dropped)


def _sample(examples: list[Example], most: int | None, marked_share: float, seed: str) -> list[Example]:
    if most is None or len(examples) <= most:
        return examples
    generator = random.Random(seed)
    shuffled = generator.sample(range(len(examples)), len(examples))
    marked = [index for index in shuffled if examples[index].marks_something]
    picked = set(shuffled[:most])
    # The plain sample, until too few of it mark something: then others that do take the place of some that do not.
    lacking = min(len(marked), math.ceil(marked_share * most)) - len(picked.intersection(marked))
    if lacking > 0:
        picked -= set([index for index in shuffled[:most] if not examples[index].marks_something][:lacking])
        picked |= set([index for index in marked if index not in picked][:lacking])
    return [examples[index] for index in sorted(picked)]
