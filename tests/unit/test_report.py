"""The report: from a made-up run directory to one offline page, and what it says about missing and broken parts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedmedlora.errors import InputError
from fedmedlora.report import write_report
from fedmedlora.report.charts import Series, line_chart
from fedmedlora.report.elements import element, escape
from fedmedlora.report.load import load_run
from fedmedlora.report.numbers import Spread, decimal, duration, listed, size
from fedmedlora.report.progress import progress
from fedmedlora.report.summary import Estimate, judge, saving
from fedmedlora.scoring import Count

SITES = ("north", "south")
ARMS = ("zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus")
# Correct of 50 gold and 50 predicted, so that strict F1 is this number over 50.
CORRECT = {"zero-shot": 5, "single-site": 20, "centralised": 30, "fedmedlora": 22, "fedmedlora-plus": 25}

Table = dict[str, object]


def _count(gold: int, pred: int, correct: int) -> Table:
    return dict(Count(gold, pred, correct).to_json())


def _both(gold: int, pred: int, correct: int) -> Table:
    return {"strict": _count(gold, pred, correct), "lenient": _count(gold, pred, min(gold, pred, correct + 3))}


def _interval(f1: float) -> Table:
    return {"low": f1 - 0.05, "high": f1 + 0.05, "point": f1, "documents": 7, "resamples": 100, "undefined": 0}


def _score(arm: str, seed: int, trained_on: str, test_site: str) -> Table:
    correct = CORRECT[arm] + seed
    ner = {**_both(50, 50, correct), "types": {"problem": _both(50, 50, correct), "drug": _both(0, 0, 0)}}
    re_ = {**_both(0, 0, 0), "types": {"negation": _both(0, 0, 0)}}
    bounds = {mode: _interval(correct / 50) for mode in ("strict", "lenient")}
    return {
        "kind": "score",
        "setting": "in-domain",
        "arm": arm,
        "seed": seed,
        "trained_on": trained_on,
        "test_site": test_site,
        "documents": 7,
        "scores": {"ner": ner, "re": re_, "documents": 7},
        "intervals": {"ner": bounds},
        "decode": {"passes": 11, "tokens": 300, "seconds": 2.0},
        "dropped": {"sentence too long": 3} if arm == "centralised" else {},
        "adapter_digest": "ab" * 32,
    }


def _cost(arm: str, seed: int, trained_on: str) -> Table:
    federated = arm.startswith("fed")
    return {
        "kind": "arm",
        "setting": "in-domain",
        "arm": arm,
        "seed": seed,
        "trained_on": trained_on,
        "seconds": 754.0,
        "target_tokens": 1234567,
        "steps": 90,
        "rounds": 2,
        "bytes_sent": 10_000_000 if federated else None,
        "bytes_received": 5_000_000 if federated else None,
        "full_model_bytes": 1_000_000_000 if federated else None,
        "adapter_digest": "cd" * 32,
    }


def _round(arm: str, seed: int, trained_on: str, number: int) -> Table:
    plus = arm == "fedmedlora-plus"
    federated = arm.startswith("fed")
    names = SITES if federated else (trained_on,)
    sites = {
        name: {
            "loss": 1.5 - 0.5 * number,
            "validation_loss": 0.875 if plus else None,
            "weight": 1 / len(names) if federated else None,
            "target_tokens": 400,
            "steps": 9,
            "seconds": 3.0,
            "refused": None,
        }
        for name in names
    }
    dev = {name: {"ner": {"strict": 0.1 + 0.1 * number, "lenient": 0.2}, "re": {"strict": None}} for name in SITES}
    return {
        "arm": arm,
        "seed": seed,
        "trained_on": trained_on,
        "round": number,
        "seconds": 6.0,
        "adapter_digest": "ef" * 32,
        "bytes_sent": 1,
        "bytes_received": 1,
        "sites": sites,
        "dev": dev,
    }


def _models(arms: tuple[str, ...] = ARMS) -> Iterator[tuple[str, str]]:
    for arm in arms:
        names = SITES if arm == "single-site" else ("none",) if arm == "zero-shot" else ("all",)
        yield from ((arm, name) for name in names)


def _info(seeds: tuple[int, ...]) -> Table:
    part = {"documents": 7, "used": 7, "digest": "12" * 32, "examples": {"ner": 70, "re": 35}, "target_tokens": 4321}
    site = {
        "synthetic": False,
        "recipe": "chia",
        "labels": ["problem", "drug"],
        "parts": {"train": part, "dev": {"documents": 2, "digest": None}, "test": {"documents": 7, "digest": None}},
        "dropped": {"overlapping entity": 17},
    }
    return {
        "name": "toy <study>",
        "command": "fedmedlora run toy.toml --set a='<b>'",
        "versions": {"fedmedlora": "0.1.0", "torch": "2.13"},
        "machine": {"system": "Linux", "cores": 2},
        "base": {"name": "bundled", "digest": "99" * 32, "parameters": 8_000_000, "bytes": 16_000_000},
        "adapter": {"parameters": 120_000, "bytes": 240_000},
        "seeds": list(seeds),
        "sites": [{"name": "north", **site}, {"name": "south", **site, "synthetic": True, "recipe": None}],
        "started": "2026-03-01T10:00:00+00:00",
    }


def _write_lines(path: Path, values: list[Table]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def _study(seeds: tuple[int, ...], arms: tuple[str, ...]) -> str:
    names = "".join(f'[[sites]]\nname = "{site}"\n' for site in SITES)
    return (
        f'name = "toy <study>"\narms = {json.dumps(arms)}\nsettings = ["in-domain"]\nseeds = {list(seeds)}\n'
        f'rounds = 2\ntasks = ["ner", "re"]\n{names}'
    )


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a whole run directory; `arms` are those planned and run, `edit` changes the records before they go out."""

    def build(
        name: str = "toy",
        seeds: tuple[int, ...] = (0,),
        arms: tuple[str, ...] = ARMS,
        edit: Callable[[list[Table], list[Table]], None] | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        records: list[Table] = []
        rounds: list[Table] = []
        for seed in seeds:
            for arm, trained_on in _models(arms):
                records += [_score(arm, seed, trained_on, site) for site in SITES]
                if arm != "zero-shot":
                    records.append(_cost(arm, seed, trained_on))
                    rounds += [_round(arm, seed, trained_on, number) for number in range(2)]
        if edit:
            edit(records, rounds)
        (folder / "run.json").write_text(json.dumps(_info(seeds)), encoding="utf-8")
        (folder / "study.toml").write_text(_study(seeds, arms), encoding="utf-8")
        _write_lines(folder / "records.jsonl", records)
        _write_lines(folder / "rounds.jsonl", rounds)
        return folder

    return build


def _page(*folders: Path) -> str:
    return write_report(folders, folders[0].parent / "report.html").read_text(encoding="utf-8")


def _tree(page: str) -> ET.Element:
    return ET.fromstring(page)


def _text(node: ET.Element) -> str:
    return " ".join(" ".join(node.itertext()).split())


def _table(page: str, caption: str) -> list[list[str]]:
    """The rows of the first table whose caption begins so, as texts."""
    for found in _tree(page).iter("table"):
        if _text(found.find("caption")).startswith(caption):  # type: ignore[arg-type]
            return [[_text(cell) for cell in row] for row in found.iter("tr")]
    raise AssertionError(f"no table '{caption}'")


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
    page = _page(make(seeds=(0, 1)))
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
    tree = _tree(_page(make()))
    for table in tree.iter("table"):
        assert _text(table.find("caption"))  # type: ignore[arg-type]
        assert all(cell.get("scope") in ("col", "colgroup", "row", "rowgroup") for cell in table.iter("th"))
    pictures = list(tree.iter("svg"))
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
    for table in _tree(_page(make(seeds=(0, 1), arms=ARMS[:4]))).iter("table"):
        height: list[int] = []  # per column, how many rows a cell above still covers
        for row in table.iter("tr"):
            widths = [int(cell.get("colspan", "1")) for cell in row]
            covered = sum(1 for left in height if left)
            width = sum(widths) + covered
            if not height:
                height = [0] * width
            assert width == len(height), _text(table.find("caption"))  # type: ignore[arg-type]
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
    assert _page(folder) == _page(folder) == _page(copied)


def test_scores_are_shown_with_interval_and_n(make: Make) -> None:
    rows = _table(_page(make()), "NER: F1 by arm")
    assert rows[0] == ["Arm", "north 7 documents, 50 gold", "south 7 documents, 50 gold"]
    # Single-site: 20 of 50 and 50, F1 2·20/100 = 0.4; lenient 3 more, 0.46. Each site's own model only.
    single = next(row for row in rows if row[0].startswith("Single-site"))
    assert single[1:3] == ["0.400 0.350 to 0.450", "0.460 0.350 to 0.450"]
    # 22 of 50: 0.44.
    assert next(row for row in rows if row[0] == "Fed-MedLoRA")[1] == "0.440 0.390 to 0.490"


def test_numbers_are_rounded_only_in_display(make: Make) -> None:
    def thirds(records: list[Table], rounds: list[Table]) -> None:
        for record in records:
            if record["kind"] == "score":
                record["scores"] = {"ner": {**_both(3, 3, 1), "types": {}}, "re": {**_both(0, 0, 0), "types": {}}}

    folder = make(edit=thirds)
    assert load_run(folder).scores[0].f1("ner", "strict") == 1 / 3
    page = _page(folder)
    assert "0.333" in page
    assert "0.3333" not in page


def test_single_site_matrix_marks_the_own_site(make: Make) -> None:
    rows = _table(_page(make()), "NER: each single site")
    assert [row[0] for row in rows[2:]] == ["north", "south"]
    assert ["own site" in cell for cell in rows[2][1:]] == [True, True, False, False]
    assert ["own site" in cell for cell in rows[3][1:]] == [False, False, True, True]


def test_no_gold_and_no_prediction_is_not_supported(make: Make) -> None:
    page = _page(make())
    assert all(row[1] == "— not supported" for row in _table(page, "RE: F1 by arm")[2:])
    types = _table(page, "NER by type on north")
    assert types[-1] == ["drug", "— not supported"]
    # Zero-shot: 5 of 50 and 50 strictly, 8 leniently.
    assert types[2] == ["problem", "Zero-shot", "50", "50", *["0.100"] * 3, *["0.160"] * 3]


def test_several_seeds_give_mean_spread_and_every_seed(make: Make) -> None:
    page = _page(make(seeds=(0, 1)))
    # Centralised: 30 and 31 of 50, so 0.60 and 0.62; mean 0.61.
    row = next(row for row in _table(page, "NER: F1 by arm") if row[0] == "Centralised")
    assert row[1] == "0.610 0.600 to 0.620 2 seeds"
    every = _table(page, "NER: F1 of every seed")
    assert next(row for row in every if row[0] == "Centralised seed 1")[1] == "0.620 0.570 to 0.670"
    assert "NER: F1 of every seed" not in _page(make("one"))


def test_summary_tells_noise_from_difference(make: Make) -> None:
    text = _text(_tree(_page(make())))
    # 0.44 ± 0.05 and 0.40 ± 0.05 overlap; 0.44 ± 0.05 ends at 0.49 and 0.60 ± 0.05 begins at 0.55.
    assert "Fed-MedLoRA is 0.040 above Single-site (within the noise); Fed-MedLoRA is 0.160 below Centralised; " in text
    assert "Over 2 test sites, Fed-MedLoRA against Centralised: below on 2." in text
    # 10 MB out and 5 MB back of 1,000 MB: 98.5 % less.
    assert "Fed-MedLoRA exchanged 15.0 MB; the whole base model" in text
    assert "1.00 GB (98.5 % less)" in text


def test_summary_without_intervals_does_not_judge(make: Make) -> None:
    def bare(records: list[Table], rounds: list[Table]) -> None:
        for record in records:
            record["intervals"] = {}

    text = _text(_tree(_page(make(edit=bare))))
    assert "no interval, so not judged" in text
    assert "0.440 no interval" in text


def test_costs_weights_and_convergence_tables(make: Make) -> None:
    page = _page(make())
    costs = {row[0]: row[1:] for row in _table(page, "What training took")}
    assert costs["Fed-MedLoRA"][:4] == ["2", "90", "1,234,567", "12.6 min"]
    assert costs["Fed-MedLoRA"][4:] == [
        "10.0 MB 10,000,000 B",
        "5.00 MB 5,000,000 B",
        "15.0 MB 15,000,000 B",
        "1.00 GB 1,000,000,000 B 98.5 % less",
    ]
    assert costs["Zero-shot"][0] == "— not trained"
    assert ["Centralised", "south", "sentence too long", "3"] in _table(page, "Left out in predicting")
    assert costs["Single-site: north"][4] == "— nothing exchanged"
    weights = _table(page, "Weights by round")
    assert weights[1][:4] == ["Fed-MedLoRA", "1", "north", "0.500"]
    assert ["Fed-MedLoRA+", "2", "south", "0.500", "0.875", "1.000", "400", "9", "3.0 s", ""] in weights
    dev = _table(page, "NER: F1 on dev notes by round")
    assert ["Fed-MedLoRA", "south", "0.100", "0.200", "0.200", "0.200"] in dev
    assert ["Centralised", "all", "1.500", "1.000"] in _table(page, "Training loss by round")


def test_data_and_provenance(make: Make) -> None:
    page = _page(make())
    data = _table(page, "Notes of every site")
    assert data[1] == ["north recipe chia", "train", "7", "7", "70", "35", "4,321", "12" * 32]
    assert data[2][2:] == ["2", "—", "—", "—", "—", "— not recorded"]
    assert _table(page, "Left out while reading")[1] == ["north", "overlapping entity", "17"]
    text = _text(_tree(page))
    assert "fedmedlora run toy.toml --set a='<b>'" in text
    assert "what is measured there is not clinical" in text
    assert "8,000,000 parameters, 16.0 MB" in text
    assert "120,000 parameters (1.50 % of the base's)" in text
    assert "Finished: all 12 planned scores are there." in text


def test_an_arm_left_out_of_the_study_is_a_dash_with_its_reason(make: Make) -> None:
    rows = _table(_page(make(arms=("zero-shot", "centralised"))), "NER: F1 by arm")
    assert next(row for row in rows if row[0] == "Fed-MedLoRA")[1] == "— not in this study"


def test_half_a_run_says_what_is_missing(make: Make) -> None:
    def cut(records: list[Table], rounds: list[Table]) -> None:
        records[:] = [one for one in records if one["arm"] != "fedmedlora-plus"]
        rounds[:] = [one for one in rounds if (one["arm"], one["round"]) != ("fedmedlora-plus", 1)]

    folder = make(edit=cut)
    text = _text(_tree(_page(folder)))
    # Planned: (zero-shot, centralised, two federated, two single sites) × two test sites; two are missing.
    assert "Unfinished: 10 of 12 planned scores are there." in text
    assert "Fed-MedLoRA+: 2 scores missing" in text
    assert "Fed-MedLoRA+, seed 0: training not finished, 1 of 2 rounds recorded" in text
    rows = _table(_page(folder), "NER: F1 by arm")
    assert next(row for row in rows if row[0] == "Fed-MedLoRA+")[1] == "— not run yet"


def test_run_json_alone_gives_a_page(make: Make) -> None:
    folder = make()
    for name in ("study.toml", "records.jsonl", "rounds.jsonl"):
        (folder / name).unlink()
    text = _text(_tree(_page(folder)))
    assert "Plan unknown" in text
    assert "No score is recorded yet" in text
    (folder / "run.json").write_text('{"name": "bare"}', encoding="utf-8")
    assert "No site is recorded" in _text(_tree(_page(folder)))


def test_zero_shot_needs_one_seed_and_a_site_without_test_notes_no_score(make: Make) -> None:
    def once(records: list[Table], rounds: list[Table]) -> None:
        records[:] = [
            one for one in records if one.get("test_site") != "south" and (one["arm"], one["seed"]) != ("zero-shot", 1)
        ]

    folder = make(seeds=(0, 1), edit=once)
    info = _info((0, 1))
    info["sites"][1]["parts"] = {"test": {"documents": 0, "digest": None}}  # type: ignore[index]
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    # Zero-shot once; two single sites, centralised and two federated arms twice each: 1 + 5·2 = 11, all on north.
    assert progress(load_run(folder)) == (11, 11, ())
    rows = _table(_page(folder), "NER: F1 by arm")
    assert next(row for row in rows if row[0] == "Zero-shot")[3] == "— no test documents"


def test_several_runs_on_one_page(make: Make) -> None:
    page = _page(make("first"), make("second"))
    rows = _table(page, "The runs on this page")
    assert [row[1] for row in rows[1:]] == ["first", "second"]
    assert page.count("<h2") == 2


def test_everything_is_escaped(make: Make) -> None:
    def refuse(records: list[Table], rounds: list[Table]) -> None:
        rounds[-1]["sites"]["north"]["refused"] = "<script>\x00\ud800 & tensor"  # type: ignore[index]

    page = _page(make(edit=refuse))
    assert "<script" not in page
    assert "left out: &lt;script&gt;\ufffd\ufffd &amp; tensor" in page
    assert "toy &lt;study&gt;" in page


def test_a_loss_that_is_not_finite_is_said_and_not_drawn(make: Make) -> None:
    def burst(records: list[Table], rounds: list[Table]) -> None:
        for one in rounds:
            if one["arm"] == "centralised":
                one["sites"]["all"]["loss"] = float("nan") if one["round"] else 1e300  # type: ignore[index]

    page = _page(make(edit=burst))
    assert "not finite" in _table(page, "Training loss by round")[3]
    assert "nan" not in "".join(path.get("d", "") for path in _tree(page).iter("path"))


def test_a_later_record_of_one_cell_stands_and_is_counted(make: Make) -> None:
    def twice(records: list[Table], rounds: list[Table]) -> None:
        records.insert(0, {**records[0], "documents": 3})
        records.append({"kind": "riddle"})

    folder = make(edit=twice)
    run = load_run(folder)
    assert run.scores[0].documents == 7
    rows = _table(_page(folder), "Records in the run folder that are not shown")
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
        _page(folder)
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


def test_judging_by_intervals() -> None:
    assert judge(Estimate(0.50, 0.45, 0.55), Estimate(0.40, 0.35, 0.44)) == "above"
    assert judge(Estimate(0.40, 0.35, 0.44), Estimate(0.50, 0.45, 0.55)) == "below"
    assert judge(Estimate(0.50, 0.45, 0.55), Estimate(0.42, 0.38, 0.46)) == "within the noise"
    assert judge(Estimate(0.50, None, None), Estimate(0.42, 0.38, 0.46)) == "not judged"


def test_numbers_in_words() -> None:
    assert (decimal(0.4567), decimal(None), decimal(float("inf"))) == ("0.457", "—", "not finite")
    assert [size(n) for n in (0, 999, 1000, 9_996, 999_499, 999_600, 1_234_567)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "10.0 kB",
        "999 kB",
        "1.00 MB",
        "1.23 MB",
    ]
    assert size(5_000_000_000_000_000) == "5,000 TB"
    assert [duration(s) for s in (83.24, 754.0, 7400.0)] == ["83.2 s", "12.6 min", "2.06 h"]
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("—", "a", "a, b and c")
    assert (saving(15, 1000), saving(110, 100)) == ("98.5 % less", "10.0 % more")
    assert Spread.of([0.25, None, 0.75]) == (0.5, 0.25, 0.75, 2, 3)


def test_elements_escape_once() -> None:
    assert element("td", "a<b", class_="n") == '<td class="n">a&lt;b</td>'
    assert escape(escape("&")) == "&amp;"


def test_a_chart_breaks_its_line_where_a_value_is_missing() -> None:
    chart = line_chart("c", "t", "F1", [Series("a", 0, ((1, 0.1), (2, None), (3, 0.3), (4, 0.4)))])
    path = next(one for one in ET.fromstring(chart).iter("path") if one.get("class") == "line")
    # One move for round 1, one for round 3, a line to round 4.
    assert re.sub(r"[^ML]", "", path.get("d", "")) == "MML"
    assert "a: 0.100 after round 1, 0.400 after round 4" in chart
    assert line_chart("c", "t", "F1", [Series("a", 0, ((1, None),))]) == ""


def test_the_room_loads_no_heavy_library() -> None:
    code = "import sys, fedmedlora.report; print(sorted({'torch', 'flwr', 'numpy', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
