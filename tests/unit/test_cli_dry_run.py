"""`run --dry-run`: what cannot be is refused as the run itself refuses it, and what is recorded is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmedlora.cli.main import main
from fedmedlora.record import append_json_line

STUDY = """
arms = ["zero-shot", "fedmedlora"]

[[sites]]
name = "triage"
synthetic = { profile = "emergency-triage", train = 3, dev = 1, test = 1 }

[[sites]]
name = "pharmacy"
synthetic = { profile = "pharmacy-review", train = 2, dev = 1, test = 1 }
"""
SCALED = ("--set", 'settings=["in-domain", "scaling"]')


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    Path("two.toml").write_text(STUDY)
    return ["run", "two.toml", "--dry-run", "--no-calibration"]


def test_more_sites_than_notes_are_refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, *SCALED, "--set", "scaling.sites=[1, 5]"]) == 0
    assert main([*command, *SCALED, "--set", "scaling.sites=[1, 6]"]) == 2
    assert "names 6, but the sites have at most 5 training notes" in capsys.readouterr().err
    # One example of each of two tasks at a site: no more than two notes of it have one.
    capped = ["--set", "scaling.sites=[1, 5]", "--set", "training.max_train_examples=1"]
    assert main([*command, *SCALED, *capped]) == 2
    assert "names 5, but the sites have at most 4 training notes" in capsys.readouterr().err


def test_a_missing_encoder_is_refused(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = ["--set", 'arms=["bert-fedavg"]', "--set"]
    Path("empty").mkdir()
    assert main([*command, *bert, "bert.encoder=./empty"]) == 2
    assert "empty': the folder has no config.json" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*command, *bert, "bert.encoder=minilm"]) == 3
    assert "the encoder 'minilm' is not installed" in capsys.readouterr().err
    # An encoder that no arm needs is not looked for.
    assert main([*command, "--set", "bert.encoder=minilm"]) == 0


def test_recorded_cells_are_said_with_resume(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    records = Path("runs/two/records.jsonl")
    records.parent.mkdir(parents=True)
    for arm, trained_on, tested in (("zero-shot", "none", ["triage", "pharmacy"]), ("fedmedlora", "all", ["triage"])):
        key = {"arm": arm, "seed": 0, "trained_on": trained_on}
        append_json_line(records, {"kind": "arm", **key})
        for site in tested:
            append_json_line(records, {"kind": "score", **key, "test_site": site})
    assert main([*command, "--resume"]) == 0
    said = [line.endswith(": recorded already") for line in capsys.readouterr().out.splitlines()[-2:]]
    # The second has not been tested on pharmacy.
    assert said == [True, False]
    assert main([*command, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] == [{"arm": "zero-shot", "seed": 0, "trained_on": "none"}]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] == []
