"""Which precision arithmetic runs in: bfloat16 where the processor or GPU computes in it, float32 elsewhere.

A processor without bfloat16 instructions emulates them: an AVX2 one reached 0.9 GFLOP/s in bfloat16, 86 in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

# As `torch.cpu.get_capabilities` names them: x86, then ARM.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


@cache
def has_bfloat16() -> bool:
    """Whether the GPU, or the processor where there is none, has bfloat16 arithmetic."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and any(found.get(name) for name in _INSTRUCTIONS)


def working_dtype(bf16: bool = True) -> torch.dtype | None:
    """The precision to hold a base in: None, the stored one, where bfloat16 is wanted and there; else float32."""
    return None if bf16 and has_bfloat16() else torch.float32


def autocast(bf16: bool) -> AbstractContextManager[object]:
    """bfloat16 autocast where it is wanted and there, or nothing."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, dtype=torch.bfloat16) if bf16 and has_bfloat16() else nullcontext()


def precision_name(bf16: bool = True) -> str:
    """What `autocast` computes in: "bfloat16" or "float32"."""
    return "bfloat16" if bf16 and has_bfloat16() else "float32"
