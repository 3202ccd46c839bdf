"""Made-up run directories for the tests of the report, and ways to read the page that comes out."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from fedmedlora.report import write_report
from fedmedlora.scoring import Count

SITES = ("north", "south")
ARMS = ("zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus")
# Correct of 50 gold and 50 predicted, so that strict F1 is this number over 50.
CORRECT = {"zero-shot": 5, "single-site": 20, "centralised": 30, "fedmedlora": 22, "fedmedlora-plus": 25}

Table: TypeAlias = "dict[str, object]"
Edit: TypeAlias = Callable[["list[Table]", "list[Table]"], None]


def count_json(gold: int, pred: int, correct: int) -> Table:
    return dict(Count(gold, pred, correct).to_json())


def both_rules(gold: int, pred: int, correct: int) -> Table:
    return {"strict": count_json(gold, pred, correct), "lenient": count_json(gold, pred, min(gold, pred, correct + 3))}


def interval_json(f1: float) -> Table:
    return {"low": f1 - 0.05, "high": f1 + 0.05, "point": f1, "documents": 7, "resamples": 100, "undefined": 0}


def score_line(arm: str, seed: int, trained_on: str, test_site: str) -> Table:
    correct = CORRECT[arm] + seed
    ner = {
        **both_rules(50, 50, correct),
        "types": {"problem": both_rules(50, 50, correct), "drug": both_rules(0, 0, 0)},
    }
    re_ = {**both_rules(0, 0, 0), "types": {"negation": both_rules(0, 0, 0)}}
    bounds = {mode: interval_json(correct / 50) for mode in ("strict", "lenient")}
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


def cost_line(arm: str, seed: int, trained_on: str) -> Table:
    federated = arm.startswith("fed")
    return {
        "kind": "arm",
        "setting": "in-domain",
        "arm": arm,
        "seed": seed,
        "trained_on": trained_on,
        "seconds": 754.0,
        "validation_seconds": 7.54 if arm == "fedmedlora-plus" else 0.0,
        "target_tokens": 1234567,
        "steps": 90,
        "rounds": 0 if arm == "zero-shot" else 2,
        "bytes_sent": 10_000_000 if federated else None,
        "bytes_received": 5_000_000 if federated else None,
        "full_model_bytes": 1_000_000_000 if federated else None,
        "peak_memory_bytes": 1_500_000_000,
        "adapter_digest": "cd" * 32,
    }


def round_line(arm: str, seed: int, trained_on: str, number: int) -> Table:
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


def models(arms: tuple[str, ...] = ARMS) -> Iterator[tuple[str, str]]:
    for arm in arms:
        names = SITES if arm == "single-site" else ("none",) if arm == "zero-shot" else ("all",)
        yield from ((arm, name) for name in names)


def run_info(seeds: tuple[int, ...]) -> Table:
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


def write_lines(path: Path, values: list[Table]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def study_text(seeds: tuple[int, ...], arms: tuple[str, ...]) -> str:
    names = "".join(f'[[sites]]\nname = "{site}"\n' for site in SITES)
    return (
        f'name = "toy <study>"\narms = {json.dumps(arms)}\nsettings = ["in-domain"]\nseeds = {list(seeds)}\n'
        f'rounds = 2\ntasks = ["ner", "re"]\n{names}'
    )


def write_run(
    folder: Path, seeds: tuple[int, ...] = (0,), arms: tuple[str, ...] = ARMS, edit: Edit | None = None
) -> Path:
    """Write a whole run directory; `arms` are those planned and run, `edit` changes the records before they go out."""
    folder.mkdir()
    records: list[Table] = []
    rounds: list[Table] = []
    for seed in seeds:
        for arm, trained_on in models(arms):
            records += [score_line(arm, seed, trained_on, site) for site in SITES]
            records.append(cost_line(arm, seed, trained_on))
            if arm != "zero-shot":
                rounds += [round_line(arm, seed, trained_on, number) for number in range(2)]
    if edit:
        edit(records, rounds)
    (folder / "run.json").write_text(json.dumps(run_info(seeds)), encoding="utf-8")
    (folder / "study.toml").write_text(study_text(seeds, arms), encoding="utf-8")
    write_lines(folder / "records.jsonl", records)
    write_lines(folder / "rounds.jsonl", rounds)
    return folder


def page_of(*folders: Path) -> str:
    return write_report(folders, folders[0].parent / "report.html").read_text(encoding="utf-8")


def tree(page: str) -> ET.Element:
    return ET.fromstring(page)


def text_of(node: ET.Element) -> str:
    return " ".join(" ".join(node.itertext()).split())


def table_of(page: str, caption: str) -> list[list[str]]:
    """The rows of the first table whose caption begins so, as texts."""
    for found in tree(page).iter("table"):
        if text_of(found.find("caption")).startswith(caption):  # type: ignore[arg-type]
            return [[text_of(cell) for cell in row] for row in found.iter("tr")]
    raise AssertionError(f"no table '{caption}'")
