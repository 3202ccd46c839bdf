"""Attention without padding: over packed rows in training, over slots of kept keys and values in decoding.

A packed row is [prefix | example 0 | example 1 | …], the examples padded on the right to one width. Every query of an
example attends to the prefix and, causally, to its own example, so keys and scores are formed for these alone: blocks
of one prefix and one example, never a mask or a product over the whole row. The row's form travels as the attention
mask of one example, [1, 1, width, prefix + width], which no plain pass has.

A pass over slots is one row that holds what several slots read, one after the other. Keys and values come as the slots'
storage, and a table of integers in place of the mask says which tokens are whose.

Plain passes go on to Transformers' SDPA attention.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from fedmedlora.adapters.products import attention_by_products as products
from fedmedlora.adapters.products import products_are_quicker as _products_are_quicker
from fedmedlora.errors import BaseModelError

_log = logging.getLogger(__name__)

NAME = "fedmedlora"
"""What Transformers knows this attention by."""

_PROBE_PREFIX, _PROBE_LENGTHS = 11, (7, 10, 4)
_LONGEST_PROBED_WINDOW = 512


def example_mask(prefix: int, width: int, device: torch.device | None = None) -> Tensor:
    """What one example of a packed row sees: the prefix, and itself up to each token. Bool [1, 1, width, prefix+width].

    Raises ValueError without a prefix: a packed row needs one.
    """
    if prefix < 1:
        raise ValueError("a packed row needs a prefix of at least one token")
    return torch.ones(width, prefix + width, dtype=torch.bool, device=device).tril(prefix)[None, None]


def packed_positions(prefix: int, width: int, examples: int, device: torch.device | None = None) -> Tensor:
    """Positions of a packed row: every example goes on where the prefix ends. [1, prefix + examples · width]."""
    own = torch.arange(prefix, prefix + width, device=device).repeat(examples)
    return torch.cat([torch.arange(prefix, device=device), own])[None]


def slot_layout(slots: Sequence[int], counts: Sequence[int], starts: Sequence[int]) -> Tensor:
    """What a pass over slots brings as its mask: slot, first token in the pass, count, position of the first token.

    One entry of each argument for every slot that reads. Integers [1, 1, slots, 4].
    """
    firsts = [0, *accumulate(counts)][:-1]
    return torch.tensor(list(zip(slots, firsts, counts, starts, strict=True)))[None, None]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers' models call it. query: [rows, heads, columns, width]; key, value: fewer heads.

    In a pass over slots, key and value are [slots, fewer heads, capacity, width], what is read already among them.

    Returns [rows, columns, heads, width]. Raises ValueError on a variant that packed rows cannot follow (capped scores,
    sinks).
    """
    over_slots = attention_mask is not None and attention_mask.dim() == 4 and attention_mask.dtype == torch.long
    if not over_slots and (
        attention_mask is None or attention_mask.dim() != 4 or attention_mask.shape[-2] == query.shape[2]
    ):
        if attention_mask is not None and _products_are_quicker(query, key, dropout):
            return products(query, key, value, attention_mask, scaling).transpose(1, 2), None
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return plain
    if any(others.get(name) is not None for name in ("softcap", "s_aux", "position_bias")):
        raise ValueError("packed rows and slots know plain dot-product attention only")
    assert attention_mask is not None
    if over_slots:
        by_slots = _slot_by_slot if query.device.type == "cpu" else _slots_at_once
        return by_slots(query, key, value, attention_mask[0, 0], scaling, sliding_window), None
    width, seen = attention_mask.shape[-2:]
    mask = attention_mask
    if sliding_window is not None and sliding_window < seen:
        mask = mask & mask.new_ones(width, seen).triu(seen - width - sliding_window + 1)
    before = _over_prefix(query, key, value, seen - width, dropout, scaling, sliding_window)
    after = _over_examples(query, key, value, mask, dropout, scaling)
    return torch.cat([before, after], dim=1), None


def _over_prefix(
    query: Tensor, key: Tensor, value: Tensor, prefix: int, dropout: float, scaling: float | None, window: int | None
) -> Tensor:
    """Causal attention within the prefix. → [1, prefix, heads, width]."""
    groups = query.shape[1] // key.shape[1]
    keys, values = (part[:, :, :prefix].repeat_interleave(groups, dim=1) for part in (key, value))
    mask = None
    if window is not None and window < prefix:
        mask = torch.ones(prefix, prefix, dtype=torch.bool, device=query.device).tril().triu(1 - window)
    found = scaled_dot_product_attention(
        query[:, :, :prefix], keys, values, mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
    )
    return found.transpose(1, 2)


def _over_examples(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, scaling: float | None
) -> Tensor:
    """Each example's attention to the prefix and itself. → [1, examples · width, heads, width of a head].

    Heads that share keys are laid side by side as more queries, so that no key is copied for them.
    """
    width, seen = mask.shape[-2:]
    prefix = seen - width
    heads, shared = query.shape[1], key.shape[1]
    groups = heads // shared
    examples = (query.shape[2] - prefix) // width
    asking = query[0, :, prefix:].view(shared, groups, examples, width, -1).permute(2, 0, 1, 3, 4)
    asking = asking.reshape(examples, shared, groups * width, -1)
    keys, values = (_with_prefix(part, prefix, examples) for part in (key, value))
    mask = mask.repeat(1, 1, groups, 1)
    if _products_are_quicker(asking, keys, dropout):
        found = products(asking, keys, values, mask, scaling)
    else:
        found = scaled_dot_product_attention(asking, keys, values, mask, dropout_p=dropout, scale=scaling)
    found = found.view(examples, shared, groups, width, -1).permute(0, 3, 1, 2, 4)
    return found.reshape(1, examples * width, heads, -1)


def _with_prefix(part: Tensor, prefix: int, examples: int) -> Tensor:
    """Keys or values of each example after those of the prefix: [examples, heads, prefix + width, width of a head]."""
    own = part[0, :, prefix:].unflatten(1, (examples, -1)).transpose(0, 1)
    return torch.cat([part[:, :, :prefix].expand(examples, -1, -1, -1), own], dim=2)


def _slot_by_slot(
    query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None, window: int | None
) -> Tensor:
    """Each slot's tokens against its own keys alone. → [1, tokens, heads, width of a head]."""
    _, heads, tokens, size = query.shape
    shared = key.shape[1]
    found = query.new_empty(1, tokens, heads, size)
    for slot, first, count, start in layout.tolist():
        seen = start + count
        least = 0 if window is None else max(0, start - window + 1)
        asking = query[0, :, first : first + count].reshape(1, shared, heads // shared * count, size)
        keys, values = (part[slot, :, least:seen][None].to(query.dtype) for part in (key, value))
        mask = None
        if count > 1:
            mask = torch.ones(count, seen - least, dtype=torch.bool).tril(start - least)
            if window is not None:
                mask = mask.triu(start - least - window + 1)
            mask = mask.repeat(heads // shared, 1)
        out = scaled_dot_product_attention(asking, keys, values, mask, scale=scaling)
        found[0, first : first + count] = out.reshape(heads, count, size).transpose(0, 1)
    return found


def _slots_at_once(
    query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None, window: int | None
) -> Tensor:
    """The same, padded to the longest: one call, where starting one costs more than what it computes."""
    slots, firsts, counts, starts = layout.unbind(dim=1)
    heads, shared = query.shape[1], key.shape[1]
    width, seen = int(counts.max()), int((starts + counts).max())
    columns = torch.arange(width, device=query.device)
    held = columns < counts[:, None]
    asking = query[0][:, (firsts[:, None] + columns).clamp(max=query.shape[2] - 1)].transpose(0, 1)
    positions = starts[:, None] + columns
    places = torch.arange(seen, device=query.device)
    mask = places <= positions[..., None]
    if window is not None:
        mask &= places > positions[..., None] - window
    keys, values = (
        part[slots, :, :seen].to(query.dtype).repeat_interleave(heads // shared, dim=1) for part in (key, value)
    )
    # Padding looks where the first token may: nowhere at all would give no number.
    mask = torch.where(held[..., None], mask, mask[:, :1])
    out = scaled_dot_product_attention(asking, keys, values, mask[:, None], scale=scaling)
    return out.transpose(1, 2)[held][None]


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def use_packed_attention(model: PreTrainedModel) -> bool:
    """Let the model read packed rows, if a probe shows that they give what separate rows give; True if so.

    Call it while an attached adapter still changes nothing. Architectures with a recurrent state, capped scores or
    chunked attention keep what they had, with a warning: their training then reads the instructions with every example.
    """
    config = model.config
    before = config._attn_implementation
    reason = _cannot(model)
    if reason is None:
        config._attn_implementation = NAME
        reason = _differs(model)
    if reason is None:
        return True
    config._attn_implementation = before
    _log.warning("%s: examples cannot share their instructions (%s); training is slower", type(model).__name__, reason)
    return False


def _cannot(model: PreTrainedModel) -> str | None:
    config = model.config
    if config._attn_implementation not in ("sdpa", NAME):
        return f"its attention is '{config._attn_implementation}', not 'sdpa'"
    if getattr(config, "attention_chunk_size", None) is not None:
        return "its attention is chunked"
    return None


def _differs(model: PreTrainedModel) -> str | None:
    """Why a probe's packed states are not those of separate rows; None where they are."""
    embeddings = model.get_input_embeddings().weight
    assert isinstance(embeddings, Tensor)
    device, vocabulary = embeddings.device, embeddings.shape[0]
    window = getattr(model.config, "sliding_window", None) or 0
    prefix = _PROBE_PREFIX + (window if window <= _LONGEST_PROBED_WINDOW else 0)
    tokens = torch.arange(prefix + sum(_PROBE_LENGTHS), device=device) * 13 % vocabulary
    shared, *own = tokens.split([prefix, *_PROBE_LENGTHS])
    width = max(_PROBE_LENGTHS)
    row = torch.cat([shared, *(nn.functional.pad(part, (0, width - len(part))) for part in own)])[None]
    with torch.inference_mode():
        try:
            packed = model.base_model(
                input_ids=row,
                attention_mask=example_mask(prefix, width, device),
                position_ids=packed_positions(prefix, width, len(own), device),
                use_cache=False,
            ).last_hidden_state[0]
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, BaseModelError) as error:
            return f"its code does not take them: {type(error).__name__}"
        for number, part in enumerate(own):
            plain = model.base_model(input_ids=torch.cat([shared, part])[None], use_cache=False).last_hidden_state[0]
            first = prefix + number * width
            found = torch.cat([packed[:prefix], packed[first : first + len(part)]]).float()
            tolerance = 1e-4 if plain.dtype == torch.float32 else 5e-2
            if not torch.allclose(found, plain.float(), rtol=tolerance, atol=tolerance * float(plain.abs().max())):
                return "they give other states"
    return None
