"""The arm api of a study, against a chat server on loopback: scored, resumed, and refused what may not leave."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import SITES, STUDY, write_study

from chat_server import Server, serving
from fedmedlora.cli.main import main
from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import load_study
from fedmedlora.corpus.jsonl import write_jsonl
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from fedmedlora.errors import ConfigError, TrainingError
from fedmedlora.inference.api import LEDGER_FILE
from fedmedlora.record import read_json_lines
from fedmedlora.report.load import load_run
from fedmedlora.report.page import write_report
from fedmedlora.report.progress import progress
from fedmedlora.studies.run import run_study


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        found.say = lambda question: '{"entities": []}' if '"entities"' in question else '{"modifiers": []}'
        yield found


def overrides(server: Server) -> list[str]:
    return [
        'arms=["zero-shot", "api"]',
        f"api.base_url={server.url}",
        "api.model=toy",
        'api.key_variable=""',
        "api.shots=1",
        "api.attempts=2",
        "api.concurrency=2",
        "api.price_in=1.0",
        "api.price_out=1.0",
        "evaluation.evaluate_dev_each_round=false",
    ]


@pytest.fixture
def study(tmp_path: Path, server: Server) -> StudyConfig:
    return load_study(write_study(tmp_path), overrides(server))


def write_credentialed(folder: Path) -> Path:
    """The study with notes of triage in files: all training notes and two of three test notes are credentialed."""
    for part, count, free in (("train", 2, 0), ("dev", 1, 1), ("test", 3, 1)):
        notes = generate_notes(PROFILES["emergency-triage"], count, 0, part)
        marked = [replace(note, meta={"credentialed": place >= free}) for place, note in enumerate(notes)]
        write_jsonl(marked, folder / f"triage-{part}.jsonl")
    parts = ", ".join(f'{part} = "triage-{part}.jsonl"' for part in ("train", "dev", "test"))
    path = write_study(folder)
    generated = 'synthetic = { profile = "emergency-triage", train = 2, dev = 1, test = 2 }'
    path.write_text(STUDY.replace(generated, f'path = "."\nsplit = {{ {parts} }}'), encoding="utf-8")
    return path


def with_api(study: StudyConfig, **changes: object) -> StudyConfig:
    return study.model_copy(update={"api": study.api.model_copy(update=changes)})


def api_record(out: Path) -> dict[str, Any]:
    lines: list[dict[str, Any]] = list(read_json_lines(out / "records.jsonl"))
    (found,) = [line["api"] for line in lines if line["kind"] == "arm" and line["arm"] == "api"]
    # Other arms' records have no such key.
    assert [line["arm"] for line in lines if "api" in line] == ["api"]
    return dict(found)


def run_json(out: Path) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return found


def dry_run(path: Path, server: Server, *words: str, without: str = "nothing") -> int:
    sets = [word for one in overrides(server) if not one.startswith(without) for word in ("--set", one)]
    return main(["run", str(path), "--dry-run", *sets, *words])


def test_the_arm_is_scored_like_any_other_and_costs_are_kept(
    study: StudyConfig, server: Server, tmp_path: Path
) -> None:
    out = run_study(study, tmp_path / "out")
    scores = [
        line for line in read_json_lines(out / "records.jsonl") if line["kind"] == "score" and line["arm"] == "api"
    ]
    assert {line["test_site"] for line in scores} == {*SITES, "elsewhere"}
    assert all(line["adapter_digest"] is None for line in scores)
    # A server says nothing about how sure its model is.
    assert all(line["confidence"] == {} and line["errors"].keys() == {"ner", "re"} for line in scores)  # type: ignore[attr-defined]
    assert all(line["scores"]["ner"]["strict"]["pred"] == 0 for line in scores)  # type: ignore[index]
    ledger = list(read_json_lines(out / "api" / LEDGER_FILE))
    assert len(ledger) == len(server.asked) > 0
    assert all(line["cost"] == pytest.approx(110e-6) for line in ledger)
    # A worked example, question and answer, before every question.
    assert {len(body["messages"]) for body in server.asked} == {3}  # type: ignore[arg-type]
    assert progress(load_run(out)).finished
    assert "API model" in write_report([out], out / "report.html").read_text(encoding="utf-8")
    assert not (out / "adapters" / "api").exists()
    spent = api_record(out)
    assert spent.pop("cost") == pytest.approx(len(ledger) * 110e-6)
    host = server.url.split("/")[2]
    assert spent == {
        "server": host,
        "model": "toy",
        "credentialed_notes": {},
        "questions": len(ledger),
        "tokens_in": 100 * len(ledger),
        "tokens_out": 10 * len(ledger),
    }
    assert run_json(out)["api"] == {"server": host, "model": "toy", "credentialed_notes": {}}


def test_a_study_that_the_server_ended_goes_on_where_it_was(study: StudyConfig, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    server.faults = ["", "", "", "400"]
    with pytest.raises(TrainingError, match=r"1 of 2 models could not be trained, or asked.*status 400"):
        run_study(study, out)
    # The other arm is there all the same.
    assert {line["arm"] for line in read_json_lines(out / "records.jsonl")} == {"zero-shot"}
    answered = len(list(read_json_lines(out / "api" / LEDGER_FILE)))
    assert answered >= 2
    first = len(server.asked)
    run_study(with_api(study, attempts=5, timeout_s=60.0), out, resume=True)
    ledger = [line["question"] for line in read_json_lines(out / "api" / LEDGER_FILE)]
    assert len(ledger) == len(set(ledger))
    assert len(server.asked) - first == len(ledger) - answered
    # What the first run spent is in the arm's record too.
    assert api_record(out)["questions"] == len(ledger)
    assert api_record(out)["cost"] == pytest.approx(len(ledger) * 110e-6)


def test_nothing_is_sent_or_run_when_something_is_wrong_beforehand(
    study: StudyConfig, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        run_study(with_api(study, key_variable="NO_SUCH_KEY"), tmp_path / "out")

    under_agreement = tuple(site.model_copy(update={"credentialed": site.name == "triage"}) for site in study.sites)
    # Two test notes, and as many to take worked examples from.
    with pytest.raises(ConfigError, match=r"4 notes are credentialed .* api\.allow_credentialed = true"):
        run_study(study.model_copy(update={"sites": under_agreement}), tmp_path / "out")
    assert not server.asked
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_of_an_answer_is_counted(study: StudyConfig, server: Server, tmp_path: Path) -> None:
    server.say = lambda question: "I am sorry."
    out = run_study(study, tmp_path / "out")
    records = [line for line in read_json_lines(out / "records.jsonl") if line["kind"] == "score"]
    counted = [line["dropped"] for line in records if line["arm"] == "api"]
    assert len(counted) == 3
    assert all(dropped["answers, ner: malformed JSON"] > 0 for dropped in counted)  # type: ignore[index]


def test_notes_that_are_marked_themselves_stay_too(server: Server, tmp_path: Path) -> None:
    path = write_credentialed(tmp_path)
    # Two test notes and two training notes.
    with pytest.raises(ConfigError, match=rf"4 notes are credentialed .* sent to {server.url.split('/')[2]}\."):
        run_study(load_study(path, overrides(server)), tmp_path / "out")
    assert not server.asked
    assert not (tmp_path / "out").exists()


def test_credentialed_notes_that_were_sent_are_on_record(server: Server, tmp_path: Path) -> None:
    path, out = write_credentialed(tmp_path), tmp_path / "out"
    study = with_api(load_study(path, overrides(server)), allow_credentialed=True)
    server.faults = ["", "400"]
    alone = study.model_copy(update={"arms": ("api",)})
    with pytest.raises(TrainingError, match="status 400"):
        run_study(alone, out)
    # Two test notes; the worked example of each task is from the first site, triage, whose training notes are all
    # credentialed, and both may be from one note.
    shown = run_json(out)["api"]["credentialed_notes"]["triage"] - 2
    assert shown in (1, 2)
    host = server.url.split("/")[2]
    report = write_report([out], out / "report.html").read_text(encoding="utf-8")
    notes = f"{2 + shown} credentialed notes (triage {2 + shown})"
    assert f"{notes} may have been sent to {host}, for its model toy" in report
    # Taking the arm out does not take back what was sent.
    run_study(study.model_copy(update={"arms": ("zero-shot",)}), out, resume=True)
    assert run_json(out)["api"]["credentialed_notes"] == {"triage": 2 + shown}

    run_study(study, out, resume=True)
    assert api_record(out)["credentialed_notes"] == {"triage": 2 + shown}
    report = write_report([out], out / "report.html").read_text(encoding="utf-8")
    assert f"{notes} were sent to {host}, for its model toy" in report
    # Without worked examples none of their notes goes.
    bare = run_study(with_api(alone, shots=0), tmp_path / "bare")
    assert api_record(bare)["credentialed_notes"] == {"triage": 2}


def test_a_dry_run_refuses_what_the_run_would_refuse(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_credentialed(tmp_path)
    assert dry_run(path, server, "--no-calibration") == 2
    assert "4 notes are credentialed" in capsys.readouterr().err
    allowed = ("--no-calibration", "--set", "api.allow_credentialed=true")
    assert dry_run(path, server, *allowed) == 0
    assert dry_run(path, server, *allowed, "--set", "api.key_variable=NO_SUCH_KEY") == 2
    assert "NO_SUCH_KEY is not set" in capsys.readouterr().err
    # Nobody is asked.
    assert dry_run(path, server, "--no-calibration", "--set", 'arms=["zero-shot"]') == 0
    assert not server.asked


def test_a_dry_run_bounds_what_asking_costs(
    study: StudyConfig,
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedmedlora.studies.estimate.BUDGET_S", 0.5)
    prices = ("--set", "api.price_in=2.0", "--set", "api.price_out=10.0", "--set", "api.max_tokens=50")
    assert dry_run(tmp_path / "tiny.toml", server, *prices, "--json") == 0
    said = json.loads(capsys.readouterr().out)["estimate"]["asking"]
    assert not server.asked
    out = run_study(study, tmp_path / "out")
    # Sentences that notes share are asked once; the bound counts them as often as they come.
    records: list[dict[str, Any]] = list(read_json_lines(out / "records.jsonl"))
    questions = sum(line["decode"]["passes"] for line in records if line["kind"] == "score" and line["arm"] == "api")
    assert len(server.asked) <= questions == said["questions"]
    turns = [turn for body in server.asked for turn in body["messages"]]  # type: ignore[attr-defined]
    sent = sum(len(turn["content"].encode()) for turn in turns)
    assert sent <= said["tokens_in_at_most"] < 1.5 * sent
    assert said["tokens_out_at_most"] == 50 * questions
    assert said["cost_at_most"] == pytest.approx((2.0 * said["tokens_in_at_most"] + 10.0 * 50 * questions) / 1e6)

    # In words; without both prices the cost is not known, and what is recorded costs nothing more.
    for words, without, cost in ((prices, "nothing", "that costs at most "), ((), "api.price_out", "is not known")):
        assert dry_run(tmp_path / "tiny.toml", server, *words, without=without) == 0
        line = capsys.readouterr().out.splitlines()[-1]
        assert line.startswith(f"{questions} questions to a server: at most {said['tokens_in_at_most']:,} tokens asked")
        assert cost in line
    finished = ("--resume", "--out", str(out), "--set", 'arms=["api", "single-site"]', "--json")
    assert dry_run(tmp_path / "tiny.toml", server, *finished) == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["asking"] is None
