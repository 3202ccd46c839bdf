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
    lora_lr: Positive = Field(default=5e-4, description="peak learning rate of a LoRA")
    federated_lr: Positive | None = Field(
        default=None, description="lr of the arms whose weights are averaged; none: lr"
    )
    federated_lora_lr: Positive | None = Field(
        default=None, description="lora_lr of the arms whose adapters are averaged; none: lora_lr"
    )
    head_lr: Positive = Field(default=5e-3, description="peak learning rate of the heads, which begin at random")
    warmup_fraction: Fraction = Field(
        default=0.2, description="of what is under the heads, share of all steps; of the heads it is [training]'s"
    )
    epochs_per_round: Count | None = Field(default=None, description="passes over a site's examples in one round")
    batch_size: Count | None = Field(default=None, description="examples per batch")
    rank: Count | None = Field(default=None, description="LoRA r")
    alpha: Positive | None = Field(default=None, description="LoRA alpha")
    dropout: Fraction | None = Field(default=None, description="LoRA dropout probability")
    max_tokens: Count = Field(default=512, description="tokens of a text; what is beyond is cut off and counted")

    def rate(self, *, whole: bool, federated: bool) -> float:
        """Peak learning rate of an arm that trains all weights or a LoRA, averaged or not."""
        alone, averaged = (self.lr, self.federated_lr) if whole else (self.lora_lr, self.federated_lora_lr)
        return averaged or alone if federated else alone
