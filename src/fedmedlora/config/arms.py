"""The arms by what they do, so that no one has to compare names. Plain tuples; loads nothing."""

from __future__ import annotations

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
