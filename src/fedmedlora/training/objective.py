"""The two objectives, as a summed negative log-likelihood in nats over one batch.

- `lm`: the paper's; cross-entropy over the whole vocabulary at every completion token. The head is frozen, so tokens
  are taken some at a time, and of their logits only the gradient for their states is kept.
- `choice`: cross-entropy over the tokens that the grammar allows at each step. Steps with one allowed token cost
  nothing, so a batch never forms vocabulary-sized logits.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from fedmedlora.adapters.readout import Readout
from fedmedlora.training.batch import Batch, Corpus

_CHUNK_LOGITS = 1 << 24

Objective: TypeAlias = Literal["choice", "lm"]


def summed_loss(readout: Readout, corpus: Corpus, batch: Batch, objective: Objective) -> Tensor:
    """Summed loss of a batch, a float32 scalar with gradient. Divide by target tokens for the mean per token."""
    hidden = readout.hidden(batch.ids, mask=batch.mask, positions=batch.positions)
    states = hidden.states[batch.rows, batch.columns]
    if objective == "lm":
        found: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            states, batch.targets, readout
        )
        return found
    if not len(batch.decisions):
        return states.sum() * 0.0
    return nn.functional.cross_entropy(choice_logits(readout, corpus, batch, states), batch.golds, reduction="sum")


def choice_logits(readout: Readout, corpus: Corpus, batch: Batch, states: Tensor) -> Tensor:
    """Logits of the copy and of the special tokens at every decision; −inf where not allowed: [m, 1 + k]."""
    at = states[batch.decisions]
    others = readout.logits_of(at, corpus.special.to(at.device))
    others = others.masked_fill(~corpus.legal.to(at.device)[batch.others], -torch.inf)
    copies = readout.logits_at(at, batch.copies.clamp(min=0)).masked_fill(batch.copies < 0, -torch.inf)
    return torch.cat([copies[:, None], others], dim=1)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of a frozen head over its whole vocabulary; never more than 2²⁴ logits at once."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, readout: Readout) -> Tensor:
        size = max(1, _CHUNK_LOGITS // readout.weight.shape[0])
        total = torch.zeros((), device=states.device)
        gradients = []
        for part, wanted in zip(states.split(size), targets.split(size), strict=True):
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                leaf = part.detach().requires_grad_(ctx.needs_input_grad[0])
                loss = nn.functional.cross_entropy(readout.logits(leaf), wanted, reduction="sum")
            total += loss.detach()
            if ctx.needs_input_grad[0]:
                gradients += torch.autograd.grad(loss, leaf)
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0], None, None
