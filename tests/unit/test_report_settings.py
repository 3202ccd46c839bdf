"""Every setting in the report: what a coordinator reads, the paper's tables, and the numbers behind them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import Table, page_of, score_line, table_of, text_of, tree, write_run
from report_settings import write_settings_run

from fedmedlora.report.arm_table import macro, worst
from fedmedlora.report.elements import element
from fedmedlora.report.estimates import by_site, contrast, estimate, macro_contrast, macro_estimate
from fedmedlora.report.families import alone, grouped, together
from fedmedlora.report.findings import find
from fedmedlora.report.load import load_run
from fedmedlora.report.pace import elapsed, parallel_seconds
from fedmedlora.report.reach import EVERY_SITE, reaches
from fedmedlora.report.records import Run, SiteRound
from fedmedlora.report.results import own_scores
from fedmedlora.report.scaling import scaled, scaling_section, scaling_sentences
from fedmedlora.report.summary import task_sentences
from fedmedlora.report.tables import FILES, write_tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_settings_run(tmp_path_factory.mktemp("settings") / "run", seeds=(0, 1))


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return load_run(folder)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return page_of(folder)


def test_the_summary_says_what_joining_gives(run: Run) -> None:
    said = task_sentences(run, find(run), "ner")
    # 32 of 40 documents right against 16: 80 and 40 points; sixteen documents of forty make the difference.
    assert said["Joining"][0].startswith("Joining the federation gave north +40.0 points [+25.0, +5")
    assert "of strict entity F1 over training alone (Fed-MedLoRA 80.0, alone 40.0, p 0.0" in said["Joining"][0]
    # Encoders: 40 against 30 points, on four documents, which give no p under 2 of 16.
    fedavg = next(one for one in said["Joining"] if one.startswith("With BERT FedAvg"))
    assert "north has too few test notes to tell what joining gives (the two differ on 4 of 40): +10.0 points" in fedavg
    assert "(BERT FedAvg 40.0, alone 30.0, p 1.000)" in fedavg
    gap = said["Against all notes in one place"][0]
    assert gap.startswith("Against centralised training Fed-MedLoRA stands −10.0 points [−")
    assert "on the mean of 2 sites, −11.1 % of its 90.0." in gap
    assert "Fed-MedLoRA+ against Fed-MedLoRA: no different beyond the noise" in said["Weighting by validation"][0]
    abroad = said["Sites that nobody trained on"][0]
    assert abroad.startswith("On abroad Fed-MedLoRA reaches 70.0: +40.0 points [")
    assert "against the mean of the sites' own models; −10.0 points [" in abroad
    outside = said["A site that stays outside"][0]
    assert outside.startswith("Trained without north, Fed-MedLoRA reaches 50.0 there; −30.0 points [")
    assert outside.endswith("against taking part; the site's own model reaches 40.0; the bare base 10.0.")
    few = said["A new site with few notes"][0]
    assert few.startswith("fresh: starting from Fed-MedLoRA instead of the bare base gives +50.0 points [")
    assert "with 50 notes (reaching 80.0" in few
    assert said["Uneven annotation"][0].startswith(
        "In the case entities-only Fed-MedLoRA changes north by −20.0 points ["
    )
    assert "reaches 70.0: −20.0 points [" in said["More sites"][0]
    assert said["More sites"][0].endswith("against centralised training, −22.2 % of its 90.0.")


def test_the_summary_comes_first(page: str) -> None:
    assert next(text_of(one) for one in tree(page).iter("h3")) == "Summary"


def test_the_papers_table_has_groups_a_macro_average_and_the_worst_site(page: str) -> None:
    rows = table_of(page, "NER: F1 by arm and test site, in-domain")
    assert rows[0][-2:] == ["Macro average over 2 sites", "Worst site"]
    groups = [row[0] for row in rows if len(row) == 1]
    assert groups == ["Not trained", "BERT encoder", "One site alone", "Federated", "All notes in one place"]
    # Both seeds find the same 36 of 40: the seeds agree, documents move.
    row = next(row for row in rows if row[0] == "Centralised")
    assert row[1].startswith("0.900 0.8")
    assert row[1].endswith("0.900 to 0.900 2 seeds")
    assert row[7].startswith("0.900 0.8")
    assert row[7].endswith("north")
    external = table_of(page, "NER: F1 by arm and test site, external")
    assert external[0] == ["Arm", "abroad 40 documents, 40 gold"]
    assert next(row for row in external if row[0].startswith("Single-site"))[1].endswith("4 models")


def test_macro_average_and_worst_site_need_every_site(run: Run) -> None:
    scores = by_site(own_scores(run, "in-domain", "fedmedlora"))
    lower = {**scores, "south": by_site(own_scores(run, "in-domain", "single-site"))["south"]}
    # 0.8 on one site and 0.4 on the other.
    found = macro(lower, ("north", "south"), "ner", "strict")
    assert found is not None
    assert found.mean == pytest.approx(0.6)
    least = worst(lower, ("north", "south"), "ner", "strict")
    assert least is not None
    assert (least.site, least.of.mean) == ("south", pytest.approx(0.4))
    assert macro(scores, ("north", "south", "west"), "ner", "strict") is None
    assert worst(scores, ("north", "west"), "ner", "strict") is None


def test_what_cannot_be_held_against_each_other_is_not(run: Run) -> None:
    ours = by_site(own_scores(run, "in-domain", "fedmedlora"))
    theirs = by_site(own_scores(run, "in-domain", "centralised"))
    bare = {site: [replace(one, tallies={}) for one in scores] for site, scores in theirs.items()}
    assert contrast(ours["north"], bare["north"], "ner") is None
    assert macro_contrast(ours, bare, "ner") is None
    assert macro_estimate(bare, "ner") == (0.9, None, None)
    # Without scores of single documents: from the lowest low to the highest high of the seeds' own intervals.
    assert estimate(bare["north"], "ner") == (0.9, pytest.approx(0.85), pytest.approx(0.95))
    held = contrast(ours["north"], theirs["north"], "ner")
    assert held is not None
    assert (held.before, held.after, held.seeds) == (0.9, 0.8, 2)


def test_every_setting_has_its_table(page: str) -> None:
    few = table_of(page, "NER: F1 by start and notes of the new site")
    assert [row[:3] for row in few[1:]] == [
        *(["fresh", "The bare base", notes] for notes in ("0", "10", "50")),
        *(["fresh", "Fed-MedLoRA", notes] for notes in ("0", "10", "50")),
    ]
    assert few[4][5].startswith("+0.500 +0.3")
    assert few[4][7] == "above"
    uneven = table_of(page, "NER: strict F1 with uneven annotation")
    assert uneven[1][:2] == ["entities-only", "Centralised"]
    assert "−0.200" in uneven[2][1]
    scaling = table_of(page, "NER: macro average of F1 by number of sites")
    one = next(row for row in scaling if row[1:3] == ["label-skew", "10"])
    assert one[3].startswith("0.500")
    assert one[5].startswith("−0.400")
    assert one[6:] == ["−44.4 %", "15.0 MB", "100.0 s"]
    left_out = table_of(page, "Strict F1 on the site that a model was trained without")
    assert next(row for row in left_out if row[1:3] == ["north", "Fed-MedLoRA"])[3:5] == ["0.500", "0.800"]
    assert table_of(page, "Labels: divergence")[1] == ["north", "—", "0.311"]
    costs = table_of(page, "What training took")
    row = next(row for row in costs if row[0] == "Fed-MedLoRA seed 0")
    assert row[-1] == "2.50 GB"
    assert "with sites side by side" in row[4]
    assert not any("side by side" in row[4] for row in costs if row[0].startswith(("Centralised", "Single-site")))


def test_rounds_to_95_per_cent_of_centralised(run: Run, page: str) -> None:
    # Centralised ends at 0.9, so the goal is 0.855; Fed-MedLoRA ends at 0.8. Encoders under FedAvg end at 0.4 of 0.5.
    found = {(one.arm, one.site): one for one in reaches(run) if one.task == "ner"}
    one = found["fedmedlora", "north"]
    assert (one.goal, one.best, one.round, one.seconds) == (pytest.approx(0.855), pytest.approx(0.8), None, None)
    # A federation that ends where centralised training does gets there in its last round: 3 rounds of 40 + 2 s.
    risen = replace(run, rounds=tuple(_raised(run)))
    for site in ("north", EVERY_SITE):
        one = next(one for one in reaches(risen) if (one.task, one.arm, one.site) == ("ner", "fedmedlora", site))
        assert (one.round, one.seconds) == (3, pytest.approx(126.0))
    without = replace(run, rounds=tuple(one for one in run.rounds if one.arm != "centralised"))
    assert next(one for one in reaches(without) if one.arm == "fedmedlora").goal is None
    row = next(row for row in table_of(page, "NER: rounds to reach 95 %") if row[0] == "Fed-MedLoRA")
    assert row[1] == "not reached best 0.800 goal 0.855"


def _raised(run: Run) -> list:  # type: ignore[type-arg]
    central = {(one.seed, one.number): one.dev for one in run.rounds if one.arm == "centralised"}
    return [replace(one, dev=central[one.seed, one.number]) if one.arm == "fedmedlora" else one for one in run.rounds]


def test_time_is_that_of_sites_side_by_side(run: Run) -> None:
    one = next(one for one in run.rounds if one.arm == "fedmedlora")
    # Sites of 30 and 40 s one after another in 72 s: 2 s beside them, so 42.
    assert parallel_seconds(one) == pytest.approx(42.0)
    # In 45 s they already trained side by side.
    assert parallel_seconds(replace(one, seconds=45.0)) == 45.0
    silent = SiteRound(None, None, None, None, None, None, None)
    assert parallel_seconds(replace(one, sites={"north": silent})) == 72.0
    assert parallel_seconds(replace(one, seconds=None)) is None
    assert elapsed([one, replace(one, number=1, seconds=45.0), replace(one, number=2, seconds=None)]) == {
        1: pytest.approx(42.0),
        2: pytest.approx(87.0),
    }


def test_families() -> None:
    assert [(alone(arm), together(arm)) for arm in ("fedprox", "bert-fedavg", "bert-lora-fedmedlora-plus")] == [
        ("single-site", "centralised"),
        ("bert-single-site", "bert-centralised"),
        ("bert-lora-single-site", "bert-lora-centralised"),
    ]
    assert grouped(("fedmedlora", "api", "riddle")) == [
        ("Not trained", ["api"]),
        ("Federated", ["fedmedlora"]),
        ("Other", ["riddle"]),
    ]


def test_tables_are_exported(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in write_tables([folder], tmp_path)] == list(FILES)
    rows = {name: _read(tmp_path / f"{name}.csv") for name in ("gains", "low_resource", "uneven", "scaling")}
    gain = next(
        row
        for row in rows["gains"]
        if (row["arm"], row["against"], row["test_site"]) == ("fedmedlora", "single-site", "north")
    )
    assert (gain["before"], gain["after"], gain["verdict"]) == ("0.4", "0.8", "above")
    assert len(rows["low_resource"]) == 2 * 2 * 2 * 3  # tasks, rules, starts, numbers of notes
    assert len(rows["uneven"]) == 2 * 2 * 2  # tasks, arms, sites
    assert len(rows["scaling"]) == 2 * 2 * 5  # tasks, rules, divisions
    found = _read(tmp_path / "heterogeneity.csv")
    assert [(row["kind"], row["site"], row["bits"]) for row in found[:2]] == [
        ("labels", "north", "0.311"),
        ("labels", "south", "0.311"),
    ]
    text = (tmp_path / "tables.tex").read_text(encoding="utf-8")
    assert r"Fed-MedLoRA & 10 & 0.700 (" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}")


def test_scaling_without_centralised_training(run: Run) -> None:
    without = replace(run, scores=tuple(one for one in run.scores if one.arm != "centralised"))
    rows = scaled(without)
    assert scaling_sentences(rows, "ner")[0] == (
        "Over 10 sites (iid) Fed-MedLoRA reaches 70.0; there is no centralised training to hold it against."
    )
    section = element("main", *scaling_section(without, rows, "s"))
    assert "centralised" not in section
    assert "uprights" not in section
    assert [len(row) for row in table_of(section, "NER: macro average")] == [7] * 6


def test_seeds_are_spoken_of_only_where_there_are_several(page: str, tmp_path: Path) -> None:
    one = page_of(write_settings_run(tmp_path / "one", with_rounds=False))
    for text in ("the lowest to the highest seed;", "every seed draws other notes"):
        assert text in page
        assert text not in one


def test_weights_are_told_in_words_and_drawn_against_losses(page: str) -> None:
    text = text_of(tree(page))
    assert (
        "Fed-MedLoRA+: within a round, weights of 2 sites are at most 0.040 apart (equal ones would be 0.500), "
        "validation losses at most 0.050 nats." in text
    )
    assert "north: 0.480 at a loss of 0.9, 0.480 at a loss of 0.7" in text


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_arm_that_was_trained_at_a_new_site_alone_has_no_row_elsewhere(tmp_path: Path) -> None:
    def at_a_new_site(records: list[Table], rounds: list[Table]) -> None:
        variant = {"variant": {"notes": 5, "start": "base"}}
        records.append({**score_line("single-site", 0, "north+5", "north"), "setting": "low-resource", **variant})

    folder = write_run(tmp_path / "run", arms=("centralised", "fedmedlora"), edit=at_a_new_site)
    rows = table_of(page_of(folder), "NER: F1 by arm and test site, in-domain")
    assert any(row[0].startswith("Centralised") for row in rows)
    assert not any(row[0].startswith("Single-site") for row in rows)
