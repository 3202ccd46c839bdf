"""A site's trainer and the coordinator's judge from plain values: what a started process learns from its job.

Sites of one process share the base: it is loaded once for each combination of base and LoRA shape.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fedmedlora.adapters.base import load_base, usable_tokens, use_threads
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.precision import working_dtype
from fedmedlora.corpus.check import validate_labels
from fedmedlora.corpus.formats import read_documents
from fedmedlora.corpus.labels import CLINICAL, LabelSet
from fedmedlora.errors import TrainingError
from fedmedlora.markup.encode import Encoder, Task
from fedmedlora.training.batch import Corpus, prepare
from fedmedlora.training.causal import CausalLesson
from fedmedlora.training.contract import Settings, Validator
from fedmedlora.training.examples import MARKED_SHARE, make_examples
from fedmedlora.training.site import LessonTrainer, make_validator, settings_from_scalars

_log = logging.getLogger(__name__)


@cache
def resident(base: str, rank: int, alpha: float, dropout: float = 0.0) -> Adapted:
    """The base with a LoRA of this shape, loaded once a process."""
    return attach_lora(load_base(base, dtype=working_dtype()), rank=rank, alpha=alpha, dropout=dropout)


def make_site_trainer(
    site: str,
    folder: str,
    notes: str,
    *,
    base: str,
    rank: int = 16,
    alpha: float = 64.0,
    dropout: float = 0.0,
    tasks: Sequence[Task] = ("ner", "re"),
    labels: str | None = None,
    max_tokens: int = 1024,
    max_examples: int | None = None,
    threads: int | None = None,
) -> LessonTrainer:
    """One site's trainer. All arguments are JSON values.

    folder: where the site keeps what it needs between rounds. notes: its training documents, in any format that is
    told by the name. labels: TOML file of the label set. max_examples: per task. threads: of arithmetic; engines give
    the same bits only with the same number.

    Raises the errors of corpus and base model, and TrainingError when no example comes out.
    """
    use_threads(threads)
    adapted = resident(base, rank, alpha, dropout)
    corpus = _corpus(adapted, notes, tasks, labels, max_tokens, max_examples, MARKED_SHARE, f"cap/{site}")
    return LessonTrainer(site, CausalLesson(adapted, corpus), Path(folder))


def make_judge(
    notes: str,
    *,
    base: str,
    rank: int = 16,
    alpha: float = 64.0,
    dropout: float = 0.0,
    tasks: Sequence[Task] = ("ner", "re"),
    labels: str | None = None,
    max_tokens: int = 1024,
    max_examples: int | None = None,
    settings: Settings | None = None,
    threads: int | None = None,
) -> Validator:
    """The coordinator's judge of adapters on its validation notes; settings are a round plan's, the rest a site's."""
    use_threads(threads)
    adapted = resident(base, rank, alpha, dropout)
    corpus = _corpus(adapted, notes, tasks, labels, max_tokens, max_examples, 0.0, "validation")
    return make_validator(adapted, corpus, settings_from_scalars(settings or {}))


def _corpus(
    adapted: Adapted,
    notes: str,
    tasks: Sequence[Task],
    labels: str | None,
    max_tokens: int,
    max_examples: int | None,
    marked_share: float,
    seed: str,
) -> Corpus:
    label_set = CLINICAL if labels is None else LabelSet.from_toml(Path(labels))
    documents, unread = read_documents(Path(notes))
    validate_labels(documents, label_set)
    encoder = Encoder(adapted.base.tokenizer, label_set, max_tokens=usable_tokens(adapted.base, max_tokens))
    encoded = make_examples(documents, encoder, tasks, max_per_task=max_examples, marked_share=marked_share, seed=seed)
    if not encoded.examples:
        raise TrainingError(f"no example among {len(documents)} documents of notes. Check labels and max_tokens.")
    for reason, count in sorted((unread + encoded.dropped).items()):
        _log.info("left out of the examples: %s: %d", reason, count)
    return prepare(encoded.examples)
