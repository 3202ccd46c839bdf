"""Use a trained adapter: load it on its base, and extract entities with their modifiers from documents."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from fedmedlora.adapters.base import load_base, usable_tokens
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.precision import autocast, working_dtype
from fedmedlora.adapters.state import CONFIG_FILE, SPEC_FILE, TENSOR_FILE, load_state
from fedmedlora.adapters.tagger_files import TAGGER_FILE
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import AdapterError
from fedmedlora.inference.decode import make_decoder
from fedmedlora.inference.generate import PlainGeneration
from fedmedlora.inference.json_decode import MAX_TOKENS, make_json_decoder
from fedmedlora.inference.predict import Answers, Predicted, TextAnswers, predict_entities, predict_modifiers
from fedmedlora.markup.encode import Encoder

AnswerFormat: TypeAlias = Literal["span", "json"]
"""How a model answers: it copies the text and puts tags in, or lists entities in JSON."""

_MAX_TOKENS = 1024
_LISTED, _DEPTH = 10, 4


def load_adapted(folder: Path, base: str | None = None) -> Adapted:
    """The base with the adapter of a folder (PEFT layout, as a run leaves it).

    base: a name or folder; None takes the one that the adapter names. Raises AdapterError when the adapter is damaged
    or was trained on another base, BaseModelError when the base cannot be loaded.
    """
    _check_holds_adapter(folder)
    state = load_state(folder, expected_base_digest=None)
    loaded = load_base(base or base_name(folder), dtype=working_dtype())
    if loaded.digest != state.spec.base_digest:
        raise AdapterError(
            f"{folder}: the adapter was trained on another base (digest {state.spec.base_digest[:12]}…; "
            f"'{loaded.name}' has {loaded.digest[:12]}…). Name its own base with --base."
        )
    adapted = attach_lora(loaded, rank=state.spec.rank, alpha=state.spec.alpha)
    adapted.write(state)
    return adapted


def _check_holds_adapter(folder: Path) -> None:
    """Raise AdapterError naming the adapters below a folder that is none itself, a run's for instance."""
    if any((folder / name).exists() for name in (CONFIG_FILE, TENSOR_FILE, SPEC_FILE)):
        return
    patterns = ("/".join(["*"] * depth) for depth in range(1, _DEPTH + 1))
    below = sorted(
        {
            path.parent.relative_to(folder).as_posix()
            for pattern in patterns
            for name in (CONFIG_FILE, TAGGER_FILE)
            for path in folder.glob(f"{pattern}/{name}")
        }
    )
    if below:
        more = f" and {len(below) - _LISTED} more" if len(below) > _LISTED else ""
        raise AdapterError(
            f"{folder}: holds no adapter itself, but folders in it do: {', '.join(below[:_LISTED])}{more}. Name one of "
            "them."
        )


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
    max_tokens: int | None = None,
    plain: bool = False,
    answers: AnswerFormat = "span",
    on_done: Callable[[int], None] | None = None,
) -> Predicted:
    """Entities of each document, and the modifiers of those entities.

    A document's `labels` limit what it is asked for; its own annotations are ignored.
    max_tokens: longest prompt plus answer; None is 1024, and 2048 for "json". plain: let the model write freely, in the
    span format, and align what it wrote, instead of constrained decoding. What could not be used of an answer is
    counted with what could not be asked.

    Raises EnvironmentProblem for "json" without llguidance, BaseModelError for a base that cannot spell such answers,
    ValueError for "json" with `plain`.
    """
    if plain and answers != "span":
        raise ValueError("plain generation answers in the span format")
    if max_tokens is None:
        max_tokens = MAX_TOKENS if answers == "json" else _MAX_TOKENS
    usable = usable_tokens(adapted.base, max_tokens)
    encoder = Encoder(adapted.base.tokenizer, labels, max_tokens=usable)
    answering, problems = _answering(adapted, labels, "plain" if plain else answers, batch_size, usable)
    with autocast(True):
        entities = predict_entities(documents, encoder, answering, on_done)
        both = predict_modifiers(entities.documents, encoder, answering, on_done)
    return Predicted(both.documents, entities.dropped + both.dropped + problems)


def _answering(
    adapted: Adapted, labels: LabelSet, answers: Literal["plain"] | AnswerFormat, batch_size: int, max_tokens: int
) -> tuple[Answers | TextAnswers, Counter[str]]:
    """What answers, and where it counts its problems."""
    match answers:
        case "span":
            return make_decoder(adapted, batch_size), Counter()
        case "plain":
            generation = PlainGeneration(adapted, batch_size)
            return generation, generation.problems
        case "json":
            decoder = make_json_decoder(adapted, labels, batch_size=batch_size, max_tokens=max_tokens)
            return decoder, decoder.problems
