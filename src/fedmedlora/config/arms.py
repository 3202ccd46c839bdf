"""The arms by what they do, so that no one has to compare names. Plain values; loads nothing."""

from __future__ import annotations

from typing import Final, Literal

SINGLE_SITE = ("single-site", "bert-single-site", "bert-lora-single-site")
"""One model a site."""

CENTRALISED = ("centralised", "bert-centralised", "bert-lora-centralised")
"""All notes in one place."""

PLUS = ("fedmedlora-plus", "bert-lora-fedmedlora-plus")
"""Averaged by validation loss."""

BERT_WHOLE = ("bert-single-site", "bert-centralised", "bert-fedavg")
"""An encoder of which all weights are trained."""

BERT_LORA = (
    "bert-lora-single-site",
    "bert-lora-centralised",
    "bert-lora-fedmedlora",
    "bert-lora-fedmedlora-plus",
)
"""A frozen encoder with a LoRA and heads."""

BERT = (*BERT_WHOLE, *BERT_LORA)

FEDERATED = (
    "fedmedlora",
    "fedmedlora-plus",
    "fedprox",
    "fedsa-lora",
    "ffa-lora",
    "bert-fedavg",
    "bert-lora-fedmedlora",
    "bert-lora-fedmedlora-plus",
)
"""Models travel between sites."""

BASE = "base"
UNTRAINED: Final[dict[str, Literal["single-site", "bert-single-site", "bert-lora-single-site"]]] = {
    BASE: "single-site",
    "bert": "bert-single-site",
    "bert-lora": "bert-lora-single-site",
}
"""Starts of the setting low-resource that nothing was trained for, each with the arm that its models count as."""

UNTRAINED_HEADS = ("bert", "bert-lora")
"""Those of them whose heads are as they were drawn, so that without a note there is no model to test."""


def untrained(arm: str) -> str:
    """The untrained start that is the mark for an arm's model: the same kind of model."""
    if arm in BERT_WHOLE:
        return "bert"
    return "bert-lora" if arm in BERT_LORA else BASE
