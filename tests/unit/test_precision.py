"""Precision: bfloat16 where the machine computes in it, float32 elsewhere, however the base is stored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from fedmedlora.adapters import precision
from fedmedlora.adapters.base import BUNDLED, load_base
from fedmedlora.adapters.precision import autocast, has_bfloat16, precision_name, working_dtype

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


@pytest.fixture(autouse=True)
def _ask_anew() -> Iterator[None]:
    has_bfloat16.cache_clear()
    yield
    has_bfloat16.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, *instructions: str) -> None:
    """A processor with these instructions and no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, **dict.fromkeys(instructions, True)})


def product() -> torch.dtype:
    with autocast(True):
        return torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype


def test_a_processor_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert (product(), precision_name(), working_dtype()) == (torch.float32, "float32", torch.float32)
    assert load_base(BUNDLED, dtype=working_dtype()).model.dtype == torch.float32


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_a_processor_with_bfloat16_uses_it(monkeypatch: pytest.MonkeyPatch, instruction: str) -> None:
    pretend(monkeypatch, instruction)
    assert (product(), precision_name(), working_dtype()) == (torch.bfloat16, "bfloat16", None)
    assert load_base(BUNDLED, dtype=working_dtype()).model.dtype == torch.bfloat16


def test_float32_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, *INSTRUCTIONS)
    assert (precision_name(False), working_dtype(False)) == ("float32", torch.float32)
    with autocast(False):
        assert not torch.is_autocast_enabled("cpu")


def test_emulation_on_a_gpu_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not precision.has_bfloat16()
    assert asked == [False]
