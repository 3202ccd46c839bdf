"""Use a trained tagger out of a folder as a run leaves it: entities of documents, and the modifiers of those."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.tagger_files import TAGGER_FILE, load_tagger
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import LabelError
from fedmedlora.inference.predict import Predicted, predict_entities, predict_modifiers
from fedmedlora.inference.tag import TagAnswers
from fedmedlora.markup.encode import Encoder
from fedmedlora.markup.iob import tag_schemes
from fedmedlora.markup.prompts import BARE


def is_tagger(folder: Path) -> bool:
    """Whether a folder holds a tagger rather than an adapter of a causal model."""
    return (folder / TAGGER_FILE).is_file()


def extract_tagged(
    folder: Path,
    documents: Sequence[Document],
    labels: LabelSet,
    *,
    encoder: str | None = None,
    batch_size: int = 32,
    on_done: Callable[[int], None] | None = None,
) -> Predicted:
    """As `extract.extract_documents`. A tagger of one task finds entities alone, or the given ones' modifiers.

    encoder: in place of the one that the folder names. Raises AdapterError for a damaged folder or another encoder,
    LabelError when it was trained on other labels.
    """
    tagger, max_tokens = load_tagger(folder, encoder)
    schemes = tag_schemes(labels)
    known: dict[str, tuple[str, ...]] = {task: scheme.names for task, scheme in schemes.items()}
    if any(known.get(head) != names for head, names in tagger.tags.items()):
        raise LabelError(f"{folder}: it was trained on another label set. Give that set's file with --labels.")
    questions = Encoder(tagger.encoder.tokenizer, labels, BARE, max_tokens=sys.maxsize)
    answers = TagAnswers(tagger, schemes, max_tokens, batch_size)
    found, dropped = list(documents), Counter[str]()
    with autocast(True):
        for task, predict in (("ner", predict_entities), ("re", predict_modifiers)):
            if task in tagger.tags:
                found, missed = predict(found, questions, answers, on_done)
                dropped += missed
    return Predicted(found, dropped + answers.problems)
