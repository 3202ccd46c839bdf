"""The gold notes that a report may quote: a seeded sample of each site's test notes, kept where the study allows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.jsonl import write_jsonl
from fedmedlora.inference.api_answers import CREDENTIALED
from fedmedlora.record import write_atomic
from fedmedlora.studies.sites import load_labels, load_sites, looked_at, sample_documents

EXAMPLES_FOLDER, SAMPLE_FILE = "examples", "sample.json"


def keep_examples(config: StudyConfig, out: Path) -> None:
    """Write `examples/`: SITE.jsonl with gold notes, and `sample.json` with the label set and how many were drawn.

    Notes under a data-use agreement are never among them. Without `report.include_text` the folder is removed.
    """
    folder, wanted = out / EXAMPLES_FOLDER, config.report
    if folder.exists():
        shutil.rmtree(folder)
    if not wanted.include_text:
        return
    counts: dict[str, object] = {}
    labels = load_labels(config)
    for notes in load_sites(config, labels):
        site, tested = notes.name, looked_at(config, notes, "test")
        free = [document for document in tested if not document.meta.get(CREDENTIALED)]
        drawn = sample_documents(free, wanted.documents_per_site, seed=0)
        counts[site] = {"tested": len(tested), "credentialed": len(tested) - len(free), "shown": len(drawn)}
        write_jsonl(drawn, folder / f"{site}.jsonl")
    sample = {
        "labels": {name: list(modifiers) for name, modifiers in labels.modifiers.items()},
        "sites": counts,
    }
    write_atomic(folder / SAMPLE_FILE, json.dumps(sample, indent=1) + "\n")
