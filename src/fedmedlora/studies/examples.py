"""The gold notes that a report may quote: a seeded sample of each site's test notes, kept where the study allows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fedmedlora.corpus.jsonl import write_jsonl
from fedmedlora.inference.api_answers import CREDENTIALED
from fedmedlora.record import write_atomic
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.sites import sample_documents

EXAMPLES_FOLDER, SAMPLE_FILE = "examples", "sample.json"


def keep_examples(resident: Resident, out: Path) -> None:
    """Write `examples/`: SITE.jsonl with gold notes, and `sample.json` with the label set and how many were drawn.

    Notes under a data-use agreement are never among them. Without `report.include_text` the folder is removed.
    """
    folder, wanted = out / EXAMPLES_FOLDER, resident.config.report
    if folder.exists():
        shutil.rmtree(folder)
    if not wanted.include_text:
        return
    counts: dict[str, object] = {}
    for site in resident.sites:
        tested = resident.documents(site, "test")
        free = [document for document in tested if not document.meta.get(CREDENTIALED)]
        drawn = sample_documents(free, wanted.documents_per_site, seed=0)
        counts[site] = {"tested": len(tested), "credentialed": len(tested) - len(free), "shown": len(drawn)}
        write_jsonl(drawn, folder / f"{site}.jsonl")
    sample = {
        "labels": {name: list(resident.labels.modifiers[name]) for name in resident.labels.modifiers},
        "sites": counts,
    }
    write_atomic(folder / SAMPLE_FILE, json.dumps(sample, indent=1) + "\n")
