"""A trained tagger as a folder that plain programs load too, and back.

With a LoRA: PEFT's layout, for the encoder as a token-classification model. Trained whole: a Hugging Face model with
its tokenizer. Both hold the first head as the model's own classifier; `tagger.json` says what the heads' outputs are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from fedmedlora.adapters.encoder import load_encoder
from fedmedlora.adapters.state import CONFIG_FILE, SPEC_FILE, WHOLE, AdapterSpec, AdapterState, load_state, save_state
from fedmedlora.adapters.tagger import Lora, Tagger, make_tagger
from fedmedlora.errors import AdapterError
from fedmedlora.record import write_atomic

TAGGER_FILE = "tagger.json"
MODEL_FILE, HEADS_FILE = "model.safetensors", "heads.safetensors"


def save_tagger(tagger: Tagger, state: AdapterState, folder: Path, encoder_name: str, max_tokens: int) -> None:
    """Write a state into the tagger and both into a folder. `tagger.json` goes first and comes last.

    encoder_name: for programs that load the folder. max_tokens: of the longest row that it was trained on.
    """
    (folder / TAGGER_FILE).unlink(missing_ok=True)
    if state.spec.rank == WHOLE:
        _save_whole(tagger, state, folder)
    else:
        own = {"task_type": "TOKEN_CLS", "modules_to_save": [tagger.encoder.head]}
        save_state(state, folder, encoder_name, own)
    tags = {head: list(names) for head, names in tagger.tags.items()}
    note = {"format": 1, "encoder": encoder_name, "max_tokens": max_tokens, "tags": tags}
    # Not sorted: the first head is the model's own.
    write_atomic(folder / TAGGER_FILE, json.dumps(note, indent=2) + "\n")


def load_tagger(folder: Path, encoder: str | None = None) -> tuple[Tagger, int]:
    """The tagger of a folder that `save_tagger` wrote, and its longest row in tokens.

    encoder: a name or folder in place of the one that the folder names, for one with a LoRA. Raises AdapterError when
    the folder is incomplete or damaged, or the encoder another one.
    """
    try:
        note = json.loads((folder / TAGGER_FILE).read_text(encoding="utf-8"))
        tags = {str(head): tuple(map(str, names)) for head, names in note["tags"].items()}
        name, max_tokens = str(note["encoder"]), int(note["max_tokens"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(
            f"{folder / TAGGER_FILE}: not readable ({type(error).__name__}). Give a folder as a run leaves it."
        ) from error
    if not (folder / CONFIG_FILE).exists():
        return _load_whole(folder, tags), max_tokens
    state = load_state(folder, expected_base_digest=None)
    loaded = load_encoder(encoder or name)
    tagger = make_tagger(loaded, tags, Lora(state.spec.rank, state.spec.alpha))
    if tagger.base_digest != state.spec.base_digest:
        raise AdapterError(
            f"{folder}: it was trained on another encoder than '{loaded.name}', or for other labels. Name its own "
            "encoder with --base."
        )
    tagger.write(state)
    return tagger, max_tokens


def load_tagger_state(folder: Path) -> AdapterState:
    """The state alone of a folder that `save_tagger` wrote. Raises AdapterError when it is incomplete or damaged."""
    if (folder / CONFIG_FILE).exists():
        return load_state(folder, expected_base_digest=None)
    try:
        note = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        spec, digest = AdapterSpec.from_json(note["spec"]), note["digest"]
        arrays = {**read_tensors((folder / MODEL_FILE).read_bytes())}
        arrays |= read_tensors((folder / HEADS_FILE).read_bytes())
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise AdapterError(f"{folder}: incomplete or damaged ({type(error).__name__}). Save it again.") from error
    state = AdapterState(arrays, spec)
    if state.digest != digest:
        raise AdapterError(f"{folder}: its weights do not match {SPEC_FILE}; they were changed or damaged.")
    return state


def _save_whole(tagger: Tagger, state: AdapterState, folder: Path) -> None:
    tagger.write(state)
    folder.mkdir(parents=True, exist_ok=True)
    tagger.trunk.save_pretrained(folder)
    tagger.encoder.tokenizer.hub.save_pretrained(folder)
    beside = {name: np.array(array) for name, array in state.arrays.items() if name.startswith("beside.")}
    write_atomic(folder / HEADS_FILE, write_tensors(beside))
    note = {"format": 1, "spec": state.spec.to_json(), "digest": state.digest}
    write_atomic(folder / SPEC_FILE, json.dumps(note, indent=2, sort_keys=True) + "\n")


def _load_whole(folder: Path, tags: Mapping[str, tuple[str, ...]]) -> Tagger:
    state = load_tagger_state(folder)
    # The weights are those that were trained, so what they were trained from is known by its digest alone.
    tagger = replace(make_tagger(load_encoder(str(folder)), tags, lora=None), spec=state.spec)
    tagger.write(state)
    return tagger
