"""What the tables hold beside scores and tests: types, averages, rounds, costs; and what stands in LaTeX."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from report_runs import ARMS, SITES, Table, both_rules, write_run
from report_settings import write_settings_run

from fedmedlora.report.tables import write_tables


def lower_in_the_south(records: list[Table], rounds: list[Table]) -> None:
    """Fed-MedLoRA finds 10 of 50 there: F1 0.2."""
    for record in records:
        if (record["kind"], record["arm"], record.get("test_site")) == ("score", "fedmedlora", "south"):
            record["scores"]["ner"] |= both_rules(50, 50, 10)  # type: ignore[index]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exports")
    write_tables([write_run(root / "run", edit=lower_in_the_south)], root / "tables")
    return root / "tables"


def rows_of(tables: Path, name: str, **wanted: str) -> list[dict[str, str]]:
    """Rows of a CSV file with these values; the JSON file has as many."""
    with (tables / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(json.loads((tables / "tables.json").read_text(encoding="utf-8"))[name]) == len(rows)
    return [row for row in rows if wanted.items() <= row.items()]


def test_scores_by_type(tables: Path) -> None:
    (row,) = rows_of(tables, "types", arm="fedmedlora", test_site="north", rule="strict")
    assert (row["task"], row["type"], row["gold"], row["predicted"], row["correct"]) == (
        *("ner", "problem"),
        *("50", "50", "22"),
    )
    assert row["f1"] == "0.44"
    # Six models on two sites under two rules; drug and negation are in neither gold nor prediction.
    assert len(rows_of(tables, "types")) == (len(ARMS) + 1) * len(SITES) * 2


def test_macro_average_and_worst_site(tables: Path) -> None:
    (row,) = rows_of(tables, "averages", arm="fedmedlora", rule="strict")
    # 0.44 in the north and 0.2 in the south; without scores of single documents the average has no interval.
    assert (row["setting"], row["task"], row["sites"], row["low"], row["high"]) == ("in-domain", "ner", "2", "", "")
    assert float(row["macro_f1"]) == pytest.approx(0.32)
    assert (row["worst_site"], row["worst_f1"]) == ("south", "0.2")
    assert float(row["worst_low"]) == pytest.approx(0.39)
    assert len(rows_of(tables, "averages")) == len(ARMS) * 2


def test_rounds_with_weights_and_losses(tables: Path) -> None:
    (row,) = rows_of(tables, "rounds", arm="fedmedlora-plus", round="2", site="south")
    assert (row["weight"], row["validation_loss"], row["training_loss"]) == ("0.5", "0.875", "1.0")
    assert (row["target_tokens"], row["steps"], row["seconds"], row["round_seconds"]) == ("400", "9", "3.0", "6.0")
    dev = rows_of(tables, "dev_rounds", arm="fedmedlora-plus", round="2", dev_site="south")
    assert [(row["task"], row["rule"], row["f1"]) for row in dev] == [
        ("ner", "strict", "0.2"),
        ("ner", "lenient", "0.2"),
        ("re", "strict", ""),
    ]


def test_costs_of_training(tables: Path) -> None:
    (row,) = rows_of(tables, "costs", arm="fedmedlora")
    assert (row["rounds"], row["steps"], row["target_tokens"], row["seconds"]) == ("2", "90", "1234567", "754.0")
    # Two rounds of two sites of 3 s.
    assert row["seconds_side_by_side"] == "6.0"
    assert (row["bytes_sent"], row["bytes_received"], row["full_model_bytes"]) == ("10000000", "5000000", "1000000000")
    assert row["peak_memory_bytes"] == "1500000000"
    assert [row["seconds_side_by_side"] for row in rows_of(tables, "costs", arm="single-site")] == ["", ""]


def test_latex_has_intervals_averages_types_and_weights(tables: Path) -> None:
    text = (tables / "tables.tex").read_text(encoding="utf-8")
    assert r"\multicolumn{2}{c}{south} & \multicolumn{2}{c}{Macro average of 2} \\" in text
    # Lenient 25 and 13 of 50: 0.5 and 0.26.
    row = text.index(r"Fed-MedLoRA & 0.440 & 0.500 & 0.200 & 0.260 & 0.320 & 0.380 \\")
    bounds = r"{\scriptsize 0.390--0.490}"
    assert text[row:].split("\n")[1] == rf" & {' & '.join([bounds] * 4)} &  &  \\"
    types = text.index("NER by type on north, strict F1, in-domain")
    assert r"Type & Gold & Zero-shot & Single-site & Centralised & Fed-MedLoRA & Fed-MedLoRA+ \\" in text[types:]
    assert r"problem & 50 & 0.100 & 0.400 & 0.600 & 0.440 & 0.500 \\" in text[types:]
    assert r"Fed-MedLoRA+ & 2 & 0.500 (0.875) & 0.500 (0.875) \\" in text


def test_latex_reads_as_it_is_meant(tmp_path: Path) -> None:
    write_tables([write_settings_run(tmp_path / "run", seeds=(0, 1))], tmp_path)
    text = (tmp_path / "tables.tex").read_text(encoding="utf-8")
    # A bare percent sign would hide the rest of its line, the caption's end with it.
    assert not re.search(r"(?<!\\)%", text)
    assert "—" not in text
    assert "NER by type" not in text  # these records hold no types
    assert "in-domain, means over 2 seeds. Under each F1 its 95 \\% interval" in text
    for part in text.split(r"\begin{table}")[1:]:
        columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", part)
        assert columns is not None
        for line in part.splitlines():
            if line.endswith(r" \\"):
                cells = 1 + len(re.findall(r"(?<!\\)&", line)) + line.count(r"\multicolumn{2}")
                assert cells == len(columns[1]), line


def test_markdown_says_what_a_table_rests_on(tables: Path) -> None:
    text = (tables / "tables.md").read_text(encoding="utf-8")
    blocks = dict(part.split("\n", 1) for part in text.split("\n### ")[1:])
    reach = blocks["rounds to 95 % of centralised training's dev F1"].strip().splitlines()
    assert reach[-2:] == ["", "Dev notes that F1 rests on: north 2 and south 2."]
    weights = blocks["weights in the average by round, means over seeds"]
    assert "| Fed-MedLoRA+ | 1 | 0.500 (0.875) | 0.500 (0.875) |" in weights
    assert "In brackets: the loss of the site's own adapter on validation notes" in weights
