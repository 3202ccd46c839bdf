"""The report's numbers as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from report_runs import ARMS, SITES, Table, page_of, table_of, text_of, tree, write_run

from fedmedlora.cli.main import main
from fedmedlora.report.tables import FILES


def tallied(records: list[Table], rounds: list[Table]) -> None:
    """Seven documents that share out what is correct: 50 gold and 50 predicted in all."""
    for record in records:
        if record["kind"] != "score":
            continue
        correct = record["scores"]["ner"]["strict"]["correct"]  # type: ignore[index]
        parts = [correct // 7 + (place < correct % 7) for place in range(7)]
        record["tallies"] = {"ner": {"strict": [[2 * part, 14 + 2 * (place == 0)] for place, part in enumerate(parts)]}}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    run = write_run(tmp_path / "run", edit=tallied)
    folder = tmp_path / "tables"
    assert main(["report", str(run), "--out", str(tmp_path / "report.html"), "--tables", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return folder


def test_scores_are_not_rounded_and_what_is_not_defined_is_empty(tables: Path) -> None:
    rows = read_csv(tables / "scores.csv")
    # Six models on two sites, two tasks, two rules.
    assert len(rows) == (len(ARMS) + 1) * len(SITES) * 2 * 2
    row = next(one for one in rows if (one["arm"], one["test_site"], one["rule"]) == ("fedmedlora", "north", "strict"))
    assert (row["gold"], row["correct"], row["f1"]) == ("50", "22", "0.44")
    assert float(row["low"]) == pytest.approx(0.39)
    assert {one["f1"] for one in rows if one["task"] == "re"} == {""}
    as_json = json.loads((tables / "tables.json").read_text(encoding="utf-8"))
    assert [str(one["correct"]) for one in as_json["scores"]] == [one["correct"] for one in rows]


def test_paired_tests_come_with_their_correction(tables: Path) -> None:
    rows = read_csv(tables / "tests.csv")
    pairs = {(one["arm"], one["against"]) for one in rows}
    assert ("fedmedlora", "centralised") in pairs
    for one in rows:
        assert float(one["p"]) <= float(one["p_corrected"]) <= 1
        assert one["documents"] == "7"
    one = next(one for one in rows if (one["arm"], one["against"]) == ("fedmedlora", "centralised"))
    assert float(one["difference"]) == pytest.approx(-0.16)


def test_latex_has_a_row_for_every_arm(tables: Path) -> None:
    text = (tables / "tables.tex").read_text(encoding="utf-8")
    assert r"Fed-MedLoRA+ & 0.500 & 0.560 & 0.500 & 0.560 & 0.500 & 0.560 \\" in text
    assert r"\multicolumn{2}{c}{north} & \multicolumn{2}{c}{south} & \multicolumn{2}{c}{Macro average of 2} \\" in text
    # Scores of both tasks, differences between arms, rounds to 95 %, weights, costs, types on two sites.
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 8


def test_markdown_has_the_sentences_and_every_table(tables: Path) -> None:
    text = (tables / "tables.md").read_text(encoding="utf-8")
    blocks = dict(part.split("\n", 1) for part in text.split("\n### ")[1:])
    assert "- Against centralised training Fed-MedLoRA stands " in blocks["NER in words"]
    lines = blocks["NER, strict F1, in-domain"].splitlines()
    assert "| Arm | north | south | Macro average |" in lines
    assert any(line.startswith("| Fed-MedLoRA | 0.440 (0.390 to 0.490) | 0.440 (") for line in lines)
    # Both sites' own models stand below the arm, each on every site.
    assert [line.split(" | ")[0] for line in lines if line.startswith("| …")] == [
        "| … trained on north",
        "| … trained on south",
    ]
    tabled = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(table) for table in _column_counts(tabled)} == {1}


def _column_counts(lines: list[str]) -> list[set[int]]:
    """For each table the numbers of cells that its lines have."""
    counts: list[set[int]] = []
    for place, line in enumerate(lines):
        if place + 1 < len(lines) and set(lines[place + 1]) <= set("|- "):
            counts.append(set())
        counts[-1].add(line.count(" | ") + 1)
    return counts


def test_the_report_judges_by_the_paired_tests(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", edit=tallied)
    page = page_of(run)
    rows = {(row[1], row[2], row[3]): row[4:] for row in table_of(page, "Arms against each other")[1:]}
    # Seven documents, each of which found a little less: 2 of the 128 exchanges are as far apart.
    difference, p, corrected, verdict, documents, seeds = rows["north", "Fed-MedLoRA", "Centralised"]
    assert (difference.split()[0], documents, seeds) == ("−0.160", "7", "1")
    assert float(p) == pytest.approx(2 / 128, abs=0.01)
    assert float(corrected) == pytest.approx(10 * 2 / 128, abs=0.08)
    # The intervals do not overlap, but seven documents among ten tests could never convince.
    assert verdict == "too few notes to tell"
    text = text_of(tree(page))
    assert "north −16.0 points [−20.4, −13.5] (too few notes to tell)" in text
    assert "has too few test notes to tell what joining gives (the two differ on 2 of 7)" in text
