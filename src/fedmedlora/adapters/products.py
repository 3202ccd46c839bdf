"""Attention in training on a processor with bfloat16: two batched products and a softmax, the probabilities kept.

PyTorch's kernel for processors computes its backward pass in bfloat16 several times slower than these products: 50 ms
against 13 ms for 16 rows of 128 tokens and 4 heads of 64 on one core with AMX. It keeps no probabilities, which only
long rows would miss.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fedmedlora.errors import TrainingError

LONGEST = 512
"""Keys up to which probabilities are kept: 1 KiB for every query and head."""

# Finite, so that a query without any key gives no NaN; exp of it is 0 beside any real score.
_NOTHING = -1e30


def products_are_quicker(query: Tensor, key: Tensor, dropout: float) -> bool:
    """Whether a pass should go this way: with gradient, in bfloat16 on a processor, few keys, no dropout."""
    return (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and key.dtype == torch.bfloat16
        and key.shape[2] <= LONGEST
        and not dropout
        and torch.is_grad_enabled()
        and (query.requires_grad or key.requires_grad)
    )


def attention_by_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None = None
) -> Tensor:
    """Masked dot-product attention. → [rows, heads, queries, width].

    query: [rows, heads, queries, width]; key, value: [rows, shared, keys, width], `heads` a multiple of `shared`.
    mask: bool, True where a query sees a key, [rows or 1, 1, queries, keys]. scaling: of the scores; None: 1/√width.
    Raises TrainingError on a mask that is not bool.
    """
    if mask.dtype != torch.bool:
        raise TrainingError(f"attention by products got a mask of {mask.dtype}; expected bool.")
    scale = 1.0 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    found: Tensor = _Products.apply(query, key, value, mask, scale)  # type: ignore[no-untyped-call]
    return found


class _Products(torch.autograd.Function):
    """softmax(s Q Kᵀ) V with gradients for Q, K and V. Heads that share keys are laid side by side as more queries."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
        rows, heads, queries, width = query.shape
        shared, keys = key.shape[1:3]
        asking = query.reshape(rows * shared, -1, width)
        held, given = (part.reshape(rows * shared, keys, -1) for part in (key, value))
        scores = torch.bmm(asking, held.transpose(1, 2))
        by_head = scores.view(rows, heads, queries, keys)
        by_head.mul_(scale).masked_fill_(~mask, _NOTHING)
        shares = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(asking, held, given, shares)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape, value.shape)
        return torch.bmm(shares, given).view(rows, heads, queries, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        asking, held, given, shares = ctx.saved_tensors
        of_query, of_key, of_value = ctx.shapes
        gradient = gradients[0].reshape(asking.shape[0], asking.shape[1], -1)
        to_value = torch.bmm(shares.transpose(1, 2), gradient)
        of_shares = torch.bmm(gradient, given.transpose(1, 2))
        # The softmax's own derivative, as PyTorch computes it; what no query sees has share 0 and so gradient 0.
        scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype).mul_(ctx.scale)
        return (
            torch.bmm(scores, held).view(of_query),
            torch.bmm(scores.transpose(1, 2), asking).view(of_key),
            to_value.view(of_value),
            None,
            None,
        )
