"""A new site with few notes in the report: each kind of model beside the same kind untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_runs import page_of, table_of, text_of, tree, write_lines
from report_settings import NEW, cost, score, write_settings_run

from fedmedlora.config.arms import UNTRAINED
from fedmedlora.record import read_json_lines
from fedmedlora.report.load import load_run
from fedmedlora.report.low_resource import few_notes, low_resource_sentences, mark_of, start_label, starts_of
from fedmedlora.report.progress import model_label
from fedmedlora.report.records import Run

# Tenths of forty documents, by start and notes; the base and Fed-MedLoRA are in the run already.
FEW = {("bert-fedavg", 0): 3, ("bert-fedavg", 10): 6, ("bert-fedavg", 50): 7, ("bert", 10): 1, ("bert", 50): 6}
FEW |= {("bert-lora-fedmedlora", 0): 2, ("bert-lora-fedmedlora", 10): 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_settings_run(tmp_path_factory.mktemp("few") / "run", with_rounds=False)
    records = [dict(line) for line in read_json_lines(folder / "records.jsonl")]
    for (start, notes), right in FEW.items():
        variant = {"site": NEW, "notes": notes, "start": start}
        arm = UNTRAINED.get(start, start)
        records.append(score("low-resource", arm, 0, f"{NEW}+{notes}", NEW, right, variant))
        records.append(cost("low-resource", arm, 0, f"{NEW}+{notes}", variant))
    write_lines(folder / "records.jsonl", records)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return load_run(folder)


def test_every_start_is_held_against_its_own_kind_untrained(run: Run) -> None:
    assert starts_of(run) == ("base", "fedmedlora", "bert", "bert-fedavg", "bert-lora-fedmedlora")
    rows = {(row.start, row.notes): row for row in few_notes(run) if (row.task, row.rule) == ("ner", "strict")}
    assert len(rows) == 6 + len(FEW)
    gained = {key: row.over_base.difference for key, row in rows.items() if row.over_base is not None}
    # Seven tenths against two of the base; six against one, and seven against six, of the encoder.
    assert gained == {
        ("fedmedlora", 0): pytest.approx(0.5),
        ("fedmedlora", 10): pytest.approx(0.5),
        ("fedmedlora", 50): pytest.approx(0.2),
        ("bert-fedavg", 10): pytest.approx(0.5),
        ("bert-fedavg", 50): pytest.approx(0.1),
    }
    # Two tasks of five contrasts each are corrected together.
    held = rows["fedmedlora", 0].over_base
    assert held is not None
    assert held.tests == 10


def test_the_table_says_why_nothing_stands_beside_a_start(folder: Path) -> None:
    page = page_of(folder)
    rows = {tuple(row[1:3]): row[5:] for row in table_of(page, "NER: F1 by start and notes of the new site")[1:]}
    assert rows["Untrained BERT", "10"] == ["— the untrained encoder itself"]
    assert ("Untrained BERT", "0") not in rows
    assert rows["The bare base", "0"] == ["— the base itself"]
    assert rows["BERT FedAvg", "0"] == ["— untrained heads find nothing"]
    assert rows["BERT FedAvg", "10"][0].startswith("+0.500 +0.")
    assert rows["BERT+LoRA Fed-MedLoRA", "10"] == ["— nothing began untrained"]
    text = text_of(tree(page))
    assert "from untrained BERT" in text
    assert "An untrained encoder is one as it was pre-trained, with heads drawn at random" in text
    causal = write_settings_run(folder.parent / "causal", with_rounds=False)
    assert "untrained encoder" not in text_of(tree(page_of(causal))).lower()


def test_the_summary_names_what_a_start_stands_in_place_of(run: Run) -> None:
    base, encoder = low_resource_sentences(few_notes(run), "ner")
    assert base.startswith("fresh: starting from Fed-MedLoRA instead of the bare base gives +50.0 points [")
    assert encoder.startswith("fresh: starting from BERT FedAvg instead of untrained BERT gives +50.0 points [")
    assert encoder.endswith(" Without a note of fresh it reaches 30.0.")


def test_untrained_encoders_are_named_as_such() -> None:
    assert model_label("bert-single-site", "c+5") == "Untrained BERT, 5 notes of c"
    assert model_label("bert-lora-single-site", "c+1") == "Untrained BERT+LoRA, 1 note of c"
    assert (model_label("bert-single-site", "c"), start_label("bert-lora")) == (
        "BERT single-site: c", "Untrained BERT+LoRA",
    )  # fmt: skip
    assert [mark_of(start) for start in ("bert-lora-fedmedlora-plus", "bert-centralised", "fedprox", "bert")] == [
        "bert-lora", "bert", "base", "bert",
    ]  # fmt: skip
