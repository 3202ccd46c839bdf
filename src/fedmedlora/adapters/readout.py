"""From hidden states to the logits of just the tokens that matter, without forming vocabulary-sized rows.

A causal model is its blocks followed by an output head. `Readout` runs the blocks alone and applies the head to chosen
positions and chosen tokens. It checks once, when it is made, that this gives the model's own logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from fedmedlora.errors import BaseModelError

_PROBE_TOKENS = 8


@dataclass(frozen=True)
class Hidden:
    """What the blocks give. states: [rows, columns, width]. cache: keys and values, None when none was asked for."""

    states: Tensor
    cache: Cache | None


@dataclass(frozen=True)
class Readout:
    """The blocks and the head of one model.

    Heads that scale (Granite, Cohere) or cap (Gemma) their logits are followed; scale and cap are 1 and None elsewhere.
    """

    model: PreTrainedModel
    weight: Tensor
    bias: Tensor | None
    scale: float = 1.0
    cap: float | None = None

    def hidden(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Hidden:
        """Run the blocks. ids: [rows, columns]; mask as Transformers takes it; cache grows by the columns."""
        blocks = self.model.base_model
        out = blocks(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return Hidden(out.last_hidden_state, cache)

    def logits(self, states: Tensor) -> Tensor:
        """Float32 logits over the whole vocabulary. states: [n, width] → [n, vocabulary]."""
        return self._finish(nn.functional.linear(states, self._cast(states), self._bias(states)).float())

    def logits_of(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Float32 logits of the same few tokens everywhere. states: [n, width], tokens: [k] → [n, k]."""
        weight = self.weight[tokens].float()
        bias = None if self.bias is None else self.bias[tokens].float()
        with torch.autocast(states.device.type, enabled=False):
            return self._finish(nn.functional.linear(states.float(), weight, bias))

    def logits_at(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Float32 logit of one token for each state. states: [n, width], tokens: [n] → [n]."""
        with torch.autocast(states.device.type, enabled=False):
            found = (states.float() * self.weight[tokens].float()).sum(-1)
        if self.bias is not None:
            found = found + self.bias[tokens].float()
        return self._finish(found)

    def _finish(self, logits: Tensor) -> Tensor:
        logits = logits * self.scale if self.scale != 1.0 else logits
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def _cast(self, states: Tensor) -> Tensor:
        return self.weight.to(states.dtype)

    def _bias(self, states: Tensor) -> Tensor | None:
        return None if self.bias is None else self.bias.to(states.dtype)


def make_readout(model: PreTrainedModel) -> Readout:
    """Take a causal model apart. Raises BaseModelError when blocks and head do not give the model's own logits."""
    head = model.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        raise BaseModelError(f"{type(model).__name__} has no output head to read token scores from.")
    config = model.config
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    readout = Readout(model, head.weight, getattr(head, "bias", None), scale, None if cap is None else float(cap))
    _check(readout)
    return readout


def _check(readout: Readout) -> None:
    model = readout.model
    vocabulary = readout.weight.shape[0]
    ids = (torch.arange(_PROBE_TOKENS, device=readout.weight.device) * 7 % vocabulary)[None]
    with torch.no_grad():
        expected = model(input_ids=ids).logits[0].float()
        states = readout.hidden(ids).states[0]
        found = readout.logits(states)
    tolerance = 1e-4 if readout.weight.dtype == torch.float32 else 2e-2
    if not torch.allclose(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max())):
        raise BaseModelError(
            f"{type(model).__name__}: its logits are not its output head applied to its last hidden state. "
            "This architecture is not supported."
        )
