"""An encoder that tags tokens for several tasks, one head each: trained whole, or frozen with a LoRA beside its heads.

The first head is the classifier of the Hugging Face model, so that plain programs find it; others stand beside the
model. What is trained, heads included, goes in and out as one `AdapterState`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from fedmedlora.adapters.encoder import EncoderBase
from fedmedlora.adapters.fused import fuse
from fedmedlora.adapters.lora import linear_targets, read_parameters, state_name, write_parameters
from fedmedlora.adapters.state import WHOLE, AdapterSpec, AdapterState, Array
from fedmedlora.errors import BaseModelError
from fedmedlora.record import digest_json

_HEAD_SPREAD = 0.02
_MARKED_SHARE = 0.1
"""Of tokens, before anything is learnt."""


@dataclass(frozen=True)
class Lora:
    """The shape of a LoRA. dropout: probability."""

    rank: int
    alpha: float
    dropout: float = 0.0


@dataclass(frozen=True)
class Tagger:
    """An encoder with its heads, resident: states are written in and read out.

    tags: names of each head's outputs, by head, the first head first, and in each the tag of unmarked tokens. network:
    the model as it is trained (PEFT's with a LoRA). beside: the heads that the model itself has no place for.
    pretrained: the encoder's own weights by name, where they are trained. spec: its base digest covers encoder and
    tags.
    """

    encoder: EncoderBase
    tags: Mapping[str, tuple[str, ...]]
    network: nn.Module
    beside: nn.ModuleDict
    pretrained: Mapping[str, Array]
    spec: AdapterSpec

    @property
    def trunk(self) -> PreTrainedModel:
        """The model under the heads, with its own head."""
        return self.encoder.model

    @property
    def base_digest(self) -> str:
        """Of what a state belongs to: encoder and tags."""
        return self.spec.base_digest

    @property
    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Names as in AdapterState, with their trained weights, sorted by name."""
        found = [(state_name(name), value) for name, value in self.network.named_parameters() if value.requires_grad]
        found += [(f"beside.{name}", value) for name, value in self.beside.named_parameters()]
        return sorted(found, key=lambda item: item[0])

    @property
    def heads(self) -> frozenset[str]:
        """Names of the heads' weights and biases."""
        heads = [getattr(self.trunk, self.encoder.head), *self.beside.values()]
        own = {id(parameter) for head in heads for parameter in head.parameters()}
        return frozenset(name for name, parameter in self.named_parameters if id(parameter) in own)

    def place_states(self, batch: TagBatch) -> Tensor:
        """The hidden states at the places of a batch, row after row: [places, width]."""
        states: Tensor = self.encoder.blocks(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        return states[batch.rows, batch.columns]

    def logits(self, head: str, states: Tensor) -> Tensor:
        """Float32 logits of a head's tags. states: [n, width] → [n, tags]."""
        states = nn.functional.dropout(states, self._dropout, self.trunk.training)
        layer = self.beside[head] if head in self.beside else getattr(self.encoder.model, self.encoder.head)
        with torch.autocast(states.device.type, enabled=False):
            found: Tensor = layer(states.float())
        return found

    def read(self) -> AdapterState:
        """What is trained, as it stands, copied to float32 arrays."""
        return read_parameters(self.named_parameters, self.spec)

    def write(self, state: AdapterState) -> None:
        """Put a state in place of the current one. Raises AdapterError when it does not fit this encoder and spec."""
        write_parameters(self.named_parameters, self.spec, state)

    def fresh(self, seed: int) -> AdapterState:
        """An untrained state: heads drawn by `seed`, and the encoder, or a LoRA that changes nothing, as it was.

        A is Kaiming-uniform, B zero, the heads' weights normal with deviation 0.02. Their biases give each head's first
        tag, that of unmarked tokens, nine tokens in ten, so that the first steps do not go into learning that most
        tokens are unmarked (Lin et al., arXiv 1708.02002, section 4.1, do so for objects in images).
        """
        generator = torch.Generator().manual_seed(seed)
        arrays: dict[str, Array] = {}
        heads = self.heads
        for name, parameter in self.named_parameters:
            if name in self.pretrained:
                arrays[name] = self.pretrained[name]
                continue
            values = torch.zeros(parameter.shape)
            if ".lora_A." in name:
                nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
            elif name in heads and name.endswith(".weight"):
                nn.init.normal_(values, std=_HEAD_SPREAD, generator=generator)
            elif name in heads and len(values) > 1:
                values[1:] = math.log(_MARKED_SHARE / (1 - _MARKED_SHARE) / (len(values) - 1))
            arrays[name] = values.numpy()
        return AdapterState(arrays, self.spec)

    @property
    def _dropout(self) -> float:
        names = ("classifier_dropout", "hidden_dropout_prob", "dropout")
        found = (getattr(self.encoder.model.config, name, None) for name in names)
        return float(next((value for value in found if value is not None), 0.0))


class ReadableRow(Protocol):
    """A text as token ids, and the places in it that are tagged; `markup.iob.Row` is one."""

    @property
    def ids(self) -> Sequence[int]:
        """All tokens."""
        ...

    @property
    def places(self) -> Sequence[int]:
        """Indices into them."""
        ...


@dataclass(frozen=True)
class TagBatch:
    """Rows padded on the right. ids, mask: [rows, columns]. rows, columns: where each place to tag stands."""

    ids: Tensor
    mask: Tensor
    rows: Tensor
    columns: Tensor


def tag_batch(rows: Sequence[ReadableRow], tagger: Tagger) -> TagBatch:
    """Rows as tensors on the tagger's device."""
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), tagger.encoder.tokenizer.pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = row.ids
        mask[number, : len(row.ids)] = 1
    numbers = np.repeat(np.arange(len(rows)), [len(row.places) for row in rows])
    columns = np.array([place for row in rows for place in row.places], dtype=np.int64)
    device = tagger.trunk.device
    return TagBatch(*(torch.from_numpy(part).to(device) for part in (ids, mask, numbers, columns)))


def make_tagger(encoder: EncoderBase, tags: Mapping[str, tuple[str, ...]], lora: Lora | None, seed: int = 0) -> Tagger:
    """Give an encoder its heads, and a LoRA on every linear projection of its blocks or, with None, none.

    Call it once for an encoder: its modules are changed in place. Raises BaseModelError when it already has a LoRA.
    """
    model = encoder.model
    if any("lora_" in name for name, _ in model.named_modules()):
        raise BaseModelError(f"encoder '{encoder.name}' already carries a LoRA. Load it afresh.")
    width, device = encoder.width, model.device
    first, *others = tags
    with torch.random.fork_rng(devices=[]):
        setattr(model, encoder.head, nn.Linear(width, len(tags[first]), device=device))
        beside = nn.ModuleDict({head: nn.Linear(width, len(tags[head]), device=device) for head in others})
    model.config.id2label = dict(enumerate(tags[first]))
    model.config.label2id = {name: number for number, name in enumerate(tags[first])}
    digest = digest_json([encoder.digest, {head: list(names) for head, names in tags.items()}])
    if lora is None:
        model.requires_grad_(True)
        pretrained = {
            name: value.detach().cpu().numpy().copy()
            for name, value in model.named_parameters()
            if not name.startswith(f"{encoder.head}.")
        }
        spec = AdapterSpec(rank=WHOLE, alpha=1.0, targets=(encoder.head, model.base_model_prefix), base_digest=digest)
        tagger = Tagger(encoder, tags, model, beside, pretrained, spec)
    else:
        targets = linear_targets(encoder.blocks)
        spec = AdapterSpec(rank=lora.rank, alpha=lora.alpha, targets=targets, base_digest=digest)
        tagger = Tagger(encoder, tags, _with_lora(encoder, lora, targets), beside, {}, spec)
    tagger.write(tagger.fresh(seed))
    return tagger


def _with_lora(encoder: EncoderBase, lora: Lora, targets: tuple[str, ...]) -> nn.Module:
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT annotates an integer and only ever divides by the rank
        lora_dropout=lora.dropout,
        target_modules=list(targets),
        exclude_modules=[encoder.head],
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Transformers deprecates an attribute that PEFT reads.
        warnings.filterwarnings("ignore", category=FutureWarning)
        network = get_peft_model(encoder.model, config)
    network.eval()
    fuse(network)
    getattr(encoder.model, encoder.head).requires_grad_(True)
    return network
