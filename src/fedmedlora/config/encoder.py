"""The table [bert] of a study file: which encoder the arms bert-* train, and how, where it is not as in [training]."""

from __future__ import annotations

from pydantic import Field

from fedmedlora.config.fields import Checked, Count, Fraction, Positive

MINILM = "minilm"


class BertConfig(Checked):
    """The arms bert-*: an encoder that tags tokens, trained whole or with a LoRA. What is unset is as in [training]."""

    encoder: str | None = Field(
        default=None, min_length=1, description="'minilm', a folder, or a Hugging Face hub name; the arms need it"
    )
    lr: Positive = Field(default=1e-4, description="peak learning rate where all weights are trained")
    lora_lr: Positive = Field(default=2e-3, description="peak learning rate of LoRA and heads")
    epochs_per_round: Count | None = Field(default=None, description="passes over a site's examples in one round")
    batch_size: Count | None = Field(default=None, description="examples per batch")
    rank: Count | None = Field(default=None, description="LoRA r")
    alpha: Positive | None = Field(default=None, description="LoRA alpha")
    dropout: Fraction | None = Field(default=None, description="LoRA dropout probability")
    max_tokens: Count = Field(default=512, description="tokens of a text; what is beyond is cut off and counted")
