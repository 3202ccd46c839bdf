"""LoRA on a frozen base, through PEFT: attach it, read it out as an AdapterState, write one in."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fedmedlora.adapters.attention import use_packed_attention
from fedmedlora.adapters.base import Base
from fedmedlora.adapters.fused import fuse
from fedmedlora.adapters.readout import Readout, make_readout
from fedmedlora.adapters.state import AdapterSpec, AdapterState, require_layout
from fedmedlora.errors import BaseModelError


@dataclass(frozen=True)
class Adapted:
    """A base with one LoRA attached, resident: adapters are written in and read out, the base never moves.

    model: the PEFT model. spec: rank, alpha, target modules and the base's digest. packed: whether the model reads rows
    that share their instructions (see `attention`).
    """

    base: Base
    model: PeftModel
    spec: AdapterSpec
    packed: bool = False

    @property
    def trunk(self) -> PreTrainedModel:
        """The model under the adapter."""
        return self.base.model

    @property
    def base_digest(self) -> str:
        """Of the base that the adapter belongs to."""
        return self.base.digest

    @cached_property
    def readout(self) -> Readout:
        """Blocks and head, checked once; `attach_lora` does so while the adapter still changes nothing."""
        return make_readout(self.base.model)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trainable weights, float32, in a fixed order."""
        return [parameter for _, parameter in self.named_parameters]

    @property
    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Names as in AdapterState, with their trainable weights, sorted by name."""
        found = [(state_name(name), value) for name, value in self.model.named_parameters() if value.requires_grad]
        return sorted(found, key=lambda item: item[0])

    @property
    def heads(self) -> frozenset[str]:
        """None: the base answers with the output layer that it has."""
        return frozenset()

    def read(self) -> AdapterState:
        """The adapter as it stands, copied to float32 arrays."""
        return read_parameters(self.named_parameters, self.spec)

    def write(self, state: AdapterState) -> None:
        """Put an adapter in place of the current one. Raises AdapterError when it does not fit this base and spec."""
        write_parameters(self.named_parameters, self.spec, state)

    def fresh(self, seed: int) -> AdapterState:
        """An untrained adapter: every A Kaiming-uniform by `seed`, every B zero, so the model is still the base."""
        generator = torch.Generator().manual_seed(seed)
        arrays = {}
        for name, parameter in self.named_parameters:
            values = torch.zeros(parameter.shape)
            if ".lora_A." in name:
                nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
            arrays[name] = values.numpy()
        return AdapterState(arrays, self.spec)


def read_parameters(named: Sequence[tuple[str, nn.Parameter]], spec: AdapterSpec) -> AdapterState:
    """Trained weights as they stand, copied to float32 arrays."""
    return AdapterState({name: value.detach().float().cpu().numpy().copy() for name, value in named}, spec)


def write_parameters(named: Sequence[tuple[str, nn.Parameter]], spec: AdapterSpec, state: AdapterState) -> None:
    """Put a state in place of trained weights. Raises AdapterError when it does not fit them and their spec."""
    require_layout(spec, {name: tuple(value.shape) for name, value in named}, state)
    with torch.no_grad():
        for name, parameter in named:
            parameter.copy_(torch.from_numpy(np.array(state.arrays[name])))


def linear_targets(model: PreTrainedModel) -> tuple[str, ...]:
    """Module names of every linear projection inside the model's blocks, whatever the architecture, sorted.

    The output head and the embeddings are left out. Raises BaseModelError when the model has none.
    """
    heads = {id(head) for head in (model.get_output_embeddings(), model.get_input_embeddings()) if head is not None}
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and id(module) not in heads
    }
    if not names:
        raise BaseModelError(f"no linear projection found in {type(model).__name__}: LoRA has nothing to attach to.")
    return tuple(sorted(names))


def attach_lora(base: Base, *, rank: int = 16, alpha: float = 64.0, dropout: float = 0.0, seed: int = 0) -> Adapted:
    """Attach a fresh LoRA (see `Adapted.fresh`) to every linear projection inside the blocks.

    Call it once for a base: the base's modules are wrapped in place, their weights untouched.
    Raises BaseModelError when the base already carries an adapter.
    """
    if any("lora_" in name for name, _ in base.model.named_modules()):
        raise BaseModelError(f"base model '{base.name}' already carries a LoRA. Load the base afresh.")
    targets = linear_targets(base.model)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT annotates an integer and only ever divides by the rank
        lora_dropout=dropout,
        target_modules=list(targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT sets fan_in_fan_out for GPT-2's Conv1D by itself and says so.
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        # Transformers deprecates an attribute that PEFT reads.
        warnings.filterwarnings("ignore", category=FutureWarning)
        model = get_peft_model(base.model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.eval()
    fuse(model)
    spec = AdapterSpec(rank=rank, alpha=float(alpha), targets=targets, base_digest=base.digest)
    adapted = Adapted(base, model, spec, use_packed_attention(base.model))
    expected = set(get_peft_model_state_dict(model))
    if expected != {name for name, _ in adapted.named_parameters}:
        raise BaseModelError(f"base model '{base.name}': PEFT names its adapter's tensors in an unknown way.")
    adapted.write(adapted.fresh(seed))
    assert adapted.readout.model is base.model
    return adapted


def state_name(name: str) -> str:
    """PEFT's name on disk for a parameter of its default adapter."""
    return name.replace(".default.", ".")
