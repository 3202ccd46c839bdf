"""The objectives, as a summed negative log-likelihood in nats over one batch.

- `lm`: the paper's; cross-entropy over the whole vocabulary at every completion token. The head is frozen, so tokens
  are taken some at a time, and of their logits only the gradient for their states is kept.
- `choice`: cross-entropy over the tokens that the grammar allows at each step. Steps with one allowed token cost
  nothing, so a batch never forms vocabulary-sized logits.
- `mixed`: `choice`, and a fifth of `lm` added to it. `choice` alone trains what is decoded, but says nothing at most
  tokens: with instructions that the base has not seen it learns slowly.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from fedmedlora.adapters.readout import Readout
from fedmedlora.training.batch import Batch, Corpus

_CHUNK_LOGITS = 1 << 24
_LM_SHARE = 0.2

Objective: TypeAlias = Literal["choice", "lm", "mixed"]
Judgement: TypeAlias = Literal["choice", "lm"]


def summed_loss(readout: Readout, corpus: Corpus, batch: Batch, objective: Objective) -> Tensor:
    """Summed loss of a batch, a float32 scalar with gradient. Divide by target tokens for the mean per token."""
    hidden = readout.hidden(batch.ids, mask=batch.mask, positions=batch.positions)
    states = hidden.states[batch.rows, batch.columns]
    match objective:
        case "lm":
            return _lm_loss(readout, batch, states)
        case "choice":
            return _choice_loss(readout, corpus, batch, states)
        case "mixed":
            return _choice_loss(readout, corpus, batch, states) + _LM_SHARE * _lm_loss(readout, batch, states)


def judgement(objective: Objective) -> Judgement:
    """What an adapter that was trained so is judged by: `mixed` by what is decoded, its `choice` part alone."""
    return "lm" if objective == "lm" else "choice"


def _lm_loss(readout: Readout, batch: Batch, states: Tensor) -> Tensor:
    found: Tensor = _ChunkedCrossEntropy.apply(states, batch.targets, readout)  # type: ignore[no-untyped-call]
    return found


def _choice_loss(readout: Readout, corpus: Corpus, batch: Batch, states: Tensor) -> Tensor:
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
