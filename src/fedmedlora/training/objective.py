"""The two objectives, as a summed negative log-likelihood in nats over one batch.

- `lm`: the paper's; cross-entropy over the whole vocabulary at every completion token.
- `choice`: cross-entropy over the tokens that the grammar allows at each step. Steps with one allowed token cost
  nothing, so a batch never forms vocabulary-sized logits.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from fedmedlora.adapters.readout import Readout
from fedmedlora.training.batch import Batch, Corpus

Objective: TypeAlias = Literal["choice", "lm"]


def summed_loss(readout: Readout, corpus: Corpus, batch: Batch, objective: Objective) -> Tensor:
    """Summed loss of a batch, a float32 scalar with gradient. Divide by target tokens for the mean per token."""
    states = readout.hidden(batch.ids, mask=batch.mask).states[batch.rows, batch.columns]
    if objective == "lm":
        return nn.functional.cross_entropy(readout.logits(states), batch.targets, reduction="sum")
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
