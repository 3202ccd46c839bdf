"""How many tokens one forward and backward pass may hold, from the machine's memory and what a token costs the model.

The cost is measured: two probes of different length show by how much a token more enlarges what the backward pass
keeps. The machine's whole memory counts, not what is free at the moment, so that a resumed run divides its batches as
before.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.precision import autocast

_SHARE = 0.5
_PROBE_TOKENS = (32, 64)
_MOST, _LEAST = 1 << 15, 1 << 10
_LIMIT_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def affordable_tokens(adapted: Adapted, *, bf16: bool) -> int:
    """Tokens of one training pass that fit into half of the memory left beside the base: a power of two.

    At least 1,024 and at most 32,768: beyond that, no processor gains by longer passes. Call it in training mode, with
    or without activation checkpointing as it will be.
    """
    base = sum(parameter.numel() * parameter.element_size() for parameter in adapted.base.model.parameters())
    tokens = _SHARE * (total_memory() - base) / kept_bytes_per_token(adapted, bf16=bf16)
    power = 1 << max(0, int(tokens).bit_length() - 1) if tokens >= 1 else 1
    return min(_MOST, max(_LEAST, power))


def kept_bytes_per_token(adapted: Adapted, *, bf16: bool) -> float:
    """Bytes that the backward pass keeps for a token more, by a probe of the model as it stands."""
    short, long = (_kept_bytes(adapted, tokens, bf16) for tokens in _PROBE_TOKENS)
    return max(1.0, (long - short) / (_PROBE_TOKENS[1] - _PROBE_TOKENS[0]))


def total_memory() -> int:
    """Bytes of the memory that training uses: the GPU's, or the machine's as far as this process may use it."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMIT_FILES:
        try:
            found = min(found, int(path.read_text()))
        except (OSError, ValueError):
            continue
    return found


def _kept_bytes(adapted: Adapted, tokens: int, bf16: bool) -> int:
    """Bytes of the distinct tensors that one pass over so many tokens keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    alive: list[Tensor] = []
    vocabulary = adapted.readout.weight.shape[0]
    ids = (torch.arange(tokens, device=adapted.base.model.device) % vocabulary)[None]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(bf16):
        adapted.readout.hidden(ids)
    return sum(kept.values())
