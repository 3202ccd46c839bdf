"""Arms that train an encoder in the settings that train anew: a site left out, few notes, uneven, over more sites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_study import STUDY, write_study

from fedmedlora.cli.main import main
from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import load_study
from fedmedlora.corpus.formats import read_documents, write_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.federation.history import FederationResult
from fedmedlora.record import read_json_lines
from fedmedlora.report.load import load_run
from fedmedlora.report.page import write_report
from fedmedlora.report.progress import progress
from fedmedlora.studies import cell_run
from fedmedlora.studies.cells import Cell
from fedmedlora.studies.run import run_study
from fedmedlora.studies.sites import load_sites
from tiny_encoder import save_encoder

MORE = """
[[sites]]
name = "newcomer"
synthetic = { profile = "cardiology-ward", train = 3, dev = 1, test = 1 }
new = true

[low_resource]
notes = [0, 2]
starts = ["bert-fedavg", "bert", "bert-lora-fedmedlora", "bert-lora"]
min_steps = 12

[scaling]
sites = [3]
splits = ["style", "size-skew"]

[bert]
encoder = "encoder"
lr = 3e-3
federated_lr = 4e-3
lora_lr = 1e-2
max_tokens = 48
epochs_per_round = 1
"""
OVERRIDES = (
    'arms=["bert-centralised", "bert-fedavg", "bert-lora-fedmedlora"]',
    'settings=["in-domain", "leave-one-out", "low-resource", "uneven", "scaling"]',
    "rounds=1",
    "training.max_train_examples=4",
    "training.batch_size=8",
    "evaluation.max_test_documents=1",
    "evaluation.bootstrap_resamples=0",
    "evaluation.evaluate_dev_each_round=false",
)
ARMS = ("bert-centralised", "bert-fedavg", "bert-lora-fedmedlora")
MEMBERS = ("triage", "pharmacy")
CASES = ("entities-only", "relations-only", "label-subset", "noisy")
FEW = {
    *((arm, f"newcomer+{notes}") for arm in ("bert-fedavg", "bert-lora-fedmedlora") for notes in (0, 2)),
    *((arm, "newcomer+2") for arm in ("bert-single-site", "bert-lora-single-site")),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("encoder"))
    save_encoder(path.parent / "encoder")
    path.write_text(STUDY.replace("[training]", f"{MORE}\n[training]", 1), encoding="utf-8")
    return path


def configured(study: Path) -> StudyConfig:
    return load_study(study, OVERRIDES)


@pytest.fixture(scope="module")
def done(study: Path) -> Path:
    """The run that nothing interrupted. Tests only read it."""
    return run_study(configured(study), study.parent / "done", command="fedmedlora run tiny.toml")


def lines(path: Path, kind: str = "") -> list[dict[str, object]]:
    return [dict(line) for line in read_json_lines(path) if not kind or line["kind"] == kind]


def arm_lines(out: Path) -> dict[tuple[object, object], dict[str, object]]:
    return {(line["arm"], line["trained_on"]): line for line in lines(out / "records.jsonl", "arm")}


def test_every_model_of_every_setting_is_trained_and_tested(done: Path) -> None:
    found: dict[object, set[tuple[object, object]]] = {}
    for line in lines(done / "records.jsonl", "score"):
        found.setdefault(line["setting"], set()).add((line["arm"], line["trained_on"]))
    assert found == {
        "in-domain": {(arm, "all") for arm in ARMS},
        "leave-one-out": {(arm, f"without-{site}") for arm in ARMS for site in MEMBERS},
        "low-resource": FEW,
        # The study names no case, so that four are derived.
        "uneven": {(arm, f"all@{case}") for arm in ARMS for case in CASES},
        # Only what is averaged is divided.
        "scaling": {(arm, f"all@3-{split}") for arm in ARMS[1:] for split in ("style", "size-skew")},
    }
    loaded = load_run(done)
    assert progress(loaded).finished, progress(loaded).missing


def test_few_notes_begin_with_the_federations_encoder_or_a_fresh_one(done: Path) -> None:
    arms = arm_lines(done)
    for arm, fresh in (("bert-fedavg", "bert-single-site"), ("bert-lora-fedmedlora", "bert-lora-single-site")):
        whole = arms[arm, "all"]["adapter_digest"]
        assert arms[arm, "newcomer+0"]["adapter_digest"] == whole
        state = done / "state" / arm / "0/newcomer+2"
        assert json.loads((state / "checkpoint.json").read_text())["initial_digest"] == whole
        ours, bare = arms[arm, "newcomer+2"], arms[fresh, "newcomer+2"]
        assert ours["steps"] == bare["steps"]
        assert (ours["rounds"], ours["bytes_sent"]) == (1, None)
        assert len({ours["adapter_digest"], bare["adapter_digest"], whole}) == 3
    variant = next(
        line["variant"] for line in lines(done / "records.jsonl", "score") if line["arm"] == "bert-lora-single-site"
    )
    assert variant == {"site": "newcomer", "notes": 2, "start": "bert-lora"}


def test_cards_say_what_an_encoder_began_with_and_was_trained_on(done: Path) -> None:
    said = {
        "bert-fedavg": ("the model of bert-fedavg, seed 0; all weights were trained there", "0.003"),
        "bert-single-site": ("the encoder as it was pre-trained and heads drawn at random; all weights were", "0.003"),
        "bert-lora-fedmedlora": ("the adapter of bert-lora-fedmedlora, seed 0; A, B and the heads were", "0.01"),
        "bert-lora-single-site": ("an untrained adapter and heads drawn at random; A, B and the heads were", "0.01"),
    }
    info = json.loads((done / "run.json").read_text(encoding="utf-8"))
    made = {one["name"]: one["examples"] for one in info["encoder"]["derived"]}
    trained = arm_lines(done)
    for arm, (beginning, rate) in said.items():
        card = (done / "adapters" / arm / "0/newcomer+2/README.md").read_text(encoding="utf-8")
        assert f"beginning with {beginning}" in card
        # Examples in batches of eight, 9 steps a pass; 12 are asked for, so that one pass is not enough.
        assert "| Passes | 2 |" in card
        assert trained[arm, "newcomer+2"]["steps"] == 2 * 9 == 2 * -(-sum(made["newcomer+2"].values()) // 8)
        # Fine-tuned in one place, whatever the rate of the federation was.
        assert f"| Peak learning rate | {rate}, heads 0.005, one cosine" in card
        assert f"| newcomer+2 | 2 | {made['newcomer+2']['ner']} | {made['newcomer+2']['re']} |" in card
    assert set(made["triage@entities-only"]) == {"ner"}
    assert set(made["pharmacy@relations-only"]) == {"re"}
    assert sum(made[f"3-style/part-{part}"].get("ner", 0) for part in (1, 2, 3)) == sum(
        info["encoder"]["sites"][site]["examples"]["ner"] for site in MEMBERS
    )


def test_the_report_holds_each_kind_against_the_same_kind_untrained(done: Path, tmp_path: Path) -> None:
    page = write_report([done], tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("from untrained BERT+LoRA", "Untrained BERT, 2 notes of newcomer", "untrained heads find nothing"):
        assert text in page
    assert "from the bare base" not in page


def test_a_model_of_few_notes_is_used_as_any_other(
    done: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newcomer = next(site for site in load_sites(configured(study), CLINICAL) if site.name == "newcomer")
    write_documents(newcomer.parts["test"], tmp_path / "notes.jsonl", "jsonl")
    model = done / "adapters/bert-fedavg/0/newcomer+2"
    words = ["extract", "--model", str(model), str(tmp_path / "notes.jsonl"), "--out", str(tmp_path / "found.jsonl")]
    assert main(words) == 0
    capsys.readouterr()
    found = read_documents(tmp_path / "found.jsonl").documents
    expected = read_documents(done / "predictions/bert-fedavg/0/newcomer+2/newcomer.ner.jsonl").documents
    assert [
        [(entity.type, entity.spans) for entity in document.entities if entity.type in CLINICAL.entity_types]
        for document in found
    ] == [[(entity.type, entity.spans) for entity in document.entities] for document in expected]


def test_few_notes_that_were_interrupted_resume_to_the_same_bits(
    done: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = cell_run._record_rounds
    stopped: list[str] = []

    def stops(going: cell_run.CellRun, cell: Cell, result: FederationResult, known: frozenset[int]) -> None:
        if cell.trained_on == "newcomer+2" and cell.arm in ARMS and cell.arm not in stopped:
            stopped.append(cell.arm)
            raise KeyboardInterrupt
        record(going, cell, result, known)

    monkeypatch.setattr(cell_run, "_record_rounds", stops)
    config = load_study(
        study, (*OVERRIDES, 'settings=["low-resource"]', 'arms=["bert-fedavg", "bert-lora-fedmedlora"]')
    )
    out = study.parent / "stopped"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_study(config, out, resume=True)
    run_study(config, out, resume=True)
    assert stopped == list(ARMS[1:])
    expected = arm_lines(done)
    found = arm_lines(out)
    assert found.keys() == FEW | {(arm, "all") for arm in ARMS[1:]}
    for key, line in found.items():
        assert line["adapter_digest"] == expected[key]["adapter_digest"]
