"""The frozen base model: loading it by path or name, checking it at the door, and its digest."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from fedmedlora.errors import BaseModelError, EnvironmentProblem
from fedmedlora.record import digest_bytes, digest_json

BUNDLED = "bundled"
"""The name of the base model that comes with the package."""

# From glibc's malloc.h; blocks above the size still go back to the system at once.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
_KEPT_PRIMITIVES = "64"

_RUNTIME_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "_attn_implementation")


@dataclass(frozen=True)
class FastTokenizer:
    """A fast Hugging Face tokenizer as plain values; satisfies `markup.encode.SourceTokenizer`."""

    hub: PreTrainedTokenizerBase

    @cached_property
    def digest(self) -> str:
        """SHA-256 over vocabulary and rules."""
        return tokenizer_digest(self.hub)

    @cached_property
    def end_id(self) -> int:
        """The end-of-sequence token."""
        return int(self.hub.eos_token_id)

    @cached_property
    def begin_ids(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text: a BOS token or nothing."""
        alone = list(self.hub("").input_ids)
        return tuple(token for token in alone if token != self.hub.eos_token_id or token == self.hub.bos_token_id)

    @cached_property
    def pad_id(self) -> int:
        """A token to fill batches with; the end token where the tokenizer has no padding token."""
        return int(self.hub.pad_token_id if self.hub.pad_token_id is not None else self.hub.eos_token_id)

    def tokens(self, text: str) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        """Token ids and their character offsets, nothing added."""
        found = self.hub(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return tuple(found["input_ids"]), tuple((start, end) for start, end in found["offset_mapping"])

    def text(self, ids: list[int]) -> str:
        """Decode ids as they stand, special tokens left out."""
        return str(self.hub.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@dataclass(frozen=True)
class Base:
    """A base model in memory. Nothing changes its weights.

    name: what the user called it. digest: SHA-256 over its configuration and weights, in their stored precision.
    """

    name: str
    model: PreTrainedModel
    tokenizer: FastTokenizer
    digest: str

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones once."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def bundled_path() -> Path:
    """The folder of the bundled base model."""
    return Path(str(files("fedmedlora").joinpath("base")))


def load_base(name: str, *, dtype: torch.dtype | None = None) -> Base:
    """Load a causal language model and its fast tokenizer, frozen, in evaluation mode, on the GPU where there is one.

    name: "bundled", a folder, or a hub name (from the local cache when the machine is offline).
    dtype: precision to hold the weights in; None keeps the stored one. The digest is of the stored one either way.
    Raises BaseModelError when a folder, configuration, tokenizer or the weights are missing or unusable.
    """
    where = str(bundled_path()) if name == BUNDLED else name
    folder = Path(where)
    if _looks_like_path(where) and not folder.is_dir():
        raise BaseModelError(
            f"base model '{name}': no such folder. Give a folder with config.json, weights and tokenizer."
        )
    tokenizer = _load_tokenizer(name, where)
    bound_primitive_caches()
    keep_freed_memory()
    model = _load_model(name, where)
    embeddings = model.get_input_embeddings().weight
    assert isinstance(embeddings, torch.Tensor)
    vocabulary = embeddings.shape[0]
    if len(tokenizer.hub) > vocabulary:
        raise BaseModelError(
            f"base model '{name}': the tokenizer has {len(tokenizer.hub)} tokens but the model only {vocabulary}. "
            "Tokenizer and weights are not of one model."
        )
    model.requires_grad_(False)
    model.eval()
    digest = model_digest(model)
    # Transformers' own `to` and `cuda` are wrapped in a way that type checkers cannot follow.
    if dtype is not None:
        torch.nn.Module.to(model, dtype=dtype)
    if torch.cuda.is_available():
        torch.nn.Module.cuda(model)
    return Base(name, model, tokenizer, digest)


def usable_tokens(base: Base, wanted: int) -> int:
    """`wanted`, or as many tokens as the base can read at once where that is less. What is longer is counted out."""
    limit = getattr(base.model.config, "max_position_embeddings", None)
    return min(wanted, limit) if isinstance(limit, int) else wanted


def accelerator() -> str | None:
    """The GPU's name, or None on a machine without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _load_model(name: str, where: str) -> PreTrainedModel:
    try:
        config = AutoConfig.from_pretrained(where)
        loaded = AutoModelForCausalLM.from_pretrained(where, config=config, dtype="auto", output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(
            f"base model '{name}': cannot be loaded as a causal language model ({type(error).__name__}). "
            "Expected config.json and safetensors weights of a model that AutoModelForCausalLM knows."
        ) from error
    # Transformers annotates the model alone, though it was asked for its report too.
    model, report = cast("tuple[PreTrainedModel, Mapping[str, Iterable[str]]]", loaded)
    # What the files do not hold, it makes up at random.
    missing = sorted(report["missing_keys"])
    if missing:
        raise BaseModelError(
            f"base model '{name}': config.json asks for {len(missing)} tensors that the weights lack (the first: "
            f"'{missing[0]}'). Configuration and weights are not of one model, or a file is missing."
        )
    return model


def _load_tokenizer(name: str, where: str) -> FastTokenizer:
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and not _looks_like_path(where):
            raise BaseModelError(
                f"base model '{name}': it is not in the local cache, and the hub did not give it "
                f"({type(error).__name__}). Check the name; without a network, give a folder that holds the model."
            ) from error
        raise BaseModelError(
            f"base model '{name}': no usable tokenizer ({type(error).__name__}). "
            "Put tokenizer.json and tokenizer_config.json beside config.json."
        ) from error
    if not tokenizer.is_fast:
        raise BaseModelError(
            f"base model '{name}': its tokenizer gives no character offsets. "
            "Use one with a tokenizer.json (fast tokenizer)."
        )
    if tokenizer.eos_token_id is None:
        raise BaseModelError(
            f"base model '{name}': its tokenizer names no end token (eos_token). Add one to its config."
        )
    if not tokenizer("probe", add_special_tokens=False).input_ids:
        raise BaseModelError(
            f"base model '{name}': its tokenizer turns text into nothing. Put its tokenizer.json back."
        )
    return FastTokenizer(tokenizer)


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over what a fast tokenizer does to a text: vocabulary, rules, special tokens."""
    return digest_bytes(tokenizer.backend_tokenizer.to_str().encode())


def model_digest(model: PreTrainedModel) -> str:
    """SHA-256 over architecture and weights; the same wherever a model was loaded at its own precision."""
    config = {key: value for key, value in model.config.to_dict().items() if key not in _RUNTIME_KEYS}
    parts = [digest_json(json.loads(json.dumps(config, default=str)))]
    for key, tensor in sorted(model.state_dict().items()):
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        parts.append(f"{key} {tuple(tensor.shape)} {tensor.dtype} {digest_bytes(raw.numpy().tobytes())}")
    return digest_bytes("\n".join(parts).encode())


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next batch instead of handing it back and faulting it in again.

    Every batch frees and takes tensors of a few megabytes; a tenth of the time of training on a CPU went there. True
    when the C library took the settings; elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


def bound_primitive_caches() -> None:
    """Let oneDNN and its caller keep few of the routines that they compile for every shape of a product.

    Passes differ in their number of tokens, so almost every shape is new, and the thousand that each keeps otherwise
    hold memory: 120 MB more with every site of a round, on two cores. Nothing gets slower. It has an effect until the
    first product of a process; what the user has set stays.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KEPT_PRIMITIVES)


def use_threads(threads: int | None) -> int:
    """Set how many threads arithmetic uses, since the number decides the last bits of every sum; returns it.

    None leaves what the machine offers. Raises EnvironmentProblem on less than one.
    """
    if threads is not None:
        if threads < 1:
            raise EnvironmentProblem(f"threads = {threads}: expected at least 1.")
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def _looks_like_path(where: str) -> bool:
    return where.startswith((".", "/", "~")) or Path(where).exists() or where.count("/") > 1
