"""A model card beside every adapter of a run: what it is, how it was made, how it scores, what it is not.

Written from the run's own records, so that a card says what the report says. It holds no note text and no local path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedmedlora.config.arms import PLUS
from fedmedlora.config.models import StudyConfig
from fedmedlora.record import write_atomic
from fedmedlora.studies.card_combining import sent
from fedmedlora.studies.card_models import TASKS, identity, metadata, opening, others_load
from fedmedlora.studies.card_training import method, notes_rows, settings_rows
from fedmedlora.studies.cells import NOTHING, Cell, study_cells
from fedmedlora.studies.ledger import Ledger
from fedmedlora.studies.variants import ALL

CARD_FILE = "README.md"
_MAKER = "Made by fedmedlora"

_SEEN = {"external": " (external)", "leave-one-out": " (left out of training)", "low-resource": " (new site)"}
_LIMITS = (
    "Not a medical device. It was made for research; nobody has validated it for the care of patients.",
    "Scores hold for the notes named above. On those of another hospital, language or kind expect lower ones.",
    "It can miss what is there and mark what is not; the scores say how often. A person must look at what it finds "
    "before using it.",
)
_GIVEN = "A modifier is scored given the right entity. Applied to entities that the model found itself, errors add up."


def write_cards(config: StudyConfig, out: Path) -> list[Path]:
    """Write the card of every adapter of a run directory that is recorded; returns the files.

    The same run directory gives the same bytes.
    """
    info: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    ledger = Ledger(out)
    written = []
    for cell in study_cells(config):
        trained, scores = ledger.arm_line(cell.key), list(ledger.score_lines(cell.key).values())
        if trained is None or cell.arm == "api" or cell.untrained_start:
            continue
        folders = {site: f"{cell.folder}/{site}" for site in config.members} if cell.personal else {}
        for site, folder in folders.items() or ((None, cell.folder),):
            tested = [line for line in scores if site in (None, line["test_site"])]
            path = out / "adapters" / folder / CARD_FILE
            write_atomic(path, render_card(config, cell, info, trained, tested, site))
            written.append(path)
    return written


def has_card(folder: Path) -> bool:
    """Whether an adapter's folder holds a card that a run wrote."""
    path = folder / CARD_FILE
    return path.is_file() and _MAKER in path.read_text(encoding="utf-8", errors="replace")


def render_card(
    config: StudyConfig,
    cell: Cell,
    info: Mapping[str, Any],
    trained: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    site: str | None = None,
) -> str:
    """One card as Markdown, with the metadata block of model hubs.

    info: run.json. trained: the cell's record. scores: records of the adapter's tests. site: whose adapter it is, where
    each has its own.
    """
    title = f"{info['name']}: {cell.arm}, seed {cell.seed}"
    owner = site or (cell.trained_on if cell.trained_on not in (ALL, NOTHING) else None)
    parts = [
        metadata(cell, info),
        f"# {title}" + (f", {owner}" if owner else ""),
        f"{opening(config, cell)} {_MAKER} {info['versions']['fedmedlora']}.",
        "## What it is",
        _table(("Property", "Value"), identity(config, cell, info, _digests(scores, trained))),
        "## How it was trained",
        method(config, cell),
        *_training(config, cell, info, trained),
        "## How it scores",
        *_scores(config, info, scores),
        "## Privacy",
        _privacy(cell),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*_synthetic(info), *_LIMITS, *([_GIVEN] if "re" in config.tasks else []))),
        "## How to use it",
        "```\nfedmedlora extract --model THIS_FOLDER NOTES --out found.jsonl\n```",
        others_load(config, cell),
    ]
    return "\n\n".join(parts) + "\n"


def _digests(scores: Sequence[Mapping[str, Any]], trained: Mapping[str, Any]) -> str:
    digests = sorted({str(line["adapter_digest"]) for line in scores}) or [str(trained["adapter_digest"])]
    return ", ".join(f"`{digest}`" for digest in digests)


def _training(config: StudyConfig, cell: Cell, info: Mapping[str, Any], trained: Mapping[str, Any]) -> list[str]:
    if not cell.members:
        return []
    heads = ("Site", "Documents", "Entity examples", "Modifier examples", "Labels", "Digest of the notes")
    return [
        _table(("Setting", "Value"), settings_rows(config, cell, info, trained)),
        _table(heads, notes_rows(cell, info)),
    ]


def _scores(config: StudyConfig, info: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> list[str]:
    if not scores:
        return ["It has not been tested in this run."]
    rows = []
    for line in scores:
        for task in config.tasks:
            cells = [_f1(line, task, mode) for mode in ("strict", "lenient")]
            rows.append((f"{line['test_site']}{_SEEN.get(line['setting'], '')}", TASKS[task], *cells))
    part = config.evaluation.part
    chosen = ["Scored on dev notes, as for choosing settings; no test note was scored."] if part == "dev" else []
    resamples = config.evaluation.bootstrap_resamples
    said = f" In brackets: 95 % intervals over {resamples:,} resamples of the documents." if resamples else ""
    heads = ("Site", f"{part.capitalize()} notes", "Scored", "Digest of them all")
    sources = [_scored_row(info, line) for line in scores]
    fewer = any(scored != held for _, held, scored, _ in sources)
    return [
        *chosen,
        _table(("Site", "Task", "Strict F1", "Lenient F1"), rows),
        f"Strict is same type and boundaries; lenient is same type and overlap. Micro-averaged.{said}",
        _table(heads, sources),
        *(["Where fewer were scored than there are, they were drawn with a fixed seed."] if fewer else []),
    ]


def _scored_row(info: Mapping[str, Any], line: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """The notes that a score comes from: site, how many it holds, how many were scored, digest of all."""
    part = next(site["parts"]["test"] for site in info["sites"] if site["name"] == line["test_site"])
    return (line["test_site"], f"{part['documents']:,}", f"{line['documents']:,}", f"`{part['digest']}`")


def _f1(line: Mapping[str, Any], task: str, mode: str) -> str:
    value = line["scores"][task][mode]["f1"]
    if value is None:
        return "not defined: nothing to find, nothing found"
    interval = line["intervals"].get(task, {}).get(mode)
    if interval is None or interval["low"] is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _privacy(cell: Cell) -> str:
    if not cell.members:
        return "No note was trained on."
    said = []
    if cell.federated:
        said += [
            f"The federation was simulated on one machine, where its sites sent {sent(cell)} and no training note.",
            "The coordinator saw what each site sent in the clear (no secure aggregation).",
        ]
        if cell.arm in PLUS:
            said.append("It weighted sites by notes of their dev parts, which it must hold.")
    start = " or that it began with" if cell.start is not None else ""
    said += [
        "No noise was added in training (no differential privacy).",
        f"A model or adapter can hold traces of the notes that it was trained on{start}: treat it as you treat them, "
        "until someone entitled to it has decided otherwise.",
    ]
    return " ".join(said)


def _synthetic(info: Mapping[str, Any]) -> list[str]:
    names = [site["name"] for site in info["sites"] if site["synthetic"]]
    if not names:
        return []
    return [f"The notes of {', '.join(names)} are generated. What is measured there is not clinical."]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
