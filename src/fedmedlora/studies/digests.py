"""What a cell's result follows from, as one digest: equal digests, equal adapters and scores.

A training digest is over base, notes, settings and arithmetic of one cell; a test digest adds one site's test notes and
how they are scored. How patiently, how fast or at what price something is done enters neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedmedlora.config.arms import BERT
from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.record import digest_json
from fedmedlora.studies.cells import Cell, cell_rule
from fedmedlora.studies.schedule import Key
from fedmedlora.studies.variants import Changed, LowResource, Scaling

FORMAT = 1
"""Raised whenever the same settings would train or score differently, or a line of the records means something else."""

_OF_NO_CONSEQUENCE = frozenset(
    {"timeout_s", "attempts", "concurrency", "price_in", "price_out", "key_variable", "allow_credentialed"}
)
"""Of `[api]`."""

# Keys of a study that do not enter as they stand: paths (the digests of what lies there enter), what other cells there
# are, and tables of one arm.
_ELSEWHERE = frozenset(
    {
        *("name", "base", "corpora_root", "labels", "sites", "arms", "settings", "seeds", "threads", "evaluation"),
        *("report", "low_resource", "uneven", "scaling"),
    }
)
_TABLE_OF = {"plus": "fedmedlora-plus", "fedprox": "fedprox", "api": "api"}
_UNTRAINED = ("rank", "alpha", "max_tokens", "bf16")
_COUNTED = frozenset({"max_test_documents", "dev_documents"})
"""Of `[evaluation]`; how many documents that comes to enters."""
_ARITHMETIC = ("architecture", "threads", "accelerator", "precision")


@dataclass(frozen=True)
class Identity:
    """What a cell follows from. training: digest of `table`. tests: a digest for each site that it is tested on."""

    table: Mapping[str, Any]
    training: str
    tests: Mapping[str, str]


def identify(
    cells: Mapping[Key, Cell], config: StudyConfig, labels: LabelSet, described: Mapping[str, Any]
) -> dict[Key, Identity]:
    """The identity of every cell of a study. described: as `resident.describe_run` gives it."""
    found: dict[Key, Identity] = {}

    def of(key: Key) -> Identity:
        if key not in found:
            cell = cells[key]
            start = None if cell.needs is None else of(cell.needs).training
            found[key] = _identity(cell, config, labels, described, start)
        return found[key]

    return {key: of(key) for key in cells}


def _identity(
    cell: Cell, config: StudyConfig, labels: LabelSet, described: Mapping[str, Any], start: str | None
) -> Identity:
    sites = {site["name"]: site for site in described["sites"]}
    model = described["encoder" if cell.arm in BERT else "base"]
    table = {
        "format": FORMAT,
        "cell": asdict(cell),
        "start": start,
        "base": {key: model[key] for key in ("digest", "tokenizer_digest")},
        "labels": _labels(labels, config),
        "arithmetic": {key: described["machine"][key] for key in _ARITHMETIC},
        "notes": {name: _notes(sites[name], "train") for name in _used(cell, config)},
        "derived": _derived(cell, described),
        "judged on": {name: _notes(sites[name], "dev") for name in _judged(cell, config)},
        "settings": _settings(cell, config),
    }
    table = json.loads(json.dumps(table))
    digest = digest_json(table)
    scored = {key: value for key, value in config.evaluation.model_dump(mode="json").items() if key not in _COUNTED}
    tests = {}
    for name, setting in cell.tests(config).items():
        test = sites[name]["parts"]["test"]
        tests[name] = digest_json([digest, name, setting, test["digest"], test["used"], scored])
    return Identity(table, digest, tests)


def _labels(labels: LabelSet, config: StudyConfig) -> dict[str, Any]:
    """Questions name labels in the order of the label set, which a digest with sorted keys does not see."""
    order = {} if config.labels is None else {"order": list(labels.modifiers)}
    return {"modifiers": dict(labels.modifiers), "descriptions": dict(labels.descriptions), **order}


def _used(cell: Cell, config: StudyConfig) -> tuple[str, ...]:
    """Sites whose notes decide a cell: all that train where they are shown to a server."""
    return config.members if cell.arm == "api" else cell.sites


def _judged(cell: Cell, config: StudyConfig) -> tuple[str, ...]:
    """Sites whose dev notes decide weights, or are scored after each round."""
    if not cell.members:
        return ()
    scored = cell.dev_sites(config) if config.evaluation.evaluate_dev_each_round else ()
    judging = cell.sites if cell_rule(cell, config.plus).needs_losses else ()
    return tuple(dict.fromkeys((*scored, *judging)))


def _derived(cell: Cell, described: Mapping[str, Any]) -> dict[str, str]:
    """Digests of what a setting makes of sites' notes, the seed of what is drawn beside it."""
    known = {(made["name"], made["seed"]): made["digest"] for made in described["derived"]}
    drawn = [source for source in cell.sources if not isinstance(source, str)]
    keys = [(source.name, None if isinstance(source, Changed) else source.seed) for source in drawn]
    return {f"{name}, seed {seed}": known[name, seed] for name, seed in keys}


def _notes(site: Mapping[str, Any], part: str) -> dict[str, Any]:
    held = site["parts"][part]
    return {"digest": held["digest"], "used": held["used"], "labels": site["labels"]}


def _settings(cell: Cell, config: StudyConfig) -> dict[str, Any]:
    """The keys of the study that decide this cell: tables of other arms, and what only training knows, left out."""
    whole = config.model_dump(mode="json")
    kept = {
        key: value
        for key, value in whole.items()
        if key not in _ELSEWHERE
        and cell.arm.endswith(_TABLE_OF.get(key, cell.arm))
        and (key != "federation" or cell.federated)
        and (key != "bert" or cell.arm in BERT)
    }
    if "api" in kept:
        kept["api"] = {key: value for key, value in kept["api"].items() if key not in _OF_NO_CONSEQUENCE}
        if config.api.shots:
            # Shots are drawn from the capped examples.
            kept["max_train_examples"] = config.training.max_train_examples
    if "bert" in kept and Path(config.bert.encoder or "").is_absolute():
        del kept["bert"]["encoder"]
    if isinstance(cell.variant, LowResource):
        kept["low_resource"] = config.low_resource.model_dump(mode="json", include={"epochs", "min_steps"})
    if isinstance(cell.variant, Scaling) and cell.arm in BERT:
        # What is described of shards is of the base model's examples; an encoder's are divided for themselves.
        kept["scaling"] = {"dirichlet": config.scaling.dirichlet}
    if cell.members:
        dev = config.evaluation
        kept["dev"] = {"each round": dev.evaluate_dev_each_round, "batch_size": dev.batch_size}
    else:
        kept["training"] = {key: kept["training"][key] for key in _UNTRAINED}
        del kept["rounds"]
    return kept
