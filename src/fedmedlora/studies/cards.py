"""A model card beside every adapter of a run: what it is, how it was made, how it scores, what it is not.

Written from the run's own records, so that a card says what the report says. It holds no note text and no local path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedmedlora.config.arms import BERT_WHOLE
from fedmedlora.config.models import StudyConfig
from fedmedlora.record import read_json_lines, write_atomic
from fedmedlora.studies.card_models import (
    METHODS,
    example_counts,
    identity,
    metadata,
    objective,
    opening,
    others_load,
    train_settings,
)
from fedmedlora.studies.cells import NOTHING, Cell, cell_rule, study_cells
from fedmedlora.studies.uneven import describe_change
from fedmedlora.studies.variants import ALL, Changed, FewNotes, LeaveOneOut, LowResource, Scaling, Uneven

CARD_FILE = "README.md"
_MAKER = "Made by fedmedlora"

_METHODS = {
    "zero-shot": "None: the adapter is untrained and changes nothing. It stands for the bare base model.",
    "single-site": "One site's notes alone, without federation.",
    "centralised": "All sites' notes in one place, without federation: the mark that federation is held against.",
    "fedmedlora": "Fed-MedLoRA: every round the sites' adapters are averaged by training target tokens.",
    "fedmedlora-plus": "Fed-MedLoRA+: the average weights each site's adapter by its loss on validation notes.",
    "fedprox": "FedProx: Fed-MedLoRA with a proximal term in every site's loss.",
    "fedsa-lora": "FedSA-LoRA: A is averaged every round; B is this site's own and never left it.",
    "ffa-lora": "FFA-LoRA: B is averaged every round; A stayed as it was drawn.",
    **METHODS,
}
_LIMITS = (
    "Not a medical device. It was made for research; nobody has validated it for the care of patients.",
    "Scores hold for the test documents named above. Notes of another hospital, language or kind will score lower.",
    "It misses entities and marks wrong ones, as the scores say. A person must look at what it finds before using it.",
    "A modifier is scored given the right entity. Applied to entities that the model found itself, errors add up.",
)


def write_cards(config: StudyConfig, out: Path) -> list[Path]:
    """Write the card of every adapter of a run directory that is recorded; returns the files.

    The same run directory gives the same bytes.
    """
    info: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    lines: list[dict[str, Any]] = [dict(line) for line in read_json_lines(out / "records.jsonl")]
    written = []
    for cell in study_cells(config):
        own = [line for line in lines if (line["arm"], line["seed"], line["trained_on"]) == cell.key]
        trained = next((line for line in own if line["kind"] == "arm"), None)
        scores = [line for line in own if line["kind"] == "score"]
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
        f"{opening(cell)} {_MAKER} {info['versions']['fedmedlora']}.",
        "## What it is",
        _table(("", ""), _identity(config, cell, info, scores, trained)),
        "## How it was trained",
        _method(config, cell),
        *_training(config, cell, info, trained),
        "## How it scores",
        *_scores(config, scores),
        "## Privacy",
        _privacy(cell),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*_synthetic(info), *_LIMITS)),
        "## How to use it",
        "```\nfedmedlora extract --model THIS_FOLDER NOTES --out found.jsonl\n```",
        others_load(cell),
    ]
    return "\n\n".join(parts) + "\n"


def _method(config: StudyConfig, cell: Cell) -> str:
    match cell.variant:
        case LowResource(site, notes, start):
            began = "an untrained adapter" if cell.start is None else f"the adapter of {start}, seed {cell.seed}"
            return f"{notes:,} notes of {site}, a site that nobody trained on before, beginning with {began}."
        case LeaveOneOut(site):
            how = f" The notes of {site} were left out."
        case Uneven(name):
            case = next(case for case in config.uneven_cases if case.name == name)
            how = f" Annotation was uneven: {'; '.join(describe_change(change) for change in case.sites)}."
        case Scaling(sites, split):
            how = f" The sites' notes were pooled and divided into {sites} sites ({split})."
        case None:
            how = ""
    return _METHODS[cell.arm] + how


def _identity(
    config: StudyConfig,
    cell: Cell,
    info: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Any],
) -> list[tuple[str, str]]:
    digests = sorted({str(line["adapter_digest"]) for line in scores}) or [str(trained["adapter_digest"])]
    named = ", ".join(f"`{digest}`" for digest in digests)
    return [
        *identity(config, cell, info, named),
        ("Tasks", ", ".join(_TASKS[task] for task in config.tasks)),
    ]


_SEEN = {"external": " (external)", "leave-one-out": " (left out of training)", "low-resource": " (new site)"}
_TASKS = {"ner": "entities", "re": "modifiers of a given entity"}


def _training(config: StudyConfig, cell: Cell, info: Mapping[str, Any], trained: Mapping[str, Any]) -> list[str]:
    if not cell.members:
        return []
    settings = train_settings(config, cell)
    few = isinstance(cell.variant, LowResource)
    own_rate = f", heads {settings.head_lr:g}" if settings.head_lr else ""
    rows = [
        *([] if few else [("Rounds × passes", f"{trained['rounds']} × {settings.epochs}")]),
        ("Optimizer steps", f"{trained['steps']:,}, over all sites"),
        ("Target tokens", f"{trained['target_tokens']:,}, repeats counted"),
        ("Objective", objective(settings, cell)),
        ("Peak learning rate", f"{settings.lr:g}{own_rate}, one cosine over all steps"),
        ("Examples a step", f"{settings.batch_size * settings.gradient_accumulation}"),
        ("Precision", str(info["machine"].get("precision", "not recorded"))),
        ("Seconds", f"{trained['seconds']:,.0f} on {_machine(info)}"),
        ("Command", f"`{info['command']}`"),
    ]
    if cell.federated:
        rows.insert(0, ("Rule", cell_rule(cell, config.plus).title))
        exchanged = trained["bytes_sent"] + trained["bytes_received"]
        rows.append(("Exchanged", f"{exchanged:,} bytes, as {config.federation.wire}"))
    plain = cell.sites if isinstance(cell.variant, Scaling) else cell.sources
    sites = [_site_row(one, example_counts(cell, info, one)) for one in info["sites"] if one["name"] in plain]
    sites += [_derived_row(one) for one in info["derived"] if (one["name"], one["seed"]) in _derived(cell)]
    heads = ("Site", "Documents", "Entity examples", "Modifier examples", "Labels", "Digest of the notes")
    return [_table(("", ""), rows), _table(heads, sites)]


def _derived(cell: Cell) -> set[tuple[str, int | None]]:
    """As run.json names them; of shards the sites tell enough."""
    made = [source for source in cell.sources if isinstance(source, FewNotes | Changed)]
    return {(source.name, source.seed if isinstance(source, FewNotes) else None) for source in made}


def _derived_row(made: Mapping[str, Any]) -> tuple[str, ...]:
    examples = made["examples"]
    counts = (made["documents"], examples.get("ner", 0), examples.get("re", 0))
    return (made["name"], *(f"{count:,}" for count in counts), str(len(made["labels"])), f"`{made['digest']}`")


def _site_row(site: Mapping[str, Any], examples: Mapping[str, int]) -> tuple[str, ...]:
    part = site["parts"]["train"]
    kind = " (generated notes)" if site["synthetic"] else ""
    counts = (part["documents"], examples.get("ner", 0), examples.get("re", 0))
    return (
        f"{site['name']}{kind}",
        *(f"{count:,}" for count in counts),
        str(len(site["labels"])),
        f"`{part['digest']}`",
    )


def _machine(info: Mapping[str, Any]) -> str:
    machine = info["machine"]
    return str(machine["accelerator"] or f"{machine['threads']} threads of {machine['architecture']}, no GPU")


def _scores(config: StudyConfig, scores: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for line in scores:
        for task in config.tasks:
            cells = [_f1(line, task, mode) for mode in ("strict", "lenient")]
            site = f"{line['test_site']}{_SEEN.get(line['setting'], '')}"
            rows.append((site, _TASKS[task], *cells, f"{line['documents']:,}"))
    if not rows:
        return ["It has not been tested in this run."]
    heads = ("Test site", "Task", "Strict F1", "Lenient F1", "Documents")
    resamples = config.evaluation.bootstrap_resamples
    said = f" In brackets: 95 % intervals over {resamples:,} resamples of the documents." if resamples else ""
    return [
        _table(heads, rows),
        f"Strict is same type and boundaries; lenient is same type and overlap. Micro-averaged.{said}",
    ]


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
        return "No note was used."
    said = []
    if cell.federated:
        said += [
            f"Sites sent {'models' if cell.arm in BERT_WHOLE else 'adapters'} alone; no note left its site.",
            "The coordinator saw what each site sent in the clear (no secure aggregation).",
        ]
    said += [
        "No noise was added in training (no differential privacy).",
        "A model or adapter can hold traces of what it was trained on: treat it as you treat the notes, until someone "
        "entitled to it has decided otherwise.",
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
