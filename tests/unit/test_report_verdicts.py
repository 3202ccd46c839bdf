"""What a difference is called: found, probable, noise, or of too few notes; in tables, in sentences, and explained."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from report_runs import Table, both_rules, page_of, table_of, text_of, tree, write_run
from report_settings import write_settings_run

from fedmedlora.report.estimates import Contrast, Estimate, Held, Verdict
from fedmedlora.report.findings import find
from fedmedlora.report.left_out import LeftOut, left_out_sentences
from fedmedlora.report.load import load_run
from fedmedlora.report.low_resource import FewNotes, low_resource_sentences
from fedmedlora.report.summary import task_sentences
from fedmedlora.report.tables import write_tables
from fedmedlora.report.uneven import Changed, uneven_sentences
from fedmedlora.scoring import Interval, Permutation

MANY, FEW = range(16), range(16, 20)
# Of 40 documents of one entity each those that are found: 0.4 against 0.1, and 20 documents that differ.
FOUND = {
    ("fedmedlora", "north"): MANY,
    ("fedmedlora", "south"): FEW,
    ("single-site", "north"): FEW,
    ("single-site", "south"): MANY,
}


def sixteen_against_four(records: list[Table], rounds: list[Table]) -> None:
    for record in records:
        if record["kind"] == "score":
            right = FOUND.get((str(record["arm"]), str(record["test_site"])), FEW)
            record["scores"]["ner"] = {**both_rules(40, 40, len(right)), "types": {}}  # type: ignore[index]
            record["tallies"] = {"ner": {"strict": [[2 * (place in right), 2] for place in range(40)]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("verdicts") / "run", edit=sixteen_against_four)


def held(
    difference: float, low: float, high: float, corrected: float, least: float = 0.001, alone: float = 0.01
) -> Held:
    contrast = Contrast(
        before=0.5,
        after=0.5 + difference,
        seeds=1,
        differing=20,
        found=Permutation(difference, alone, 40, 10_000),
        bounds=Interval(low, high, difference, documents=40, resamples=1000, undefined=0),
    )
    return Held(contrast, corrected, least, tests=84)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (held(-0.103, -0.175, -0.034, 0.481), "probably below"),
        (held(0.019, 0.001, 0.037, 1.0), "probably above"),
        (held(0.019, -0.001, 0.037, 1.0), "within the noise"),
        (held(0.019, 0.0, 0.037, 1.0), "within the noise"),
        (held(0.019, 0.001, 0.037, 1.0, alone=0.06), "within the noise"),
        # So few notes can give an interval that leaves out 0, since all of the few that differ lie on one side.
        (held(-0.103, -0.175, -0.034, 1.0, least=0.06), "too few notes to tell"),
        (held(-0.103, -0.175, 0.034, 0.049), "below"),
        (held(0.103, 0.034, 0.175, 0.049), "above"),
    ],
)
def test_interval_and_p_before_correction_make_a_difference_probable(found: Held, verdict: Verdict) -> None:
    assert found.verdict == verdict


def test_sentences_say_what_is_probable_and_that_no_test_confirms_it(folder: Path) -> None:
    run = load_run(folder)
    said = task_sentences(run, find(run), "ner")
    # 16 of 20 that differ on one side: p 0.012 by the binomial distribution, ten times which is 0.12.
    gains, loses = said["Joining"]
    assert gains.startswith("north probably gains by joining: +30.0 points [+1")
    assert "of strict entity F1 over training alone (Fed-MedLoRA 40.0, alone 10.0; not confirmed: p 0.1" in gains
    assert gains.endswith(" after correction for 10 tests).")
    assert loses.startswith("south probably loses by joining: −30.0 points [−")
    assert "of strict entity F1 against training alone (Fed-MedLoRA 10.0, alone 40.0; not confirmed: p 0.1" in loses
    gap = said["Against all notes in one place"][0]
    # An average has an interval and no test.
    assert gap.startswith("Against centralised training Fed-MedLoRA stands +15.0 points [")
    assert "] (not tested: the interval leaves out 0) on the mean of 2 sites, +150.0 % of its 10.0." in gap
    assert "] (probably above) and south 0.0 points [0.0, 0.0] (within the noise)." in gap
    assert said["Weighting by validation"][0].startswith(
        "Fed-MedLoRA+ against Fed-MedLoRA: probably worse on north (north −30.0 points ["
    )


def test_the_other_settings_say_it_too() -> None:
    lost, won = held(-0.1, -0.2, -0.01, 0.4), held(0.1, 0.01, 0.2, 0.4)
    assert (
        "−10.0 points [−20.0, −1.0] against taking part (probably below)"
        in left_out_sentences([LeftOut("ner", "north", "fedmedlora", 0.4, 0.5, None, None, lost)], "ner")[0]
    )
    few = FewNotes("ner", "strict", "fresh", "fedmedlora", 10, 0.6, None, None, None, None, 1, won)
    assert (
        "+10.0 points [+1.0, +20.0] with 10 notes (reaching 60.0, probably above)"
        in low_resource_sentences([few], "ner")[0]
    )
    uneven = Changed("ner", "noisy", "fedmedlora", "north", Estimate(0.4, None, None), lost)
    assert "north by −10.0 points [−20.0, −1.0] (probably below)" in uneven_sentences([uneven], "ner")[0]


def test_tables_show_the_verdict(folder: Path, tmp_path: Path) -> None:
    rows = table_of(page_of(folder), "Arms against each other, strict F1; p corrected for 10 tests.")[1:]
    verdicts = {(row[1], row[2], row[3]): row[7] for row in rows}
    assert verdicts["north", "Fed-MedLoRA", "Single-site"] == "probably above"
    assert verdicts["south", "Fed-MedLoRA", "Single-site"] == "probably below"
    assert verdicts["south", "Fed-MedLoRA", "Centralised"] == "within the noise"
    write_tables([folder], tmp_path)
    for name in ("gains", "tests"):
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            found = {(row["test_site"], row["arm"], row["against"]): row for row in csv.DictReader(stream)}
        row = found["south", "fedmedlora", "single-site"]
        assert row["verdict"] == "probably below"
        assert float(row["difference_low"]) < float(row["difference_high"]) < 0
    assert "| probably below |" in (tmp_path / "tables.md").read_text(encoding="utf-8")


def test_the_words_are_explained_once(folder: Path, tmp_path: Path) -> None:
    words = "“probably above”, “probably below”"
    page = page_of(write_settings_run(tmp_path / "run", with_rounds=False))
    text = text_of(tree(page))
    # Tables of tests in three settings, each under its name.
    assert text.count("Arms against each other, strict F1;") >= 2
    assert "Setting: external" in text
    assert text.count(words) == 1
    assert text.count("no p under 2/2ⁿ") == 1
    write_tables([folder], tmp_path)
    assert (tmp_path / "tables.md").read_text(encoding="utf-8").count(f"- {words}: the corrected p is not") == 1
