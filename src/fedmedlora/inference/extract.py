"""Use a trained adapter: load it on its base, and extract entities with their modifiers from documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from fedmedlora.adapters.base import autocast, load_base, usable_tokens
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.state import CONFIG_FILE, load_state
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import AdapterError
from fedmedlora.inference.decode import make_decoder
from fedmedlora.inference.generate import PlainGeneration
from fedmedlora.inference.predict import Answers, Predicted, predict_entities, predict_modifiers
from fedmedlora.markup.encode import Encoder


def load_adapted(folder: Path, base: str | None = None) -> Adapted:
    """The base with the adapter of a folder (PEFT layout, as a run leaves it).

    base: a name or folder; None takes the one that the adapter names. Raises AdapterError when the adapter is damaged
    or was trained on another base, BaseModelError when the base cannot be loaded.
    """
    state = load_state(folder, expected_base_digest=None)
    loaded = load_base(base or base_name(folder))
    if loaded.digest != state.spec.base_digest:
        raise AdapterError(
            f"{folder}: the adapter was trained on another base (digest {state.spec.base_digest[:12]}…; "
            f"'{loaded.name}' has {loaded.digest[:12]}…). Name its own base with --base."
        )
    adapted = attach_lora(loaded, rank=state.spec.rank, alpha=state.spec.alpha)
    adapted.write(state)
    return adapted


def base_name(folder: Path) -> str:
    """The base that an adapter folder names. Raises AdapterError when it names none."""
    path = folder / CONFIG_FILE
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise AdapterError(
            f"{path}: not readable ({type(error).__name__}). Give an adapter folder as a run leaves it."
        ) from error
    if not isinstance(name, str) or not name:
        raise AdapterError(f"{path}: base_model_name_or_path is missing. Name the base with --base.")
    return name


def extract_documents(
    adapted: Adapted,
    documents: Sequence[Document],
    labels: LabelSet,
    *,
    batch_size: int = 32,
    max_tokens: int = 1024,
    plain: bool = False,
    on_done: Callable[[int], None] | None = None,
) -> Predicted:
    """Entities of each document, and the modifiers of those entities.

    A document's `labels` limit what it is asked for; its own annotations are ignored.
    plain: let the model write freely and align what it wrote, instead of constrained decoding; what could not be used
    is counted with what could not be asked.
    """
    encoder = Encoder(adapted.base.tokenizer, labels, max_tokens=usable_tokens(adapted.base, max_tokens))
    generation = PlainGeneration(adapted, batch_size)
    answers: Answers = generation if plain else make_decoder(adapted, batch_size)
    with autocast(adapted.base.model.dtype == torch.bfloat16):
        entities = predict_entities(documents, encoder, answers, on_done)
        both = predict_modifiers(entities.documents, encoder, answers, on_done)
    return Predicted(both.documents, entities.dropped + both.dropped + generation.problems)
