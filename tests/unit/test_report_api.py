"""What the report says of a model behind a server: tokens, cost, and which notes went there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from report_runs import Table, cost_line, page_of, table_of, text_of, tree, write_run

from fedmedlora.errors import InputError
from fedmedlora.report.load import load_run
from fedmedlora.report.numbers import money
from fedmedlora.report.tables import write_tables

SENT = {"server": "chat.example.org", "model": "big", "credentialed_notes": {"north": 2, "south": 1}}
SPENT = {"questions": 1200, "tokens_in": 345678, "tokens_out": 9012, "cost": 0.954309}


def write_asked(folder: Path, spent: Mapping[str, object] | None, sent: Mapping[str, object] = SENT) -> Path:
    """A run whose arm api is recorded with what it spent, or not yet."""

    def asked(records: list[Table], rounds: list[Table]) -> None:
        if spent is not None:
            line = {**cost_line("zero-shot", 0, "none"), "arm": "api", "api": {**sent, **spent}}
            records.append(line)

    run = write_run(folder, edit=asked)
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**info, "api": sent}), encoding="utf-8")
    return run


def test_costs_say_what_asking_took(tmp_path: Path) -> None:
    run = write_asked(tmp_path / "run", SPENT)
    heads, row = table_of(page_of(run), "What asking a server took")
    assert heads == ["Model", "Server", "Its model", "Questions", "Tokens asked", "Tokens answered", "Cost"]
    assert row == ["API model", "chat.example.org", "big", "1,200", "345,678", "9,012", "0.9543"]
    written = {path.name: path.read_text(encoding="utf-8") for path in write_tables([run], tmp_path)}
    assert "| API model | chat.example.org | big | 1,200 | 345,678 | 9,012 | 0.9543 |" in written["tables.md"]
    assert "API model & chat.example.org & big & 1,200" in written["tables.tex"]
    unpriced = write_asked(tmp_path / "unpriced", {**SPENT, "cost": None})
    assert table_of(page_of(unpriced), "What asking a server took")[1][-1] == "— price not known"


def test_runs_that_ask_no_server_have_neither_table_nor_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert load_run(run).info.api is None
    written = {path.name: path.read_text(encoding="utf-8") for path in write_tables([run], tmp_path)}
    for text in (page_of(run), written["tables.md"], written["tables.tex"]):
        assert "asking a server" not in text
        assert "sends notes" not in text


def test_credentialed_notes_that_left_are_told_by_site(tmp_path: Path) -> None:
    to = "sent to chat.example.org, for its model big, as api.allow_credentialed = true of the study lets them."
    notes = "Credentialed notes sent: 3 credentialed notes (north 2, south 1)"
    assert f"{notes} were {to}" in text_of(tree(page_of(write_asked(tmp_path / "done", SPENT))))
    # Before the arm's record is there, run.json alone knows.
    assert f"{notes} may have been {to}" in text_of(tree(page_of(write_asked(tmp_path / "begun", None))))
    one = write_asked(tmp_path / "one", SPENT, {**SENT, "credentialed_notes": {"north": 1}})
    assert "1 credentialed note (north 1) was sent to" in text_of(tree(page_of(one)))
    free = text_of(tree(page_of(write_asked(tmp_path / "free", SPENT, {**SENT, "credentialed_notes": {}}))))
    assert "The arm api sends notes to chat.example.org, for its model big. None of them is marked as" in free
    assert "Credentialed notes sent" not in free


def test_damage_is_named(tmp_path: Path) -> None:
    run = write_asked(tmp_path / "run", {**SPENT, "tokens_in": "many"})
    with pytest.raises(InputError, match=r"'api', 'tokens_in': expected a whole number"):
        load_run(run)


def test_money_in_words() -> None:
    found = [money(amount) for amount in (None, 0.0, 0.00132, 0.5, 12.346, 1234.5)]
    assert found == ["—", "0.00", "0.0013", "0.5000", "12.35", "1,234.50"]
