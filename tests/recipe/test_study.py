"""A whole study with a tiny base: what it leaves, what that is good for, and that it survives being killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_study import ARMS, CELLS, EXTERNAL, SITES, STUDY, write_study
from transformers import AutoModelForCausalLM

from card_blanks import blanks
from fedmedlora.cli.main import main
from fedmedlora.config.study_file import load_study, study_toml
from fedmedlora.corpus.formats import read_documents, write_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import ConfigError, TrainingError
from fedmedlora.federation.history import FederationResult
from fedmedlora.inference.extract import load_adapted
from fedmedlora.record import read_json_lines
from fedmedlora.report.load import load_run
from fedmedlora.report.page import write_report
from fedmedlora.report.progress import FEDERATED, progress
from fedmedlora.studies import cell_run
from fedmedlora.studies.cells import Cell
from fedmedlora.studies.run import run_study
from fedmedlora.studies.sites import load_sites
from tiny import quietly_load_peft

SOURCES = Path(__file__).resolve().parents[2] / "src"

SCORE_FIELDS = {
    "kind", "setting", "variant", "arm", "seed", "trained_on", "test_site", "documents", "scores", "intervals",
    "tallies", "decode", "dropped", "adapter_digest", "confidence", "errors",
    "test_digest",
}  # fmt: skip
ARM_FIELDS = {
    "kind", "setting", "variant", "arm", "seed", "trained_on", "seconds", "validation_seconds", "target_tokens",
    "steps", "rounds", "bytes_sent", "bytes_received", "full_model_bytes", "adapter_digest", "cell_digest",
    "peak_memory_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def done(study: Path) -> Path:
    """The run that nothing interrupted. Tests only read it."""
    out = run_study(load_study(study), study.parent / "done", command="fedmedlora run tiny.toml")
    write_report([out], out / "report.html")
    return out


def lines(path: Path) -> list[dict[str, object]]:
    return list(read_json_lines(path))


def arm_lines(run: Path) -> dict[object, dict[str, object]]:
    return {line["arm"]: line for line in lines(run / "records.jsonl") if line["kind"] == "arm"}


def timeless(value: object) -> object:
    """The value without what a clock said, and without what else the process held."""
    passing = ("seconds", "validation_seconds", "peak_memory_bytes")
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in passing}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def test_every_model_is_scored_on_every_site_and_recorded_once(done: Path) -> None:
    records = lines(done / "records.jsonl")
    scores = [line for line in records if line["kind"] == "score"]
    arms = [line for line in records if line["kind"] == "arm"]
    # FedSA-LoRA's models are their sites' own, so none of them is tested elsewhere.
    assert (len(scores), len(arms)) == (CELLS * (len(SITES) + 1) - 1, CELLS)
    for line in scores:
        assert line["setting"] == ("external" if line["test_site"] == EXTERNAL else "in-domain")
        assert line["trained_on"] != EXTERNAL
    assert not [line for line in scores if (line["arm"], line["test_site"]) == ("fedsa-lora", EXTERNAL)]
    assert all(set(line) == SCORE_FIELDS for line in scores)
    assert all(set(line) == ARM_FIELDS for line in arms)
    assert {line["arm"] for line in arms} == set(ARMS)
    for line in arms:
        federated = line["arm"] in FEDERATED
        assert (line["bytes_sent"] is not None) == federated
        # A round and its answer for each site in each of two rounds, each as large as the frozen base would be.
        assert (
            not federated
            or line["full_model_bytes"] == 2 * 2 * 2 * json.loads((done / "run.json").read_text())["base"]["bytes"]
        )
    for line in scores:
        for task, errors in line["errors"].items():
            strict, sure = line["scores"][task]["strict"], line["confidence"][task]
            assert errors["correct"] == strict["correct"]
            assert sum(errors.values()) - errors["spurious"] == strict["gold"]
            assert sure["scored"] == strict["pred"] == sum(size for size, _, _ in sure["bins"])
    rounds = lines(done / "rounds.jsonl")
    # Two rounds of every model but the untrained one.
    assert len(rounds) == 2 * (CELLS - 1)
    assert progress(load_run(done)).finished


def test_every_adapter_has_a_whole_card(done: Path, study: Path) -> None:
    adapters = {path.parent for path in (done / "adapters").rglob("adapter_config.json")}
    cards = {path.parent: path.read_text(encoding="utf-8") for path in (done / "adapters").rglob("README.md")}
    assert cards.keys() == adapters
    records = lines(done / "records.jsonl")
    digests = {str(line["adapter_digest"]) for line in records if line["kind"] == "score"}
    for folder, card in cards.items():
        assert str(study.parent) not in card
        assert blanks(card) == [], folder
        assert sum(digest in card for digest in digests) >= 1
        assert "generated" in card
        for heading in ("What it is", "How it was trained", "How it scores", "Privacy", "Limits", "How to use it"):
            assert f"\n## {heading}\n" in card
        assert load_adapted(folder).read().digest in card
    parts = {site["name"]: site["parts"] for site in json.loads((done / "run.json").read_text())["sites"]}
    plus = cards[done / "adapters" / "fedmedlora-plus" / "0"]
    for site in (*SITES, EXTERNAL):
        assert f"`{parts[site]['test']['digest']}`" in plus
    assert f"triage (`{parts['triage']['dev']['digest']}`)" in plus
    assert "α = 1, τ = 1;" in plus
    assert "μ = 0.01" in cards[done / "adapters" / "fedprox" / "0"]
    personal = cards[done / "adapters" / "fedsa-lora" / "0" / "triage"]
    assert "| triage | entities |" in personal
    assert "| pharmacy | entities |" not in personal


def test_arms_train_on_equal_passes(done: Path) -> None:
    by_arm = {
        (line["arm"], line["trained_on"]): line for line in lines(done / "records.jsonl") if line["kind"] == "arm"
    }
    alone = sum(by_arm["single-site", site]["target_tokens"] for site in SITES)  # type: ignore[misc]
    for arm in ("centralised", *(arm for arm in FEDERATED if arm in ARMS)):
        assert by_arm[arm, "all"]["target_tokens"] == alone > 0
    assert by_arm["zero-shot", "none"]["target_tokens"] == 0


def test_the_report_and_the_record_name_no_folder_of_this_machine(done: Path, study: Path) -> None:
    for name in ("report.html", "run.json", "study.toml", "records.jsonl", "rounds.jsonl"):
        text = (done / name).read_text(encoding="utf-8")
        assert text
        assert str(study.parent) not in text
    assert load_study(done / "study.toml", environment={}).sites == load_study(study, environment={}).sites


def test_predictions_are_scored_by_the_command_line_as_recorded(
    done: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_study(study)
    for site in load_sites(config, CLINICAL):
        write_documents(site.parts["test"], tmp_path / f"{site.name}.jsonl", "jsonl")
    for line in lines(done / "records.jsonl"):
        if line["kind"] != "score" or line["trained_on"] in SITES:
            continue
        for task in config.tasks:
            site = line["test_site"]
            predicted = done / "predictions" / str(line["arm"]) / "0" / f"{site}.{task}.jsonl"
            assert main(["score", str(tmp_path / f"{site}.jsonl"), str(predicted), "--json"]) == 0
            assert json.loads(capsys.readouterr().out)[task] == line["scores"][task]  # type: ignore[index]


@pytest.mark.parametrize("folder", ["fedmedlora/0", "single-site/0/triage"])
def test_an_adapter_loads_in_plain_peft_and_gives_the_same_logits(done: Path, study: Path, folder: str) -> None:
    adapter, base = done / "adapters" / folder, study.parent / "base"
    recorded = {line["adapter_digest"] for line in lines(done / "records.jsonl")}
    resident = load_adapted(adapter)
    assert resident.read().digest in recorded
    plain = quietly_load_peft(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    alone = AutoModelForCausalLM.from_pretrained(base).eval()
    ids = torch.arange(40)[None] * 7 % 380
    with torch.inference_mode():
        ours, theirs, without = (model(input_ids=ids).logits for model in (resident.model, plain, alone))
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, without, atol=1e-3)


def test_extract_finds_what_the_study_found(
    done: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_study(study)
    triage = load_sites(config, CLINICAL)[0]
    write_documents(triage.parts["test"], tmp_path / "notes.jsonl", "jsonl")
    command = ["extract", "--model", str(done / "adapters/zero-shot/0"), str(tmp_path / "notes.jsonl")]
    assert main([*command, "--out", str(tmp_path / "found.jsonl"), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    found = read_documents(tmp_path / "found.jsonl").documents
    expected = read_documents(done / "predictions/zero-shot/0/triage.ner.jsonl").documents
    mains = [
        [(entity.type, entity.spans) for entity in document.entities if entity.type in CLINICAL.entity_types]
        for document in found
    ]
    assert mains == [[(entity.type, entity.spans) for entity in document.entities] for document in expected]
    assert any(mains)
    assert counts["documents"] == 2
    assert counts["entities"] + counts["modifiers"] == sum(len(document.entities) for document in found)
    assert counts["relations"] == sum(len(document.relations) for document in found)


def test_a_run_that_ended_is_left_as_it_is(done: Path, study: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*.jsonl")}
    run_study(load_study(study), done, resume=True)
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*.jsonl")} == before
    with pytest.raises(ConfigError, match=r"already holds a run\. Add --resume"):
        run_study(load_study(study), done)
    with pytest.raises(ConfigError, match=r"another configuration: settings\.training\.lr was 0\.01, is 0\.001\."):
        run_study(load_study(study, ["training.lr=1e-3"]), done, resume=True)


def test_a_model_that_cannot_be_trained_does_not_stop_the_others(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = cell_run._train
    out = tmp_path / "out"
    overrides = ["arms=['single-site','centralised']", "tasks=['ner']", "settings=['in-domain']", "rounds=1"]

    def fails_on_triage(going: cell_run.CellRun, cell: Cell) -> FederationResult:
        if cell.trained_on == "triage":
            raise TrainingError("step 3: the loss is not finite.")
        return train(going, cell)

    monkeypatch.setattr(cell_run, "_train", fails_on_triage)
    with pytest.raises(TrainingError, match=r"1 of 3 models .* single-site, seed 0, trained on triage: step 3"):
        run_study(load_study(study, overrides), out)
    assert {cost.trained_on for cost in load_run(out).costs} == {"pharmacy", "all"}
    monkeypatch.undo()
    run_study(load_study(study, overrides), out, resume=True)
    assert progress(load_run(out)).finished


def test_a_site_that_is_left_out_has_no_part_in_its_model(done: Path, study: Path, tmp_path: Path) -> None:
    overrides = [
        'arms=["zero-shot", "single-site", "centralised", "fedmedlora-plus", "fedsa-lora"]',
        'settings=["leave-one-out"]',
        "rounds=1",
    ]
    out = run_study(load_study(study, overrides), tmp_path / "out")
    records = lines(out / "records.jsonl")
    scores = [line for line in records if line["kind"] == "score"]
    # Nothing but the two arms that train one model for all has one to test.
    assert {(line["setting"], line["arm"], line["trained_on"], line["test_site"]) for line in scores} == {
        ("leave-one-out", arm, f"without-{site}", site) for arm in ("centralised", "fedmedlora-plus") for site in SITES
    }
    for line in lines(out / "rounds.jsonl"):
        if str(line["trained_on"]).startswith("without-"):
            left_out = str(line["trained_on"]).removeprefix("without-")
            assert left_out not in line["sites"]  # type: ignore[operator]
            assert left_out not in line["dev"]  # type: ignore[operator]
    # What is left of two sites is what single-site trains on, here in one round instead of two.
    here, there = (
        {(line["arm"], line["trained_on"]): line["target_tokens"] for line in found if line["kind"] == "arm"}
        for found in (records, lines(done / "records.jsonl"))
    )
    assert here["centralised", "without-pharmacy"] == there["single-site", "triage"] // 2  # type: ignore[operator]
    assert len(here) == 4
    assert progress(load_run(out)).finished
    page = write_report([out], out / "report.html").read_text(encoding="utf-8")
    assert "Fed-MedLoRA+: without-triage" in page
    with pytest.raises(ConfigError, match="nothing to run: none of the arms zero-shot"):
        run_study(load_study(study, ['arms=["zero-shot"]', 'settings=["leave-one-out"]']), tmp_path / "none")
    with pytest.raises(ConfigError, match="'leave-one-out' needs two sites"):
        load_study(study, [*overrides, "sites.triage.external=true"])


def test_a_study_sends_what_is_averaged_in_the_precision_that_it_names(done: Path, study: Path) -> None:
    arms = 'arms=["centralised", "fedmedlora"]'
    out = run_study(load_study(study, [arms, "federation.wire=int8"]), study.parent / "int8")
    found, expected = arm_lines(out), arm_lines(done)
    # What is not averaged is not sent, and so not rounded.
    assert found["centralised"]["adapter_digest"] == expected["centralised"]["adapter_digest"]
    assert found["fedmedlora"]["adapter_digest"] != expected["fedmedlora"]["adapter_digest"]
    # Half the bytes out and a quarter back, were it not for names, shapes and NumPy's headers, which are much of so
    # small an adapter.
    assert found["fedmedlora"]["bytes_sent"] < 0.8 * expected["fedmedlora"]["bytes_sent"]  # type: ignore[operator]
    assert found["fedmedlora"]["bytes_received"] < 0.6 * expected["fedmedlora"]["bytes_received"]  # type: ignore[operator]
    residuals = [path.name for path in (out / "state").rglob("residual-*")]
    assert len(residuals) == len(SITES) * 2


@pytest.mark.parametrize("changed", ["base", "machine"])
def test_a_run_is_not_resumed_on_another_base_or_machine(done: Path, study: Path, tmp_path: Path, changed: str) -> None:
    out = tmp_path / "copy"
    shutil.copytree(done, out)
    # The resolved study file holds paths relative to its folder.
    config = load_study(study)
    (out / "study.toml").write_text(study_toml(config, out), encoding="utf-8")
    described = json.loads((out / "run.json").read_text(encoding="utf-8"))
    if changed == "base":
        described["base"]["digest"] = "0" * 64
    else:
        described["machine"]["threads"] += 1
    (out / "run.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"started with another {changed}"):
        run_study(config, out, resume=True)


def test_run_json_says_how_different_the_sites_are(done: Path) -> None:
    described = json.loads((done / "run.json").read_text(encoding="utf-8"))
    members = [site["name"] for site in described["sites"] if not site["external"]]
    for kind in ("labels", "vocabulary"):
        found = described["heterogeneity"][kind]
        assert {one: set(others) for one, others in found.items()} == {one: {*members} - {one} for one in members}
        assert all(0 <= bits <= 1 for others in found.values() for bits in others.values())


KILLED_ARMS = ("single-site", "fedmedlora", "fedmedlora-plus", "fedsa-lora")
KILLED_WHEN = (
    "state/single-site/0/triage/checkpoint.json",  # the first round, whose optimizer is kept
    "state/fedmedlora/0/global-0001.safetensors",  # between rounds
    "predictions/fedmedlora-plus/0/triage.ner.jsonl",  # testing
)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(done: Path, study: Path) -> None:
    out, fewer = study.parent / "killed", study.with_name("fewer.toml")
    fewer.write_text(f"arms = {json.dumps(KILLED_ARMS)}\n{re.sub(r'arms = .*?]', '', STUDY, flags=re.DOTALL)}")
    for place in KILLED_WHEN:
        _run_until(fewer, out, out / place)
    assert not progress(load_run(out)).finished
    assert main(["run", str(fewer), "--out", str(out), "--resume"]) == 0
    for name in ("records.jsonl", "rounds.jsonl"):
        assert timeless(lines(out / name)) == timeless([x for x in lines(done / name) if x["arm"] in KILLED_ARMS])
    for pattern in ("adapters/**/adapter_model.safetensors", "predictions/**/*.jsonl"):
        expected = [path for arm in KILLED_ARMS for path in done.glob(pattern) if arm in path.parts]
        assert expected
        assert all((out / path.relative_to(done)).read_bytes() == path.read_bytes() for path in expected)
    assert json.loads((out / "run.json").read_text())["command"] == "fedmedlora run fewer.toml"
    assert (out / "report.html").stat().st_size > 10_000


def _run_until(study: Path, out: Path, appears: Path) -> None:
    """Start or resume the run in a process of its own, and kill it once a file is there."""
    command = [sys.executable, "-c", "from fedmedlora.cli.main import run_and_exit; run_and_exit()", "run", study.name]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with (out.parent / "killed.log").open("w+b") as log:
        process = subprocess.Popen(
            [*command, "--out", str(out), "--resume"], cwd=study.parent, env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 600
            while not appears.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            status = process.wait(timeout=30)
        finally:
            process.kill()
        log.seek(0)
        assert appears.exists(), log.read().decode()
        assert status == -signal.SIGKILL
