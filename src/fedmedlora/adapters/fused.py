"""A frozen projection and its LoRA as one operation: one pass over the input forward, one over the gradient backward.

PEFT's layer casts, multiplies, scales and adds in turn, and every step keeps or makes a tensor as large as the input or
the output. Here the low-rank part is added where the frozen part was written, and the input is kept once, shared by
the projections that read it. Values and gradients are PEFT's, in the same precision.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

_ADAPTER = "default"


class FusedLinear(Linear):
    """PEFT's LoRA layer over a plain linear projection; whatever is not plain goes PEFT's own way."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The frozen projection plus the scaled low-rank one. x: [..., in] → [..., out]."""
        dtype = self._dtype(x)
        if args or kwargs or dtype is None or self.disable_adapters or self.merged or self._drops():
            plain: Tensor = super().forward(x, *args, **kwargs)
            return plain
        base = self.base_layer
        down, up = self.lora_A[_ADAPTER].weight, self.lora_B[_ADAPTER].weight
        bias = cast("Tensor | None", base.bias)
        with torch.autocast(x.device.type, enabled=False):
            found: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
                x.to(dtype),
                base.weight.to(dtype),
                None if bias is None else bias.to(dtype),
                down.to(dtype),
                up.to(dtype),
                self.scaling[_ADAPTER],
            )
        return found

    def _dtype(self, x: Tensor) -> torch.dtype | None:
        """The precision to compute in; None where PEFT's casts would mix several."""
        if torch.is_autocast_enabled(x.device.type):
            return torch.get_autocast_dtype(x.device.type)
        same = x.dtype == self.base_layer.weight.dtype == self.lora_A[_ADAPTER].weight.dtype
        return x.dtype if same else None

    def _drops(self) -> bool:
        dropout = self.lora_dropout[_ADAPTER]
        return self.training and not isinstance(dropout, nn.Identity)


class _Fused(torch.autograd.Function):
    """y = x Wᵀ + bias + s (x Aᵀ) Bᵀ, with gradients for x, A and B."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ down.T
        found = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)
        found.addmm_(low, up.T, alpha=scale)
        ctx.save_for_backward(rows, weight, down, up, low)
        ctx.scale, ctx.shape = scale, x.shape
        return found.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, Tensor, None]:
        rows, weight, down, up, low = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        of_low = (gradient @ up).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (gradient @ weight).addmm_(of_low, down).view(ctx.shape)
        of_down = of_low.T @ rows if ctx.needs_input_grad[3] else None
        return of_x, None, None, of_down, (gradient.T @ low).mul_(ctx.scale), None


def fuse(model: PeftModel) -> int:
    """Fuse every plain linear LoRA layer of the model; returns how many."""
    fused = 0
    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is nn.Linear and not module.lora_variant:
            module.__class__ = FusedLinear
            fused += 1
    return fused
