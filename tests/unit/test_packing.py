"""Packed rows against separate ones: the same loss, the same gradient, on every kind of base; else no packing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    MambaConfig,
    MambaForCausalLM,
)

import tiny
from fedmedlora.adapters.attention import NAME, example_mask, packed_positions, use_packed_attention
from fedmedlora.adapters.fused import FusedLinear
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.state import AdapterState
from fedmedlora.errors import TrainingError
from fedmedlora.markup.encode import Encoder
from fedmedlora.training.batch import Corpus, collate, epoch_batches, prepare, split_batch
from fedmedlora.training.budget import affordable_tokens, kept_bytes_per_token
from fedmedlora.training.causal import fit, validation_loss
from fedmedlora.training.examples import make_examples
from fedmedlora.training.loop import LossSum, Schedule, TrainSettings
from fedmedlora.training.objective import Objective, summed_loss

KINDS: tuple[tiny.Kind, ...] = ("llama", "qwen2", "qwen3", "neox", "gpt2", "mistral")
ENOUGH = 10**6


def make_adapted(kind: tiny.Kind = "llama", dropout: float = 0.0) -> Adapted:
    """A tiny base with an adapter that is not zero, so that every weight has a gradient."""
    adapted = attach_lora(tiny.make_base(kind), rank=2, alpha=8, dropout=dropout, seed=1)
    draw = np.random.default_rng(5)
    arrays = {name: array + 0.1 * draw.normal(size=array.shape) for name, array in adapted.fresh(1).arrays.items()}
    adapted.write(AdapterState({name: array.astype(np.float32) for name, array in arrays.items()}, adapted.spec))
    return adapted


def make_corpus(adapted: Adapted) -> Corpus:
    encoder = Encoder(adapted.base.tokenizer, tiny.LABELS)
    return prepare(make_examples(tiny.notes(), encoder, ("ner", "re")).examples)


def gradients(adapted: Adapted, corpus: Corpus, objective: Objective, *, packed: bool) -> tuple[float, list[Tensor]]:
    """Loss and gradient over the whole corpus, pack by pack."""
    adapted.model.zero_grad()
    total = 0.0
    for part in split_batch(corpus, range(len(corpus)), packed=packed, most_tokens=ENOUGH):
        loss = summed_loss(adapted.readout, corpus, collate(corpus, part, pad_id=2, packed=packed), objective)
        loss.backward()
        total += loss.item()
    found = [parameter.grad for parameter in adapted.parameters]
    return total, [gradient.clone() for gradient in found if gradient is not None]


@pytest.mark.parametrize("objective", ["mixed", "choice", "lm"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_row_gives_the_loss_and_gradient_of_separate_rows(kind: tiny.Kind, objective: Objective) -> None:
    adapted = make_adapted(kind)
    assert adapted.packed
    corpus = make_corpus(adapted)
    prefixes = {example.group: example.prefix for example in corpus.examples}
    assert len(prefixes) >= 3
    assert min(prefixes.values()) > 10
    loss, packed = gradients(adapted, corpus, objective, packed=True)
    expected, plain = gradients(adapted, corpus, objective, packed=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(packed) == len(plain) == len(adapted.parameters)
    for found, wanted in zip(packed, plain, strict=True):
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_packing_reads_the_instructions_once() -> None:
    adapted = make_adapted()
    corpus = make_corpus(adapted)
    for part in split_batch(corpus, range(len(corpus)), packed=True, most_tokens=ENOUGH):
        examples = [corpus.examples[index] for index in part]
        assert len({tuple(example.ids[: example.prefix]) for example in examples}) == 1
        row = collate(corpus, part, pad_id=2, packed=True)
        width = max(len(example.ids) for example in examples) - 1 - examples[0].prefix
        assert row.ids.shape == (1, examples[0].prefix + len(part) * width)
        assert row.mask.shape == (1, 1, width, examples[0].prefix + width)
    with pytest.raises(ValueError, match="different instructions"):
        collate(corpus, range(len(corpus)), pad_id=2, packed=True)


@pytest.mark.parametrize("packed", [True, False])
def test_no_pack_exceeds_its_tokens_and_none_is_lost(packed: bool) -> None:
    adapted = make_adapted()
    corpus = make_corpus(adapted)
    longest = max(len(example.ids) for example in corpus.examples)
    for most in (longest, 2 * longest, 777, ENOUGH):
        parts = split_batch(corpus, range(len(corpus)), packed=packed, most_tokens=most)
        assert sorted(index for part in parts for index in part) == list(range(len(corpus)))
        for part in parts:
            assert collate(corpus, part, pad_id=2, packed=packed).ids.numel() <= most
            lengths = [len(corpus.examples[index].ids) for index in part]
            assert lengths == sorted(lengths, reverse=True)
    with pytest.raises(TrainingError, match="pack_tokens"):
        split_batch(corpus, range(len(corpus)), packed=packed, most_tokens=40)


def test_small_packs_train_as_large_ones() -> None:
    adapted = make_adapted()
    corpus = make_corpus(adapted)
    start = adapted.read()
    found = []
    for settings in (
        TrainSettings(lr=0.01, batch_size=8),
        TrainSettings(lr=0.01, batch_size=8, pack_tokens=170),
    ):
        adapted.write(start)
        fit(adapted, corpus, settings, Schedule(0, 100, 0.0), seed="packs")
        found.append(adapted.read())
    for name, array in found[0].arrays.items():
        np.testing.assert_allclose(found[1].arrays[name], array, atol=2e-4)
    assert any(not np.array_equal(found[0].arrays[name], start.arrays[name]) for name in start.arrays)


@pytest.mark.parametrize("kind", KINDS)
def test_validation_is_the_same_packed(kind: tiny.Kind) -> None:
    adapted = make_adapted(kind)
    corpus = make_corpus(adapted)
    packed = validation_loss(adapted, corpus, TrainSettings())
    plain = validation_loss(replace(adapted, packed=False), corpus, TrainSettings())
    assert packed == LossSum(pytest.approx(plain.nats, rel=1e-5), plain.target_tokens)


def test_batches_of_groups_are_of_one_group_but_for_what_is_left() -> None:
    lengths, groups = list(range(50, 0, -1)), [0] * 21 + [1] * 3 + [2] * 26
    batches = epoch_batches(lengths, 4, "seed", groups)
    assert sorted(index for batch in batches for index in batch) == list(range(50))
    assert len(batches) == len(epoch_batches(lengths, 4, "seed")) == 13
    mixed = [batch for batch in batches if len({groups[index] for index in batch}) > 1]
    # 21 = 5 · 4 + 1, 3 and 26 = 6 · 4 + 2: six are left over.
    assert sum(len(batch) for batch in batches if len({groups[index] for index in batch}) == 1) >= 44
    assert len(mixed) <= 2
    assert batches != epoch_batches(lengths, 4, "another", groups)


def gemma3(window: int) -> nn.Module:
    """Sliding and full layers in turn."""
    config = Gemma3TextConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=window,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    return Gemma3ForCausalLM(config).eval()


def states_of(model: nn.Module, prefix: int, widths: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """Every example's states, packed and alone."""
    width = max(widths)
    ids = torch.randint(0, 97, (prefix + width * len(widths),), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        row = model.base_model(
            input_ids=ids[None],
            attention_mask=example_mask(prefix, width),
            position_ids=packed_positions(prefix, width, len(widths)),
        ).last_hidden_state[0]
        for number, own in enumerate(widths):
            first = prefix + number * width
            alone = torch.cat([ids[:prefix], ids[first : first + own]])[None]
            yield row[first : first + own], model.base_model(input_ids=alone).last_hidden_state[0, prefix:]


@pytest.mark.parametrize("window", [3, 9, 16, 30, 400])
def test_windows_are_kept_in_packed_rows(window: int) -> None:
    model = gemma3(window)
    assert use_packed_attention(model)
    for packed, alone in states_of(model, 12, (9, 14, 5)):
        assert torch.allclose(packed, alone, rtol=1e-4, atol=1e-5)


def test_an_architecture_that_gives_other_states_is_left_alone_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    capped = Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
        )
    ).eval()
    with caplog.at_level(logging.WARNING):
        assert not use_packed_attention(capped)
    assert capped.config._attn_implementation != NAME
    assert "cannot share their instructions" in caplog.text
    recurrent = MambaForCausalLM(MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2)).eval()
    assert not use_packed_attention(recurrent)


def test_a_probe_that_differs_turns_packing_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedmedlora.adapters.attention._over_prefix", lambda query, *_: query.transpose(1, 2)[:, :11])
    base = tiny.make_base("llama")
    with caplog.at_level(logging.WARNING):
        assert not attach_lora(base, rank=2).packed
    assert base.model.config._attn_implementation == "sdpa"
    assert "other states" in caplog.text


def test_a_base_that_cannot_pack_trains_all_the_same() -> None:
    adapted = make_adapted()
    corpus = make_corpus(adapted)
    alone = replace(adapted, packed=False)
    start = adapted.read()
    losses = []
    for each in (adapted, alone):
        each.write(start)
        # One batch: order and batches depend on packing.
        settings = TrainSettings(lr=0.01, epochs=3, batch_size=len(corpus))
        losses.append(fit(each, corpus, settings, Schedule(0, 100, 0.0), seed="x").loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_projection_is_pefts(kind: tiny.Kind) -> None:
    adapted = make_adapted(kind)
    fused = [module for module in adapted.model.modules() if isinstance(module, FusedLinear)]
    assert bool(fused) == (kind != "gpt2")
    base = tiny.make_base(kind)
    config = LoraConfig(r=2, lora_alpha=8, target_modules=list(adapted.spec.targets), task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = get_peft_model(base.model, config).eval()
    own = dict(adapted.model.named_parameters())
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(own[name])
    ids = torch.arange(3, 63).view(3, 20)
    weights = torch.randn(3, 20, 32, generator=torch.Generator().manual_seed(2))
    for autocast in (False, True):
        outputs = []
        for model in (adapted.model, theirs):
            model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                states = model.base_model.model.base_model(input_ids=ids).last_hidden_state
            (states.float() * weights).sum().backward()
            outputs.append((states.detach().float(), [p.grad for p in model.parameters() if p.requires_grad]))
        (ours, mine), (expected, wanted) = outputs
        tolerance = 5e-2 if autocast else 1e-5
        assert (ours - expected).abs().max() <= tolerance * expected.abs().max()
        for found, gradient in zip(mine, wanted, strict=True):
            assert found is not None
            assert gradient is not None
            assert (found - gradient).abs().max() <= 2 * tolerance * gradient.abs().max()


def test_dropout_and_disabled_adapters_go_pefts_way() -> None:
    adapted = make_adapted(dropout=0.5)
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        even = adapted.readout.hidden(ids).states
        assert torch.equal(adapted.readout.hidden(ids).states, even)
        adapted.model.train()
        assert not torch.allclose(adapted.readout.hidden(ids).states, even)
        adapted.model.eval()
        with adapted.model.disable_adapter():
            without = adapted.readout.hidden(ids).states
        assert not torch.allclose(without, even)
        adapted.write(adapted.fresh(0))
        assert torch.allclose(adapted.readout.hidden(ids).states, without)


def test_a_longer_vocabulary_goes_through_the_head_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = make_adapted()
    corpus = make_corpus(adapted)
    whole, expected = gradients(adapted, corpus, "lm", packed=True)
    seen: list[int] = []
    logits = type(adapted.readout).logits

    def counted(self: object, states: Tensor) -> Tensor:
        seen.append(len(states))
        return logits(adapted.readout, states)

    monkeypatch.setattr("fedmedlora.training.objective._CHUNK_LOGITS", 7 * adapted.readout.weight.shape[0])
    monkeypatch.setattr(type(adapted.readout), "logits", counted)
    parts, found = gradients(adapted, corpus, "lm", packed=True)
    assert max(seen) == 7
    assert sum(seen) == corpus.target_tokens
    assert parts == pytest.approx(whole, rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def test_the_token_budget_follows_from_what_a_token_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = make_adapted()
    adapted.model.train()
    cost = kept_bytes_per_token(adapted, bf16=False)
    # At least the states that each of two layers keeps, of 32 floats; at most a few hundred of them.
    assert 2 * 32 * 4 <= cost <= 300 * 2 * 32 * 4
    found = []
    for gigabytes in (0.0001, 0.1, 0.5, 1000):
        monkeypatch.setattr("fedmedlora.training.budget.total_memory", lambda size=gigabytes: int(size * 2**30))
        found.append(affordable_tokens(adapted, bf16=False))
    assert found[0] == 1024
    assert found[-1] == 32768
    assert all(before <= after and after & (after - 1) == 0 for before, after in pairwise(found))
    # Recomputing activations leaves less to keep.
    adapted.base.model.activation_checkpointing_enable({"use_reentrant": False})
    adapted.base.model.disable_input_require_grads()
    assert kept_bytes_per_token(adapted, bf16=False) < cost / 3
    adapted.base.model.activation_checkpointing_disable()
