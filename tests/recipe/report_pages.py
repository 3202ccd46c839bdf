"""A made-up run whose report has every kind of chart and every shade of a heat table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from report_settings import ARMS, EXTERNAL, NEW, SITES, write_settings_run

Line: TypeAlias = "dict[str, Any]"


def charted_run(folder: Path) -> Path:
    """The run of `report_settings` with confidence in every answer, and nothing twice: no two lines coincide.

    Weights of plain federated averaging stay what they are: equal, so that the lines of two sites do coincide. Of the
    two tasks, whose charts are alike, there is one.
    """
    write_settings_run(folder)
    study = folder / "study.toml"
    study.write_text(study.read_text(encoding="utf-8").replace('["ner", "re"]', '["ner"]'), encoding="utf-8")
    _change(folder / "records.jsonl", _with_confidence)
    _change(folder / "rounds.jsonl", _apart)
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    # 0.1, 0.3, …, 0.9: one bit in five shades; no word of the new site is known.
    bits = iter((0.1, 0.3, 0.5, 0.7, 0.9, 0.0))
    names = (*SITES, EXTERNAL)
    table = {one: {other: next(bits) for other in names if other != one} for one in names}
    info["heterogeneity"] = {"labels": table, "vocabulary": {**table, NEW: dict.fromkeys(names, None)}}
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def _change(path: Path, change: Callable[[Line], None]) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _with_confidence(record: Line) -> None:
    if record["kind"] != "score":
        return
    lower = 0.03 * ARMS.index(record["arm"])
    known = {
        "auprc": 0.9 - lower,
        "auprc_interval": [0.85 - lower, 0.95 - lower],
        "ece": 0.1,
        "brier": 0.1,
        "bins": [[20, 0.3, 0.5 - lower], [20, 0.6, 0.75 - lower], [20, 0.95, 0.98 - lower]],
        "curve": [[0.1, 1.0 - lower], [0.5, 0.9 - lower], [0.8, 0.6 - lower]],
        "scored": 60,
    }
    record["confidence"] = {"ner": known}


def _apart(line: Line) -> None:
    for place, name in enumerate(SITES):
        for scores in line["dev"][name].values():
            scores["strict"] += 0.02 * ARMS.index(line["arm"])
        if name in line["sites"]:
            line["sites"][name]["loss"] += 0.2 * place
