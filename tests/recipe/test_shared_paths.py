"""A whole study that was told of paths in every way: what is published of it names none, and it still runs again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_study import write_base

from fedmedlora.cli.main import main
from fedmedlora.config.study_file import load_study
from fedmedlora.corpus.formats import write_documents
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from tiny_encoder import save_encoder

OWNER = "jdoe-of-the-ward"
"""In every path but that of the working folder."""

STUDY = """
base = "nowhere"
arms = ["zero-shot", "fedmedlora", "bert-lora-single-site"]
settings = ["in-domain"]
tasks = ["ner"]
rounds = 1
threads = 1

[[sites]]
name = "triage"
path = "triage.jsonl"

[[sites]]
name = "pharmacy"
path = "nowhere.jsonl"

[training]
epochs_per_round = 1
max_train_examples = 2
rank = 2

[bert]
encoder = "nowhere"

[evaluation]
bootstrap_resamples = 0
evaluate_dev_each_round = false
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with corpora, splits and models."""
    home = tmp_path / OWNER / "my files"
    write_base(home / "base")
    save_encoder(home / "encoder")
    (home / "corpora").mkdir()
    splits = {}
    for name, profile in (("triage", "emergency-triage"), ("pharmacy", "pharmacy-review")):
        notes = generate_notes(PROFILES[profile], 3, 0, "train")
        write_documents(notes, home / "corpora" / f"{name}.jsonl", "jsonl")
        splits[name] = {part: [note.id] for part, note in zip(("train", "dev", "test"), notes, strict=True)}
    (home / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return home


def test_what_is_published_of_a_run_names_no_path_of_the_machine(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "tiny.toml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(work)
    monkeypatch.delenv("FEDMEDLORA_CORPORA", raising=False)
    told = [
        f'base="{home}/base"',
        f'corpora_root="../{OWNER}/my files/corpora"',
        f'bert.encoder="{home}/encoder"',
        f'sites.triage.split={{path="{home}/splits.json", key="triage"}} # of {home}',
        'sites.pharmacy.path="../../my files/corpora/pharmacy.jsonl"',
        f'sites.pharmacy.split="{home}/splits.json:pharmacy"',
        'api.base_url="https://llm.example/v1"',
    ]
    flags = [word for setting in told for word in ("--set", setting)]
    assert main(["run", "tiny.toml", *flags, "--out", "out"]) == 0
    assert main(["report", "out", "--tables", "out/tables"]) == 0

    out = work / "out"
    command = json.loads((out / "run.json").read_text(encoding="utf-8"))["command"]
    assert '--set \'sites.triage.split={path = "splits.json", key = "triage"}\'' in command
    assert "https://llm.example/v1" in command
    cards = list((out / "adapters").rglob("README.md"))
    # Zero-shot, the federation, and one of each site.
    assert len(cards) == 4
    tables = list((out / "tables").iterdir())
    assert tables
    records = [out / name for name in ("run.json", "records.jsonl", "rounds.jsonl", "report.html")]
    for path in (*records, *cards, *tables):
        text = path.read_text(encoding="utf-8")
        for secret in (OWNER, "my files", str(tmp_path)):
            assert secret not in text, path
    # The page shows the study's settings all the same.
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "max_train_examples = 2" in page

    # The study file leads to the notes, so that it runs again: it stays with the run.
    again = load_study(out / "study.toml", environment={})
    assert OWNER in (out / "study.toml").read_text(encoding="utf-8")
    assert again == load_study(work / "tiny.toml", told, environment={})
    # So do the files by which programs find a base that is no hub's; the cards beside them say so.
    for card in cards:
        assert "before you share the folder" in card.read_text(encoding="utf-8")
