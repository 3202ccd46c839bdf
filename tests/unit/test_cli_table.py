"""The table that is printed after a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_settings import write_settings_run

from fedmedlora.cli.study import print_run
from fedmedlora.report.load import load_run


def test_models_come_in_the_order_of_the_study_whichever_ended_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load_run(write_settings_run(tmp_path / "run", with_rounds=False))
    assert run.plan is not None
    plan = replace(run.plan, arms=("single-site", "zero-shot", "fedmedlora"), tasks=("ner",))
    few = tuple(one for one in run.scores if one.arm in plan.arms)
    print_run(replace(run, plan=plan, scores=few[::-1]))
    printed = capsys.readouterr().out.splitlines()
    # 16 of 40 documents on a site that trains, 12 abroad, leniently three more; nothing of the new site.
    assert printed[0].split("  ")[0] == "NER F1, strict / lenient"
    assert "fresh" not in printed[0]
    rows = [" ".join(line.split()) for line in printed if line.startswith(("Single", "Zero", "Fed", "Bare"))]
    assert [row.split(" 0.")[0] for row in rows] == [
        "Single-site: north",
        "Single-site: south",
        "Zero-shot",
        "Fed-MedLoRA",
    ]
    assert "0.400 / 0.475" in rows[0]
    assert "0.300 / 0.375" in rows[0]
    assert "Scores of leave-one-out, low-resource, scaling and uneven: see the report." in printed
