"""LoRA on tiny models of several architectures: where it attaches, how it is read, written and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from fedmedlora.adapters.base import Base, load_base
from fedmedlora.adapters.lora import Adapted, attach_lora, linear_targets
from fedmedlora.adapters.state import AdapterState, load_state, save_state
from fedmedlora.errors import AdapterError, BaseModelError

IDS = torch.tensor([[0, 5, 9, 33, 7, 120, 64], [0, 8, 8, 3, 71, 2, 2]])
GATED = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def noisy(adapted: Adapted, seed: int = 0, scale: float = 0.1) -> AdapterState:
    """An adapter that changes the logits: both A and B random."""
    draw = np.random.default_rng(seed)
    shapes = adapted.fresh(0).shapes
    arrays = {name: (scale * draw.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    return AdapterState(arrays, adapted.spec)


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("llama", GATED),
        ("qwen2", GATED),
        ("qwen3", GATED),
        ("neox", ("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value")),
        ("gpt2", ("c_attn", "c_fc", "c_proj")),
    ],
)
def test_every_projection_is_adapted_and_a_fresh_adapter_changes_nothing(
    kind: tiny.Kind, targets: tuple[str, ...]
) -> None:
    base = tiny.make_base(kind)
    before = logits(base.model)
    assert linear_targets(base.model) == targets
    adapted = attach_lora(base, rank=2, alpha=8)
    assert adapted.spec.targets == targets
    # Two arrays for each projection of two layers; gpt2's c_proj is one of attention and one of the MLP.
    projections = 2 * (4 if kind == "gpt2" else len(targets))
    assert len(adapted.fresh(0).arrays) == 2 * projections
    assert torch.equal(logits(base.model), before)
    # Written, an adapter changes the logits; the fresh one brings them back.
    adapted.write(noisy(adapted))
    assert not torch.allclose(logits(base.model), before, atol=1e-3)
    assert adapted.read() == noisy(adapted)
    adapted.write(adapted.fresh(7))
    assert torch.equal(logits(base.model), before)
    trainable = [parameter for parameter in base.model.parameters() if parameter.requires_grad]
    assert len(trainable) == len(adapted.parameters) == 2 * projections


def test_what_is_read_out_does_not_change_with_the_model() -> None:
    adapted = attach_lora(tiny.make_base(), rank=2)
    state = adapted.read()
    digest = state.digest
    with torch.no_grad():
        for parameter in adapted.parameters:
            parameter += 1
    assert AdapterState(dict(state.arrays), state.spec).digest == digest
    assert adapted.read().digest != digest


def test_a_fresh_adapter_follows_from_its_seed() -> None:
    adapted = attach_lora(tiny.make_base(), rank=4, seed=3)
    assert adapted.read() == adapted.fresh(3)
    assert adapted.fresh(3) != adapted.fresh(4)
    # Another instance of the same base gives the same; what ran before does not matter.
    torch.manual_seed(99)
    assert attach_lora(tiny.make_base(), rank=4).fresh(3) == adapted.fresh(3)
    for name, array in adapted.fresh(3).arrays.items():
        if ".lora_B." in name:
            assert not array.any()
        else:
            # Kaiming-uniform with a = √5: within 1 / √columns.
            bound = 1 / np.sqrt(array.shape[1])
            assert 0.5 * bound < np.abs(array).max() <= bound


def test_the_global_seed_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    attach_lora(tiny.make_base(), rank=2).fresh(5)
    assert torch.equal(torch.rand(3), expected)


def test_an_adapter_that_does_not_fit() -> None:
    adapted = attach_lora(tiny.make_base(), rank=2)
    before = adapted.read()
    other = attach_lora(tiny.make_base(seed=1), rank=2)
    with pytest.raises(AdapterError, match="another base model"):
        adapted.write(other.fresh(0))
    with pytest.raises(AdapterError, match="its rank is 4, expected 2"):
        adapted.write(attach_lora(tiny.make_base(), rank=4).fresh(0))
    with pytest.raises(AdapterError, match="is missing"):
        adapted.write(before.select(lambda name: "layers.0" in name))
    assert adapted.read() == before


def test_a_base_carries_one_adapter() -> None:
    base = tiny.make_base()
    attach_lora(base, rank=2)
    with pytest.raises(BaseModelError, match="already carries a LoRA"):
        attach_lora(base, rank=2)


def test_a_base_in_bfloat16_gets_a_float32_adapter() -> None:
    base = tiny.make_base()
    half = Base(base.name, base.model.to(torch.bfloat16), base.tokenizer, base.digest)
    adapted = attach_lora(half, rank=2)
    assert {parameter.dtype for parameter in adapted.parameters} == {torch.float32}
    assert adapted.read() == adapted.fresh(0)


@pytest.mark.parametrize("kind", ["llama", "neox", "gpt2"])
def test_peft_loads_what_was_saved_also_after_training(kind: tiny.Kind, tmp_path: Path) -> None:
    folder = tiny.save_base(tmp_path / "base", kind)
    base = load_base(str(folder))
    adapted = attach_lora(base, rank=2, alpha=8, seed=1)
    optimizer = torch.optim.AdamW(adapted.parameters, lr=0.01)
    for _ in range(3):
        adapted.model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    state = adapted.read()
    save_state(state, tmp_path / "adapter", str(folder))
    assert load_state(tmp_path / "adapter", base.digest) == state
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    untrained = logits(plain)
    loaded = tiny.quietly_load_peft(plain, tmp_path / "adapter")
    assert not torch.allclose(logits(loaded), untrained, atol=1e-3)
    assert torch.allclose(logits(loaded), logits(base.model), atol=1e-6, rtol=1e-6)
