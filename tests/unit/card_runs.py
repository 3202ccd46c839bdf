"""A made-up run of every arm in every setting, as far as model cards read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fedmedlora.config.arms import BERT
from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import load_study
from fedmedlora.studies.cards import render_card
from fedmedlora.studies.cells import Cell, study_cells

ARMS = (
    *("zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus", "fedprox", "fedsa-lora", "ffa-lora"),
    *BERT,
)
STUDY = f"""
arms = {json.dumps(ARMS)}
settings = ["in-domain", "external", "leave-one-out", "low-resource", "uneven", "scaling"]

[[sites]]
name = "ward"
synthetic = {{ profile = "emergency-triage", train = 3, dev = 1, test = 2 }}

[[sites]]
name = "clinic"
synthetic = {{ profile = "pharmacy-review", train = 3, dev = 0, test = 2 }}

[[sites]]
name = "office"
synthetic = {{ profile = "outpatient-letters", train = 3, dev = 1, test = 2 }}

[[sites]]
name = "abroad"
synthetic = {{ profile = "cardiology-ward", train = 1, dev = 1, test = 1 }}
external = true

[[sites]]
name = "fresh"
synthetic = {{ profile = "cardiology-ward", train = 3, dev = 1, test = 1 }}
new = true

[low_resource]
notes = [0, 2]
starts = ["fedmedlora", "fedprox", "ffa-lora", "base", "bert-fedavg", "bert", "bert-lora-fedmedlora", "bert-lora"]

[scaling]
sites = [1, 2]
splits = ["iid", "label-skew"]

[bert]
encoder = "minilm"
"""

Table = dict[str, str]


def write_study(folder: Path) -> Path:
    path = folder / "made-up.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def configured(study: Path, *changes: str) -> StudyConfig:
    return load_study(study, changes, environment={})


def made_up_info(config: StudyConfig, command: str = "fedmedlora run made-up.toml") -> dict[str, Any]:
    """run.json, as far as cards read it. Digests say what they are of."""
    counts = {"ner": 6, "re": 4}
    sites = []
    for site in config.sites:
        assert site.synthetic is not None
        parts = {
            part: {"documents": documents, "used": documents, "digest": f"digest-of-{part}-{site.name}"}
            for part, documents in (("train", 3), ("dev", site.synthetic.dev), ("test", 1200))
        }
        parts["train"]["examples"] = counts
        sites.append({"name": site.name, "synthetic": True, "labels": ["drug", "dosage"], "parts": parts})
    derived = [("ward@entities-only", None), ("clinic@relations-only", None), ("office@label-subset", None)]
    derived += [("ward@noisy", None), ("fresh+2", 0)]
    return {
        "name": "made-up",
        "command": command,
        "versions": {"fedmedlora": "0.1.0"},
        "machine": {"threads": 1, "accelerator": None, "architecture": "x86_64", "precision": "float32"},
        "base": {"name": "bundled", "parameters": 7_000_000, "digest": "digest-of-base"},
        "adapter": {"parameters": 2048, "bytes": 8192},
        "encoder": {
            "name": "minilm",
            "parameters": 22_000_000,
            "digest": "digest-of-encoder",
            "trained": {kind: {"parameters": 512, "bytes": 2048} for kind in ("whole", "lora")},
            "sites": {site.name: {"examples": {"ner": 7, "re": 5}} for site in config.sites},
            "derived": [{"name": name, "seed": seed, "examples": {"ner": 8, "re": 3}} for name, seed in derived],
        },
        "sites": sites,
        "derived": [
            {"name": name, "seed": seed, "documents": 2, "examples": counts, "labels": ["drug"], "digest": f"of-{name}"}
            for name, seed in derived
        ],
    }


def arm_line(cell: Cell, **more: object) -> dict[str, Any]:
    return {
        "kind": "arm",
        "arm": cell.arm,
        "seed": cell.seed,
        "trained_on": cell.trained_on,
        "rounds": 3 if cell.variant is None else 1,
        "steps": 40,
        "target_tokens": 900,
        "seconds": 12.5,
        "bytes_sent": 3000 if cell.federated else None,
        "bytes_received": 1000 if cell.federated else None,
        "adapter_digest": "digest-of-adapter",
        **more,
    }


def score_line(cell: Cell, site: str, setting: str, f1: float | None = 0.5) -> dict[str, Any]:
    modes = {mode: {"f1": f1} for mode in ("strict", "lenient")}
    bounds = {mode: {"low": None if f1 is None else 0.4, "high": 0.6} for mode in ("strict", "lenient")}
    return {
        "kind": "score",
        "arm": cell.arm,
        "seed": cell.seed,
        "trained_on": cell.trained_on,
        "setting": setting,
        "test_site": site,
        "documents": 24,
        "scores": {"ner": modes, "re": modes},
        "intervals": {"ner": bounds, "re": bounds},
        "adapter_digest": "digest-of-adapter",
    }


def card(config: StudyConfig, cell: Cell, **trained: object) -> str:
    """Of the cell's adapter, or of the first site's."""
    scores = [score_line(cell, site, setting) for site, setting in cell.tests(config).items()]
    site = config.members[0] if cell.personal else None
    own = [line for line in scores if site in (None, line["test_site"])]
    return render_card(config, cell, made_up_info(config), arm_line(cell, **trained), own, site)


def cells(config: StudyConfig) -> dict[str, Cell]:
    """By arm and what they were trained on, those that leave an adapter."""
    return {f"{cell.arm} {cell.trained_on}": cell for cell in study_cells(config) if not cell.untrained_start}


def rows(text: str) -> Table:
    """The card's tables of two columns."""
    return dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE))


def in_domain(study: Path, *changes: str) -> dict[str, Table]:
    """The rows of each arm's in-domain card."""
    config = configured(study, *changes, 'settings=["in-domain"]')
    return {cell.arm: rows(card(config, cell)) for cell in study_cells(config)}
