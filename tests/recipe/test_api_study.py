"""The arm api of a study, against a chat server on loopback: scored, resumed, and refused what may not leave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_study import SITES, write_study

from chat_server import Server, serving
from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import load_study
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


@pytest.fixture
def study(tmp_path: Path, server: Server) -> StudyConfig:
    overrides = [
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
    return load_study(write_study(tmp_path), overrides)


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
    patient = study.model_copy(update={"api": study.api.model_copy(update={"attempts": 5, "timeout_s": 60.0})})
    run_study(patient, out, resume=True)
    ledger = [line["question"] for line in read_json_lines(out / "api" / LEDGER_FILE)]
    assert len(ledger) == len(set(ledger))
    assert len(server.asked) - first == len(ledger) - answered


def test_nothing_is_sent_or_run_when_something_is_wrong_beforehand(
    study: StudyConfig, server: Server, tmp_path: Path
) -> None:
    keyless = study.model_copy(update={"api": study.api.model_copy(update={"key_variable": "NO_SUCH_KEY"})})
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        run_study(keyless, tmp_path / "out")

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
