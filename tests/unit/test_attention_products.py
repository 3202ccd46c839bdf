"""Attention by products against PyTorch's own, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fedmedlora.adapters.products import LONGEST, attention_by_products, products_are_quicker
from fedmedlora.errors import TrainingError


def _parts(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 6, 20, 16), (3, 2, 20, 16), (3, 2, 20, 16))
    query, key, value = (torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes)
    return query, key, value


def _mask() -> torch.Tensor:
    """Causal; the second row ends five tokens early."""
    mask = torch.ones(20, 20, dtype=torch.bool).tril()[None, None].repeat(3, 1, 1, 1)
    mask[1, :, :, 15:] = False
    return mask


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_values_and_gradients_are_those_of_plain_attention(dtype: torch.dtype, tolerance: float) -> None:
    query, key, value = _parts(dtype)
    found = attention_by_products(query, key, value, _mask())
    # Three query heads share each key head.
    plain = scaled_dot_product_attention(query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1), _mask())
    outer = torch.ones_like(plain)
    ours = (found, *torch.autograd.grad(found, (query, key, value), outer))
    theirs = (plain, *torch.autograd.grad(plain, (query, key, value), outer))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def test_a_query_that_sees_nothing_gives_no_nan() -> None:
    query, key, value = _parts(torch.float32)
    found = attention_by_products(query, key, value, torch.zeros(1, 1, 20, 20, dtype=torch.bool))
    assert torch.isfinite(found).all()


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(TrainingError, match="expected bool"):
        attention_by_products(*_parts(torch.float32), torch.zeros(1, 1, 20, 20))


def test_only_short_bfloat16_passes_with_gradient_go_this_way() -> None:
    query, key, _ = _parts(torch.bfloat16)
    assert products_are_quicker(query, key, 0.0)
    assert not products_are_quicker(query, key, 0.1)
    assert not products_are_quicker(query.float(), key.float(), 0.0)
    long = torch.empty(1, 2, LONGEST + 1, 16, dtype=torch.bfloat16)
    assert not products_are_quicker(query, long, 0.0)
    with torch.no_grad():
        assert not products_are_quicker(query, key, 0.0)
