"""The report: from a made-up run directory to one offline page, and what it says about missing and broken parts."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol

import pytest
from report_runs import ARMS, Edit, Table, both_rules, page_of, run_info, table_of, text_of, tree, write_run

from fedmedlora.errors import InputError
from fedmedlora.report import write_report
from fedmedlora.report.load import load_run
from fedmedlora.report.progress import progress


class Make(Protocol):
    def __call__(
        self, name: str = ..., seeds: tuple[int, ...] = ..., arms: tuple[str, ...] = ..., edit: Edit | None = ...
    ) -> Path: ...


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(
        name: str = "toy", seeds: tuple[int, ...] = (0,), arms: tuple[str, ...] = ARMS, edit: Edit | None = None
    ) -> Path:
        return write_run(tmp_path / name, seeds, arms, edit)

    return build


PAPER = ("Zero-shot", "Single-site each site's own model", "Centralised", "Fed-MedLoRA", "Fed-MedLoRA+")


class _Checker(HTMLParser):
    """Follows open tags as a browser's parser would, and keeps every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "meta"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed_and_loads_nothing(make: Make) -> None:
    page = page_of(make(seeds=(0, 1)))
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert not re.search(r"https?:|//|@import|url\(", page)
    assert not {tag for tag, _, _ in checker.attributes} & {"script", "link", "img", "iframe", "object", "base"}
    assert not [one for one in checker.attributes if one[1] in ("src", "style") or one[1].startswith("on")]
    links = [value for _, name, value in checker.attributes if name == "href"]
    ids = [value for _, name, value in checker.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert links
    assert all(link and link[1:] in ids for link in links)


def test_tables_and_pictures_can_be_read_without_eyes(make: Make) -> None:
    root = tree(page_of(make()))
    for table in root.iter("table"):
        assert text_of(table.find("caption"))  # type: ignore[arg-type]
        assert all(cell.get("scope") in ("col", "colgroup", "row", "rowgroup") for cell in table.iter("th"))
    pictures = list(root.iter("svg"))
    assert pictures
    for picture in pictures:
        assert (picture[0].tag, picture[1].tag, picture.get("role")) == ("title", "desc", "img")
        assert picture.get("aria-labelledby") == f"{picture[0].get('id')} {picture[1].get('id')}"
        # Two lines in one picture differ in dashes or marks, not in colour alone.
        lines = [
            line for line in picture.iter("path") if line.get("class") == "line" and "h40" not in line.get("d", "")
        ]
        assert len({line.get("stroke-dasharray") for line in lines}) >= min(len(lines), 4)


def test_rows_of_a_table_are_equally_wide(make: Make) -> None:
    for table in tree(page_of(make(seeds=(0, 1), arms=ARMS[:4]))).iter("table"):
        height: list[int] = []  # per column, how many rows a cell above still covers
        for row in table.iter("tr"):
            widths = [int(cell.get("colspan", "1")) for cell in row]
            covered = sum(1 for left in height if left)
            width = sum(widths) + covered
            if not height:
                height = [0] * width
            assert width == len(height), text_of(table.find("caption"))  # type: ignore[arg-type]
            height = _below(height, row)
        assert not any(height)


def _below(height: list[int], row: ET.Element) -> list[int]:
    after = [max(0, left - 1) for left in height]
    column = 0
    for cell in row:
        while height[column]:
            column += 1
        for _ in range(int(cell.get("colspan", "1"))):
            after[column] = int(cell.get("rowspan", "1")) - 1
            column += 1
    return after


def test_same_input_gives_the_same_bytes_wherever_it_lies(make: Make, tmp_path: Path) -> None:
    folder = make()
    copied = tmp_path / "elsewhere" / "toy"
    shutil.copytree(folder, copied)
    assert page_of(folder) == page_of(folder) == page_of(copied)


def test_scores_are_shown_with_interval_and_n(make: Make) -> None:
    rows = table_of(page_of(make()), "NER: F1 by arm")
    sites = ["north 7 documents, 50 gold", "south 7 documents, 50 gold"]
    assert rows[0] == ["Arm", *sites, "Macro average over 2 sites", "Worst site"]
    # Single-site: 20 of 50 and 50, F1 2·20/100 = 0.4; lenient 3 more, 0.46. Each site's own model only.
    single = next(row for row in rows if row[0].startswith("Single-site"))
    assert single[1:3] == ["0.400 0.350 to 0.450", "0.460 0.350 to 0.450"]
    # 22 of 50: 0.44.
    assert next(row for row in rows if row[0] == "Fed-MedLoRA")[1] == "0.440 0.390 to 0.490"


def test_numbers_are_rounded_only_in_display(make: Make) -> None:
    def thirds(records: list[Table], rounds: list[Table]) -> None:
        for record in records:
            if record["kind"] == "score":
                record["scores"] = {
                    "ner": {**both_rules(3, 3, 1), "types": {}},
                    "re": {**both_rules(0, 0, 0), "types": {}},
                }

    folder = make(edit=thirds)
    assert load_run(folder).scores[0].f1("ner", "strict") == 1 / 3
    page = page_of(folder)
    assert "0.333" in page
    assert "0.3333" not in page


def test_single_site_matrix_marks_the_own_site(make: Make) -> None:
    rows = table_of(page_of(make()), "NER: each single site")
    assert [row[0] for row in rows[2:]] == ["north", "south"]
    assert ["own site" in cell for cell in rows[2][1:]] == [True, True, False, False]
    assert ["own site" in cell for cell in rows[3][1:]] == [False, False, True, True]


def test_no_gold_and_no_prediction_is_not_supported(make: Make) -> None:
    page = page_of(make())
    arms = [row for row in table_of(page, "RE: F1 by arm")[2:] if len(row) > 1]
    assert len(arms) == len(ARMS)
    assert all(row[1] == "— not supported" for row in arms)
    types = table_of(page, "NER by type on north")
    assert types[-1] == ["drug", "— not supported"]
    # Zero-shot: 5 of 50 and 50 strictly, 8 leniently.
    assert types[2] == ["problem", "Zero-shot", "50", "50", *["0.100"] * 3, *["0.160"] * 3]


def test_several_seeds_give_mean_spread_and_every_seed(make: Make) -> None:
    page = page_of(make(seeds=(0, 1)))
    # Centralised: 30 and 31 of 50, so 0.60 and 0.62; mean 0.61.
    row = next(row for row in table_of(page, "NER: F1 by arm") if row[0] == "Centralised")
    assert row[1] == "0.610 0.600 to 0.620 2 seeds"
    every = table_of(page, "NER: F1 of every seed")
    assert next(row for row in every if row[0] == "Centralised seed 1")[1] == "0.620 0.570 to 0.670"
    assert "NER: F1 of every seed" not in page_of(make("one"))


def test_summary_tells_noise_from_difference(make: Make) -> None:
    text = text_of(tree(page_of(make())))
    # 0.44 ± 0.05 and 0.40 ± 0.05 overlap; 0.44 ± 0.05 ends at 0.49 and 0.60 ± 0.05 begins at 0.55.
    assert (
        "north gains nothing beyond the noise by joining: +4.0 points of strict entity F1 against training alone "
        "(Fed-MedLoRA 44.0, alone 40.0)." in text
    )
    # 16 of 60 points: 26.7 % of centralised training's.
    assert (
        "Against centralised training Fed-MedLoRA stands −16.0 points on the mean of 2 sites, −26.7 % of its 60.0. "
        "By site: north −16.0 points and south −16.0 points." in text
    )
    assert "Fed-MedLoRA+ against Fed-MedLoRA: no different beyond the noise on any site" in text
    # 10 MB out and 5 MB back of 1,000 MB: 98.5 % less.
    assert "Fed-MedLoRA exchanged 15.0 MB; the whole base model" in text
    assert "1.00 GB (98.5 % less)" in text


def test_summary_without_intervals_does_not_judge(make: Make) -> None:
    def bare(records: list[Table], rounds: list[Table]) -> None:
        for record in records:
            record["intervals"] = {}

    text = text_of(tree(page_of(make(edit=bare))))
    assert "north stands +4.0 points of strict entity F1 from training alone by joining, which is not judged" in text
    assert "0.440 no interval" in text


def test_costs_weights_and_convergence_tables(make: Make) -> None:
    page = page_of(make())
    costs = {row[0]: row[1:] for row in table_of(page, "What training took")}
    assert costs["Fed-MedLoRA"][:4] == ["2", "90", "1,234,567", "12.6 min 6.0 s with sites side by side"]
    assert costs["Fed-MedLoRA"][4:] == [
        "10.0 MB 10,000,000 B",
        "5.00 MB 5,000,000 B",
        "15.0 MB 15,000,000 B",
        "1.00 GB 1,000,000,000 B 98.5 % less",
        "1.50 GB",
    ]
    assert costs["Zero-shot"][0] == "— not trained"
    assert ["Centralised", "south", "sentence too long", "3"] in table_of(page, "Left out in predicting")
    assert costs["Single-site: north"][4] == "— nothing exchanged"
    weights = table_of(page, "Weights by round")
    assert weights[1][:4] == ["Fed-MedLoRA", "1", "north", "0.500"]
    assert ["Fed-MedLoRA+", "2", "south", "0.500", "0.875", "1.000", "400", "9", "3.0 s", ""] in weights
    dev = table_of(page, "NER: F1 on dev notes by round")
    assert ["Fed-MedLoRA", "south", "0.100", "0.200", "0.200", "0.200"] in dev
    assert ["Centralised", "all", "1.500", "1.000"] in table_of(page, "Training loss by round")


def test_data_and_provenance(make: Make) -> None:
    page = page_of(make())
    data = table_of(page, "Notes of every site")
    assert data[1] == ["north recipe chia", "train", "7", "7", "70", "35", "4,321", "12" * 32]
    assert data[2][2:] == ["2", "—", "—", "—", "—", "— not recorded"]
    assert table_of(page, "Left out while reading")[1] == ["north", "overlapping entity", "17"]
    text = text_of(tree(page))
    assert "fedmedlora run toy.toml --set a='<b>'" in text
    assert "what is measured there is not clinical" in text
    assert "8,000,000 parameters, 16.0 MB" in text
    assert "120,000 parameters (1.50 % of the base's)" in text
    assert "Finished: all 12 planned scores are there." in text


def test_an_arm_that_is_not_in_the_study_has_no_row(make: Make) -> None:
    page = page_of(make(arms=("zero-shot", "centralised")))
    for caption in ("NER: F1 by arm", "What training took"):
        assert [row[0] for row in table_of(page, caption) if row[0] in PAPER] == ["Zero-shot", "Centralised"]
    assert "not in this study" not in page
    assert "not on every site" not in page


def test_without_a_centralised_arm_there_is_nothing_to_reach(make: Make) -> None:
    text = text_of(tree(page_of(make(arms=("single-site", "fedmedlora")))))
    assert "— The study has no centralised arm, so there is nothing to reach." in text
    assert "centralised has no" not in text


def test_the_machine_and_the_dev_notes_are_told_in_words(make: Make) -> None:
    folder = make()
    info = run_info((0,))
    info["machine"] = {"accelerator": None, "threads": 2}
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    text = text_of(tree(page_of(folder)))
    assert "Machine no GPU and threads 2" in text
    # Above the charts of dev scores, and at each task's rounds to 95 %.
    assert text.count("Dev notes that F1 rests on: north 2 and south 2.") == 3


def test_of_the_folds_of_one_kind_the_first_is_open(make: Make) -> None:
    folds = [one for one in tree(page_of(make(seeds=(0, 1)))).iter("details") if "by type" in text_of(one[0])]
    assert [one.get("open") for one in folds] == ["open", *[None] * (len(folds) - 1)]
    assert len(folds) > 1


def test_half_a_run_says_what_is_missing(make: Make) -> None:
    def cut(records: list[Table], rounds: list[Table]) -> None:
        records[:] = [one for one in records if one["arm"] != "fedmedlora-plus"]
        rounds[:] = [one for one in rounds if (one["arm"], one["round"]) != ("fedmedlora-plus", 1)]

    folder = make(edit=cut)
    text = text_of(tree(page_of(folder)))
    # Planned: (zero-shot, centralised, two federated, two single sites) × two test sites; two are missing.
    assert "Unfinished: 10 of 12 planned scores are there." in text
    assert "Fed-MedLoRA+: 2 scores missing" in text
    assert "Fed-MedLoRA+, seed 0: training not finished, 1 of 2 rounds recorded" in text
    rows = table_of(page_of(folder), "NER: F1 by arm")
    assert next(row for row in rows if row[0] == "Fed-MedLoRA+")[1] == "— not run yet"


def test_run_json_alone_gives_a_page(make: Make) -> None:
    folder = make()
    for name in ("study.toml", "records.jsonl", "rounds.jsonl"):
        (folder / name).unlink()
    text = text_of(tree(page_of(folder)))
    assert "Plan unknown" in text
    assert "No score is recorded yet" in text
    (folder / "run.json").write_text('{"name": "bare"}', encoding="utf-8")
    assert "No site is recorded" in text_of(tree(page_of(folder)))


def test_zero_shot_needs_one_seed_and_a_site_without_test_notes_no_score(make: Make) -> None:
    def once(records: list[Table], rounds: list[Table]) -> None:
        records[:] = [
            one for one in records if one.get("test_site") != "south" and (one["arm"], one["seed"]) != ("zero-shot", 1)
        ]

    folder = make(seeds=(0, 1), edit=once)
    info = run_info((0, 1))
    info["sites"][1]["parts"] = {"test": {"documents": 0, "digest": None}}  # type: ignore[index]
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    # Zero-shot once; two single sites, centralised and two federated arms twice each: 1 + 5·2 = 11, all on north.
    assert progress(load_run(folder)) == (11, 11, ())
    rows = table_of(page_of(folder), "NER: F1 by arm")
    assert next(row for row in rows if row[0] == "Zero-shot")[3] == "— no test documents"


def test_several_runs_on_one_page(make: Make) -> None:
    page = page_of(make("first"), make("second"))
    rows = table_of(page, "The runs on this page")
    assert [row[1] for row in rows[1:]] == ["first", "second"]
    assert page.count("<h2") == 2


def test_everything_is_escaped(make: Make) -> None:
    def refuse(records: list[Table], rounds: list[Table]) -> None:
        rounds[-1]["sites"]["north"]["refused"] = "<script>\x00\ud800 & tensor"  # type: ignore[index]

    page = page_of(make(edit=refuse))
    assert "<script" not in page
    assert "left out: &lt;script&gt;\ufffd\ufffd &amp; tensor" in page
    assert "toy &lt;study&gt;" in page


def test_a_loss_that_is_not_finite_is_said_and_not_drawn(make: Make) -> None:
    def burst(records: list[Table], rounds: list[Table]) -> None:
        for one in rounds:
            if one["arm"] == "centralised":
                one["sites"]["all"]["loss"] = float("nan") if one["round"] else 1e300  # type: ignore[index]

    page = page_of(make(edit=burst))
    assert "not finite" in table_of(page, "Training loss by round")[3]
    assert "nan" not in "".join(path.get("d", "") for path in tree(page).iter("path"))


def test_a_later_record_of_one_cell_stands_and_is_counted(make: Make) -> None:
    def twice(records: list[Table], rounds: list[Table]) -> None:
        records.insert(0, {**records[0], "documents": 3})
        records.append({"kind": "riddle"})

    folder = make(edit=twice)
    run = load_run(folder)
    assert run.scores[0].documents == 7
    rows = table_of(page_of(folder), "Records in the run folder that are not shown")
    assert [row[1] for row in rows[1:]] == ["1", "1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", None, r"run\.json: not found.*fedmedlora run STUDY\.toml"),
        ("run.json", "{", r"run\.json: not JSON"),
        ("run.json", "[]", r"run\.json: expected a table"),
        ("run.json", '{"name": 3}', r"run\.json, 'name': expected a text"),
        ("run.json", '{"name": "a", "sites": [{"name": "b", "parts": 1}]}', r"'sites' 0, 'parts': expected a table"),
        ("study.toml", "arms = [", r"study\.toml: not readable as TOML"),
        ("study.toml", 'seeds = ["a"]', r"study\.toml, 'seeds': expected a list of whole numbers"),
        ("records.jsonl", '{"kind": "score"}\n', r"records\.jsonl, record 1, 'setting': expected a text"),
        ("rounds.jsonl", '{"arm": "a", "seed": 0.5}\n', r"rounds\.jsonl, record 1, 'seed': expected a whole number"),
    ],
)
def test_damage_is_an_input_error_with_its_place(make: Make, name: str, content: str | None, message: str) -> None:
    folder = make()
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        page_of(folder)
    assert not (folder.parent / "report.html").exists()


def test_no_run_and_the_same_run_twice_are_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory was given"):
        write_report([], tmp_path / "report.html")
    folder = make()
    with pytest.raises(InputError, match="given twice"):
        write_report([folder, tmp_path / "." / "toy"], tmp_path / "report.html")


def test_a_folder_gets_report_html(make: Make) -> None:
    folder = make()
    assert write_report([folder], folder) == folder / "report.html"
