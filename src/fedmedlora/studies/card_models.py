"""What a model card says of the model itself: a LoRA on the base, or an encoder trained whole or with a LoRA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fedmedlora.config.arms import BERT, BERT_WHOLE
from fedmedlora.config.models import StudyConfig
from fedmedlora.studies.cells import Cell, bert_settings, cell_settings
from fedmedlora.training.loop import TrainSettings

METHODS = {
    "bert-single-site": "One site's notes alone, without federation; all weights of the encoder were trained.",
    "bert-centralised": "All sites' notes in one place, without federation; all weights of the encoder were trained.",
    "bert-fedavg": "FedAvg: every round all weights of the sites' encoders are averaged by tagged training tokens.",
    "bert-lora-single-site": "One site's notes alone, without federation; the encoder was frozen.",
    "bert-lora-centralised": "All sites' notes in one place, without federation; the encoder was frozen.",
    "bert-lora-fedmedlora": "Fed-MedLoRA on an encoder: every round the sites' adapters and heads are averaged by "
    "tagged training tokens; the encoder was frozen.",
    "bert-lora-fedmedlora-plus": "Fed-MedLoRA+ on an encoder: the average weights each site's adapter and heads by "
    "their loss on validation notes; the encoder was frozen.",
}
"""Of the arms that train an encoder."""


def metadata(cell: Cell, info: Mapping[str, Any]) -> str:
    """The block that model hubs read."""
    names = ["federated-learning", "clinical-nlp", "information-extraction"]
    if cell.arm in BERT:
        names.insert(0, "token-classification")
    if cell.arm not in BERT_WHOLE:
        names.insert(0, "lora")
    library = "transformers" if cell.arm in BERT_WHOLE else "peft"
    tags = "\n".join(f"  - {tag}" for tag in names)
    return f"---\nlibrary_name: {library}\nbase_model: {json.dumps(_base(cell, info)['name'])}\ntags:\n{tags}\n---"


def opening(cell: Cell) -> str:
    """What it is, in a sentence that ends with who made it."""
    if cell.arm in BERT_WHOLE:
        what = "An encoder with two heads that tags"
    elif cell.arm in BERT:
        what = "A LoRA adapter and two heads for an encoder that tags"
    else:
        what = "A LoRA adapter that marks"
    return f"{what} clinical entities and their modifiers in free text."


def identity(config: StudyConfig, cell: Cell, info: Mapping[str, Any], digests: str) -> list[tuple[str, str]]:
    """Base, what was trained, digests, and the LoRA's shape where there is one."""
    base, training, bert = _base(cell, info), config.training, config.bert
    trained = info["adapter"]
    if cell.arm in BERT:
        trained = info["encoder"]["trained"]["whole" if cell.arm in BERT_WHOLE else "lora"]
    what = "Trained" if cell.arm in BERT else "Adapter"
    rows = [
        ("Base", f"{base['name']}, {base['parameters']:,} parameters"),
        ("Base digest", f"`{base['digest']}`"),
        (what, f"{trained['parameters']:,} parameters, {trained['bytes']:,} bytes"),
        (f"{what if what == 'Adapter' else 'Model'} digest", digests),
    ]
    if cell.arm in BERT_WHOLE:
        return rows
    rank, alpha, dropout = training.rank, training.alpha, training.dropout
    if cell.arm in BERT:
        rank, alpha = bert.rank or rank, bert.alpha or alpha
        dropout = dropout if bert.dropout is None else bert.dropout
    return [*rows, ("LoRA", f"r = {rank}, α = {alpha:g}, dropout {dropout:g}")]


def train_settings(config: StudyConfig, cell: Cell) -> TrainSettings:
    """What the cell was trained by."""
    if cell.arm in BERT:
        return bert_settings(cell, config.training, config.bert)
    return cell_settings(cell, config.training, config.fedprox)


def objective(settings: TrainSettings, cell: Cell) -> str:
    """In a word."""
    return "cross-entropy over the tags that are allowed" if cell.arm in BERT else settings.objective


def example_counts(cell: Cell, info: Mapping[str, Any], site: Mapping[str, Any]) -> Mapping[str, int]:
    """Training examples of a site by task."""
    whole = info["encoder"]["sites"][site["name"]] if cell.arm in BERT else site["parts"]["train"]
    counts: Mapping[str, int] = whole["examples"]
    return counts


def others_load(cell: Cell) -> str:
    """How programs other than ours load it."""
    if cell.arm not in BERT:
        return "Any PEFT program loads it onto its base; the base's digest is above."
    first = (
        "Any Hugging Face program loads it for token classification"
        if cell.arm in BERT_WHOLE
        else "Any PEFT program loads it onto its encoder for token classification; the encoder's digest is above"
    )
    return f"{first}. It then tags what `tagger.json` names first; the other head stands beside the model."


def _base(cell: Cell, info: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = info["encoder"] if cell.arm in BERT else info["base"]
    return found
