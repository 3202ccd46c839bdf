"""Confidence and classes of errors in the report: tables, charts, exports, and records that know neither."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from report_runs import ARMS, SITES, Table, page_of, table_of, text_of, tree, write_run

from fedmedlora.errors import InputError
from fedmedlora.report.load import load_run
from fedmedlora.report.square_chart import Curve, square_chart
from fedmedlora.report.tables import write_tables

# 100 gold and 80 predicted: 60 + 8 + 2 + 0 + 30 = 100 and 60 + 8 + 2 + 0 + 10 = 80.
ERRORS = {"correct": 60, "boundary": 8, "type": 2, "type and boundary": 0, "missed": 30, "spurious": 10}
SURE = {
    "auprc": 0.4321,
    "auprc_interval": [0.4, 0.5],
    "ece": 0.0625,
    "brier": 0.125,
    "bins": [[40, 0.55, 0.5], [40, 0.95, 1.0]],
    "curve": [[0.2, 1.0], [0.6, 0.75]],
    "scored": 80,
}


def known(records: list[Table], rounds: list[Table]) -> None:
    """Confidence and errors of every arm but the untrained one, whose answers know no confidence."""
    for record in records:
        if record["kind"] == "score":
            record["confidence"] = {} if record["arm"] == "zero-shot" else {"ner": SURE}
            record["errors"] = {"ner": ERRORS}


def test_confidence_by_arm_and_site(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", edit=known))
    rows = {row[0]: row[1:] for row in table_of(page, "NER: confidence by arm and test site, in-domain")[2:]}
    assert list(rows) == ["Zero-shot", "Single-site", "Centralised", "Fed-MedLoRA", "Fed-MedLoRA+"]
    assert rows["Fed-MedLoRA"] == ["0.432 0.400 to 0.500", "0.062", "0.125", "80"] * 2
    assert rows["Zero-shot"] == ["— not known", "—", "—", "—"] * 2


def test_charts_say_in_words_what_they_show(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", edit=known))
    figures = {text_of(one.find("figcaption")): one for one in tree(page).iter("figure")}  # type: ignore[arg-type]
    for site in SITES:
        curve = text_of(figures[f"NER on {site}: precision and recall"])
        assert "precision over recall." in curve
        assert "Fed-MedLoRA+: 1.000 at 0.200, 0.750 at 0.600" in curve
        assert "confidence = share right" in text_of(figures[f"NER on {site}: reliability"])
    assert not [caption for caption in figures if caption.startswith("RE on")]
    ids = [node.get("id") for node in tree(page).iter() if node.get("id")]
    assert len(ids) == len(set(ids))


def test_several_seeds_are_a_mean_and_the_charts_show_one(tmp_path: Path) -> None:
    def edit(records: list[Table], rounds: list[Table]) -> None:
        known(records, rounds)
        for record in records:
            if record["kind"] == "score" and record["arm"] == "fedmedlora" and record["seed"] == 8:
                record["confidence"] = {"ner": {**SURE, "auprc": 0.6321, "curve": [[0.3, 0.9]], "scored": 81}}
                record["errors"] = {"ner": {**ERRORS, "missed": 40}}

    page = page_of(write_run(tmp_path / "run", seeds=(7, 8), edit=edit))
    rows = {row[0]: row[1:] for row in table_of(page, "NER: confidence by arm")[2:]}
    # (0.4321 + 0.6321) / 2 = 0.5321
    assert rows["Fed-MedLoRA"][0] == "0.532 0.432 to 0.632 2 seeds"
    assert rows["Fed-MedLoRA"][3] == "80.5"
    assert "Charts show seed 7." in page
    assert "0.900 at 0.300" not in page
    errors = {row[0]: row[1:] for row in table_of(page, "NER: classes of annotations on north")[1:]}
    # Gold 100 and 110; missed 30 of 100 and 40 of 110: (0.3 + 0.3636) / 2.
    assert errors["Fed-MedLoRA"][:2] == ["105.0", "80"]
    assert errors["Fed-MedLoRA"][6] == "35.0 33.2 %"


def test_errors_are_counts_and_shares(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", edit=known))
    rows = table_of(page, "NER: classes of annotations on south, in-domain")
    assert rows[0] == [
        "Arm", "Gold", "Predicted", "correct", "boundary", "type", "type and boundary", "missed", "spurious",
        "Most frequent error",
    ]  # fmt: skip
    # Of 100 gold ones; spurious of 80 predicted. 50 errors in all, 30 of them missed.
    assert rows[-1] == [
        "Fed-MedLoRA+", "100", "80", "60 60.0 %", "8 8.0 %", "2 2.0 %", "0 0.0 %", "30 30.0 %", "10 12.5 %",
        "missed, 60.0 % of 50 errors",
    ]  # fmt: skip


def test_nothing_predicted_and_nothing_in_gold(tmp_path: Path) -> None:
    def edit(records: list[Table], rounds: list[Table]) -> None:
        for record in records:
            if record["kind"] == "score":
                record["errors"] = {"re": dict.fromkeys(("correct", "missed", "spurious"), 0)}
                record["confidence"] = {
                    "re": {"auprc": None, "auprc_interval": None, "ece": None, "brier": None, "scored": 0}
                }

    page = page_of(write_run(tmp_path / "run", edit=edit))
    assert table_of(page, "RE: confidence by arm")[-1][1:5] == ["— not supported", "—", "—", "0"]
    row = table_of(page, "RE: classes of annotations on north")[-1]
    assert row[1:] == ["0", "0", *["0 —"] * 6, "—"]


def test_records_of_earlier_versions_still_load(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert all(not score.confidence and not score.errors for score in load_run(folder).scores)
    page = page_of(folder)
    assert "No confidence is recorded" in page
    assert "No classes of errors are recorded" in page


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("auprc_interval", [0.4], "two numbers"),
        ("auprc_interval", [0.4, True], "two numbers"),
        ("bins", [[1, 0.5]], "lists of 3 numbers"),
        ("curve", [["a", 0.5]], "lists of 2 numbers"),
        ("curve", [0.5], "lists of 2 numbers"),
        ("scored", None, "whole number"),
    ],
)
def test_damage_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    def edit(records: list[Table], rounds: list[Table]) -> None:
        records[0]["confidence"] = {"ner": {**SURE, key: value}}

    with pytest.raises(InputError, match=rf"record 1, 'confidence', 'ner', '{key}'.*{message}"):
        load_run(write_run(tmp_path / "run", edit=edit))


def test_exports_have_them_unrounded_beside_strict_scores(tmp_path: Path) -> None:
    write_tables([write_run(tmp_path / "run", edit=known)], tmp_path / "tables")
    with (tmp_path / "tables" / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["task"] == "ner"]
    strict = next(row for row in rows if (row["arm"], row["rule"]) == ("centralised", "strict"))
    assert [strict[name] for name in ("auprc", "auprc_low", "auprc_high", "ece", "brier")] == [
        "0.4321", "0.4", "0.5", "0.0625", "0.125",
    ]  # fmt: skip
    assert (strict["error_boundary"], strict["error_type_and_boundary"], strict["error_missed"]) == ("8", "0", "30")
    assert strict["error_wrong_target"] == ""
    lenient = next(row for row in rows if (row["arm"], row["rule"]) == ("centralised", "lenient"))
    assert (lenient["auprc"], lenient["error_missed"]) == ("", "")
    zero_shot = next(row for row in rows if (row["arm"], row["rule"]) == (ARMS[0], "strict"))
    assert (zero_shot["auprc"], zero_shot["error_missed"]) == ("", "30")
    tables = json.loads((tmp_path / "tables" / "tables.json").read_text(encoding="utf-8"))
    assert {one["ece"] for one in tables["scores"]} == {None, 0.0625}


def test_a_curve_by_hand() -> None:
    # The plot reaches from x 52 to 368 and from y 192 (0) up to 12 (1).
    figure = square_chart("one", "title", "recall", "precision", [Curve("a & b", 0, ((0.0, 1.0), (0.5, 0.5)))])
    assert 'd="M52.0 12.0L210.0 102.0"' in figure
    assert "a &amp; b: 1.000 at 0.000, 0.500 at 0.500" in figure
    assert square_chart("none", "title", "recall", "precision", [Curve("empty", 0, ())]) == ""
    # Many points are all joined, but only about ten are marked, the last one among them.
    many = square_chart("m", "t", "x", "y", [Curve("c", 1, tuple((place / 49, 1.0) for place in range(50)))])
    marks = many.split('class="mark"')[0].rsplit('d="', 1)[1]
    assert 10 <= marks.count("M") <= 11
    assert "M368.0 12.0" in marks
