"""A whole study small enough for a test: a tiny base that marks little, two sites with generated notes, every arm."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from tiny import hub_tokenizer, save_base

STUDY = """
base = "base"
arms = [
    "zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus", "fedprox", "fedsa-lora", "ffa-lora",
]
rounds = 2
threads = 1

[[sites]]
name = "triage"
synthetic = { profile = "emergency-triage", train = 2, dev = 1, test = 2 }
labels = ["problem", "severity", "negation", "drug"]

[[sites]]
name = "pharmacy"
synthetic = { profile = "pharmacy-review", train = 2, dev = 1, test = 2 }
labels = ["drug", "dosage", "frequency"]

[[sites]]
name = "elsewhere"
synthetic = { profile = "cardiology-ward", train = 1, dev = 1, test = 1 }
external = true

[training]
lr = 1e-2
epochs_per_round = 2
batch_size = 4
max_train_examples = 8
rank = 2
alpha = 4.0

[plus]
validation_examples = 4

[evaluation]
bootstrap_resamples = 20
"""

SITES = ("triage", "pharmacy")
EXTERNAL = "elsewhere"
ARMS = (
    "zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus", "fedprox", "fedsa-lora", "ffa-lora",
)  # fmt: skip
CELLS = 9
"""One of each arm, and one more of single-site, which has one a site."""


def write_study(folder: Path) -> Path:
    """The study file with its base beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_base(folder / "base")
    path = folder / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def write_base(folder: Path) -> Path:
    """A tiny Llama whose first hidden dimension stays constant and speaks against '<'.

    A random model wants a tag at every other token, which no decoder is quick at.
    """
    save_base(folder, "llama", "bytes")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[hub_tokenizer("bytes").convert_tokens_to_ids("<"), 0] = -20.0
    model.save_pretrained(folder)
    return folder
