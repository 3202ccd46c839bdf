"""A whole study of the arms that train an encoder: both tasks, every arm, what it leaves, and that it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_study import SITES, write_study
from transformers import AutoModelForTokenClassification

from card_blanks import blanks
from fedmedlora.cli.main import main
from fedmedlora.config.arms import BERT, BERT_WHOLE, FEDERATED, SINGLE_SITE
from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import load_study
from fedmedlora.corpus.formats import read_documents, write_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import ConfigError
from fedmedlora.record import read_json_lines
from fedmedlora.report.load import load_run
from fedmedlora.report.page import write_report
from fedmedlora.report.progress import progress
from fedmedlora.studies import cell_run
from fedmedlora.studies.run import run_study
from fedmedlora.studies.sites import load_sites
from tiny import quietly_load_peft
from tiny_encoder import save_encoder

SETTINGS = [
    f"arms={json.dumps(list(BERT))}", "sites.elsewhere.external=true", "bert.lr=3e-3", "bert.lora_lr=1e-2",
    "bert.max_tokens=48", "bert.rank=3", "bert.epochs_per_round=25",
]  # fmt: skip
CELLS = len(BERT) + 2
"""One of each arm, and one more of the two single-site arms, which have one a site."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("bert"))
    save_encoder(path.parent / "encoder")
    text = path.read_text(encoding="utf-8")
    path.write_text(f'{text}\n[bert]\nencoder = "encoder"\n', encoding="utf-8")
    return path


def configured(study: Path, *more: str) -> StudyConfig:
    return load_study(study, [*SETTINGS, *more])


@pytest.fixture(scope="module")
def done(study: Path) -> Path:
    """The run that nothing interrupted. Tests only read it."""
    out = run_study(configured(study), study.parent / "done", command="fedmedlora run tiny.toml")
    write_report([out], out / "report.html")
    return out


def lines(path: Path, kind: str | None = None) -> list[dict[str, object]]:
    return [dict(line) for line in read_json_lines(path) if kind in (None, line.get("kind"))]


def test_every_arm_is_trained_and_scored_on_both_tasks(done: Path) -> None:
    scores, arms = (lines(done / "records.jsonl", kind) for kind in ("score", "arm"))
    assert (len(scores), len(arms)) == (CELLS * (len(SITES) + 1), CELLS)
    assert all({"ner", "re"} <= set(line["scores"]) for line in scores)  # type: ignore[arg-type]
    info = json.loads((done / "run.json").read_text(encoding="utf-8"))["encoder"]
    assert set(info["trained"]) == {"whole", "lora"}
    for line in arms:
        federated = line["arm"] in FEDERATED
        assert (line["bytes_sent"] is not None) == federated
        if federated:
            # Two rounds, out and back, two sites; each message as large as the encoder without its heads.
            assert line["full_model_bytes"] == 2 * 2 * 2 * info["bytes"]
            trained = info["trained"]["whole" if line["arm"] in BERT_WHOLE else "lora"]["bytes"]
            # Only what is trained travels: its bytes, names and shapes beside them.
            assert 2 * 2 * trained < line["bytes_sent"] < 2 * 2 * trained + 4 * 40_000  # type: ignore[operator]
    plus = [line for line in lines(done / "rounds.jsonl") if line["arm"] == "bert-lora-fedmedlora-plus"]
    for line in plus:
        for site in line["sites"].values():  # type: ignore[attr-defined]
            assert site["validation_loss"] > 0
    assert progress(load_run(done)).finished


def test_arms_of_one_kind_train_on_equal_passes(done: Path) -> None:
    tokens = {(line["arm"], line["trained_on"]): line["target_tokens"] for line in lines(done / "records.jsonl", "arm")}
    alone = sum(tokens["bert-single-site", site] for site in SITES)  # type: ignore[misc]
    for arm in BERT:
        if arm not in SINGLE_SITE:
            assert tokens[arm, "all"] == alone > 0


def test_predictions_say_how_sure_they_are(done: Path) -> None:
    known = 0
    for path in (done / "predictions").rglob("*.jsonl"):
        for document in read_documents(path).documents:
            named = document.relations if path.name.endswith(".re.jsonl") else document.entities
            if named:
                sure = document.meta["confidence"]
                assert isinstance(sure, dict)
                assert {one.id for one in named} <= sure.keys()
                known += len(named)
    assert known > 0


def test_every_model_has_a_whole_card_and_loads_elsewhere(done: Path, study: Path) -> None:
    folders = {path.parent for path in (done / "adapters").rglob("tagger.json")}
    assert len(folders) == CELLS
    digests = {str(line["adapter_digest"]) for line in lines(done / "records.jsonl", "score")}
    ids = torch.arange(5, 25)[None]
    for folder in folders:
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert str(study.parent) not in card
        assert blanks(card) == [], folder
        assert sum(digest in card for digest in digests) == 1
        whole = folder.relative_to(done / "adapters").parts[0] in BERT_WHOLE
        assert ("r = 3" in card) != whole
        assert f"| Peak learning rate | {'0.003' if whole else '0.01'}, heads 0.005, one cosine" in card
        if whole:
            model: torch.nn.Module = AutoModelForTokenClassification.from_pretrained(folder)
        else:
            base = AutoModelForTokenClassification.from_pretrained(study.parent / "encoder", num_labels=9)
            model = quietly_load_peft(base, folder)
        assert model(input_ids=ids).logits.shape == (1, 20, 1 + 2 * len(CLINICAL.entity_types))


@pytest.mark.parametrize("arm", ["bert-fedavg", "bert-lora-fedmedlora"])
def test_extract_finds_what_the_study_found(
    done: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arm: str
) -> None:
    triage = load_sites(configured(study), CLINICAL)[0]
    write_documents(triage.parts["test"], tmp_path / "notes.jsonl", "jsonl")
    command = ["extract", "--model", str(done / "adapters" / arm / "0"), str(tmp_path / "notes.jsonl")]
    assert main([*command, "--out", str(tmp_path / "found.jsonl"), "--json"]) == 0
    capsys.readouterr()
    found = read_documents(tmp_path / "found.jsonl").documents
    expected = read_documents(done / f"predictions/{arm}/0/triage.ner.jsonl").documents
    mains = [
        [(entity.type, entity.spans) for entity in document.entities if entity.type in CLINICAL.entity_types]
        for document in found
    ]
    assert mains == [[(entity.type, entity.spans) for entity in document.entities] for document in expected]
    assert main([*command, "--out", str(tmp_path / "other.jsonl"), "--plain"]) == 2
    assert "writes nothing" in capsys.readouterr().err


def test_a_run_that_stopped_between_rounds_resumes_to_the_same_bits(
    done: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ["bert-centralised", "bert-lora-fedmedlora-plus"]
    config = configured(study, f"arms={json.dumps(chosen)}")
    out = study.parent / "stopped"
    finish = cell_run._finish_round
    finished = []

    def stops(*arguments: object) -> None:
        finish(*arguments)  # type: ignore[arg-type]
        finished.append(arguments)
        # After the first round of each model.
        if len(finished) in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(cell_run, "_finish_round", stops)
    for attempt in range(3):
        try:
            run_study(config, out, resume=bool(attempt))
        except KeyboardInterrupt:
            continue
    assert len(finished) == 4
    expected = {
        (line["arm"], line["trained_on"]): line["adapter_digest"] for line in lines(done / "records.jsonl", "arm")
    }
    found = {(line["arm"], line["trained_on"]): line["adapter_digest"] for line in lines(out / "records.jsonl", "arm")}
    assert found == {key: expected[key] for key in found}
    assert {arm for arm, _ in found} == set(chosen)


def test_an_arm_without_its_encoder_is_a_mistake_of_the_study_file(study: Path, tmp_path: Path) -> None:
    path = write_study(tmp_path)
    with pytest.raises(ConfigError, match=r"'bert-fedavg' needs bert\.encoder: a folder, .* or 'minilm'"):
        load_study(path, ['arms=["bert-fedavg"]'])
    with pytest.raises(ConfigError, match=r"bert\.encoder: '.*nowhere' does not exist\. Give 'minilm'"):
        load_study(path, ['arms=["bert-fedavg"]', "bert.encoder=./nowhere"])
    with pytest.raises(ConfigError, match=r"bert\.lorra_lr: unknown key; did you mean 'lora_lr'"):
        load_study(study, ["bert.lorra_lr=1e-3"])
    resolved = load_study(study, SETTINGS)
    assert Path(str(resolved.bert.encoder)) == study.parent / "encoder"
