"""What a model card says of the model itself: a LoRA on the base, or an encoder trained whole or with a LoRA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedmedlora.config.arms import BERT, BERT_WHOLE
from fedmedlora.config.models import StudyConfig
from fedmedlora.studies.cells import Cell

TASKS = {"ner": "entities", "re": "modifiers of a given entity"}


def metadata(cell: Cell, info: Mapping[str, Any]) -> str:
    """The block that model hubs read."""
    names = ["clinical-nlp", "information-extraction"]
    if cell.federated or (cell.start is not None and cell.start.federated):
        names.insert(0, "federated-learning")
    if cell.arm in BERT:
        names.insert(0, "token-classification")
    if cell.arm not in BERT_WHOLE:
        names.insert(0, "lora")
    library = "transformers" if cell.arm in BERT_WHOLE else "peft"
    tags = "\n".join(f"  - {tag}" for tag in names)
    return f"---\nlibrary_name: {library}\nbase_model: {json.dumps(_base(cell, info)['name'])}\ntags:\n{tags}\n---"


def opening(config: StudyConfig, cell: Cell) -> str:
    """What it is, in a sentence."""
    heads = "a head" if len(config.tasks) == 1 else f"{len(config.tasks)} heads"
    if not cell.members:
        return "An untrained LoRA adapter, with which the base model answers as it does without."
    if cell.arm in BERT_WHOLE:
        what = f"An encoder with {heads} that tags"
    elif cell.arm in BERT:
        what = f"A LoRA adapter and {heads} for an encoder that tags"
    else:
        what = "A LoRA adapter that marks"
    entities = "clinical entities" if config.labels is None else "entities"
    marked = f"{entities} and their modifiers"
    if len(config.tasks) == 1:
        marked = entities if "ner" in config.tasks else f"the modifiers of given {entities}"
    return f"{what} {marked} in free text."


def identity(config: StudyConfig, cell: Cell, info: Mapping[str, Any], digests: str) -> list[tuple[str, str]]:
    """Base, what was trained, digests, the LoRA's shape where there is one, and tasks."""
    base, what = _base(cell, info), "Model" if cell.arm in BERT else "Adapter"
    added = info["adapter"]
    if cell.arm in BERT:
        added = info["encoder"]["trained"]["whole" if cell.arm in BERT_WHOLE else "lora"]
    size = f"{added['parameters']:,} parameters, {added['bytes']:,} bytes"
    return [
        ("Base", f"{base['name']}, {base['parameters']:,} parameters"),
        ("Base digest", f"`{base['digest']}`"),
        ("Trained" if cell.arm in BERT else "Adapter", size),
        (f"{what} digest", digests),
        *([] if cell.arm in BERT_WHOLE else [("LoRA", _lora(config, cell))]),
        ("Tasks", ", ".join(TASKS[task] for task in config.tasks)),
    ]


def _lora(config: StudyConfig, cell: Cell) -> str:
    training, bert = config.training, config.bert
    rank, alpha, dropout = training.rank, training.alpha, training.dropout
    if cell.arm in BERT:
        rank, alpha = bert.rank or rank, bert.alpha or alpha
        dropout = dropout if bert.dropout is None else bert.dropout
    return f"r = {rank}, α = {alpha:g}, dropout {dropout:g}"


def others_load(config: StudyConfig, cell: Cell) -> str:
    """How programs other than ours load it, and what to change before anyone else gets it."""
    if cell.arm not in BERT:
        return f"Any PEFT program loads it onto its base; the base's digest is above.{_where_base(config, cell)}"
    first = (
        "Any Hugging Face program loads it for token classification"
        if cell.arm in BERT_WHOLE
        else "Any PEFT program loads it onto its encoder for token classification; the encoder's digest is above"
    )
    other = "; the other head stands beside the model" if len(config.tasks) > 1 else ""
    return f"{first}. It then tags what `tagger.json` names first{other}.{_where_base(config, cell)}"


def _where_base(config: StudyConfig, cell: Cell) -> str:
    """Programs find a base that is no hub's by its path, so that files beside the card hold one."""
    name = (config.bert.encoder or "") if cell.arm in BERT else config.base
    if not Path(name).is_absolute():
        return ""
    files = ["tagger.json"] if cell.arm in BERT else []
    files += [] if cell.arm in BERT_WHOLE else ["adapter_config.json"]
    names = " and ".join(f"`{file}`" for file in files)
    return (
        f" In {names} stands where the base lay when this was trained: put its name there before you share the folder."
    )


def _base(cell: Cell, info: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = info["encoder"] if cell.arm in BERT else info["base"]
    return found
