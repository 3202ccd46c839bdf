"""What the section on rounds says of passes over the data and of the dev notes behind its scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import table_of, text_of, tree
from report_settings import write_settings_run

from fedmedlora.report.elements import element
from fedmedlora.report.load import load_run
from fedmedlora.report.records import Run
from fedmedlora.report.rounds import rounds_section


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_settings_run(tmp_path_factory.mktemp("rounds") / "run")


def said(run: Run) -> str:
    return text_of(tree(element("main", *rounds_section(run, "r"))))


def test_a_round_is_as_many_passes_as_the_plan_says(folder: Path) -> None:
    run = load_run(folder)
    both = "Every round is 2 passes over an arm's training examples, so that arms at one round have made equal passes"
    assert both in said(run)
    assert run.plan is not None
    assert "Every round is" not in said(replace(run, plan=None))


def test_passes_of_encoders_are_told_where_they_differ(folder: Path) -> None:
    study = folder / "study.toml"
    text = study.read_text(encoding="utf-8")
    study.write_text(f"{text}[bert]\nepochs_per_round = 1\n", encoding="utf-8")
    run = load_run(folder)
    study.write_text(text, encoding="utf-8")
    assert (
        "Every round is 2 passes over an arm's training examples, and 1 where its model is an encoder, so that arms of "
        "one kind of model at one round have made equal passes over the data." in said(run)
    )
    # Of one kind alone, its own number.
    encoders = tuple(one for one in run.rounds if one.arm.startswith("bert-"))
    others = tuple(one for one in run.rounds if not one.arm.startswith("bert-"))
    assert "Every round is 1 pass over an arm's training examples, so that arms at" in said(
        replace(run, rounds=encoders)
    )
    assert "Every round is 2 passes over an arm's training examples, so that arms at" in said(
        replace(run, rounds=others)
    )


def test_rounds_to_95_per_cent_name_the_dev_notes(folder: Path) -> None:
    page = element("main", *rounds_section(load_run(folder), "r"))
    for task in ("NER", "RE"):
        assert table_of(page, f"{task}: rounds to reach 95 % of centralised training")
    captions = [text_of(one) for one in tree(page).iter("caption") if "rounds to reach 95 %" in text_of(one)]
    assert all(one.endswith("Dev notes that F1 rests on: north 2 and south 2.") for one in captions)
    assert len(captions) == 2
