"""From a study that allows it to notes in its report: kept, answered, quoted; credentialed ones never; taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_study import write_study

from fedmedlora.cli.main import main
from fedmedlora.config.study_file import load_study
from fedmedlora.corpus.formats import read_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.studies.sites import load_sites

SMALL = ("--set", 'arms=["zero-shot"]')
ALLOWED = ("--set", "report.include_text=true", "--set", "sites.pharmacy.credentialed=true")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def done(study: Path) -> Path:
    out = study.parent / "done"
    more = ("--set", "report.documents_per_site=1")
    assert main(["run", str(study), "--out", str(out), *SMALL, *ALLOWED, *more]) == 0
    return out


def test_a_study_that_allows_it_quotes_its_notes(done: Path, study: Path) -> None:
    sample = json.loads((done / "examples" / "sample.json").read_text(encoding="utf-8"))
    # Two test notes at each site that trains, one elsewhere, one of each shown; those of the pharmacy are credentialed.
    assert sample["sites"] == {
        "triage": {"tested": 2, "credentialed": 0, "shown": 1},
        "pharmacy": {"tested": 2, "credentialed": 2, "shown": 0},
        "elsewhere": {"tested": 1, "credentialed": 0, "shown": 1},
    }
    page = (done / "report.html").read_text(encoding="utf-8")
    assert "2 test notes with their whole text" in page
    assert "pharmacy 0 of 0, and 2 credentialed notes never shown" in page
    (kept,) = read_documents(done / "examples" / "triage.jsonl").documents
    sites = {site.name: site.parts["test"] for site in load_sites(load_study(study), CLINICAL)}
    assert kept in sites["triage"]
    assert f"<bdi>{kept.id}</bdi>" in page
    assert not any(f"<bdi>{note.id}</bdi>" in page for note in sites["pharmacy"])
    assert [page.count(f"{site} · Zero-shot") for site in sample["sites"]] == [1, 0, 1]


def test_leave_is_given_and_taken_back_without_a_new_run(done: Path, study: Path) -> None:
    records = (done / "records.jsonl").read_bytes()
    off = [*SMALL, "--set", "sites.pharmacy.credentialed=true"]
    assert main(["run", str(study), "--out", str(done), "--resume", *off]) == 0
    assert not (done / "examples").exists()
    assert "<script" not in (done / "report.html").read_text(encoding="utf-8")
    assert main(["run", str(study), "--out", str(done), "--resume", *SMALL, *ALLOWED]) == 0
    assert "3 test notes with their whole text" in (done / "report.html").read_text(encoding="utf-8")
    assert (done / "records.jsonl").read_bytes() == records
