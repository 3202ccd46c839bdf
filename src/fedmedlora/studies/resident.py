"""What all cells of a study share: one base in memory, its LoRA, the encoder, and every site's prepared examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedmedlora.adapters.base import accelerator, load_base, usable_tokens, use_threads
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.precision import precision_name, working_dtype
from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.divergence import site_divergences
from fedmedlora.corpus.document import Document, Json
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import CorpusError
from fedmedlora.inference.decode import Decoder, make_decoder
from fedmedlora.markup.encode import Encoded, Encoder, Example, Task
from fedmedlora.record import machine, versions
from fedmedlora.studies.cells import Cell, planned_cells, study_cells
from fedmedlora.studies.derived import DerivedExamples, derive_examples
from fedmedlora.studies.sites import SiteNotes, load_labels, load_sites, looked_at
from fedmedlora.studies.variants import Changed, Derived, LowResource, Source
from fedmedlora.training.batch import Corpus, prepare
from fedmedlora.training.examples import MARKED_SHARE, make_examples


@dataclass(frozen=True)
class Resident:
    """Loaded once for a whole study.

    examples: by source, encoded training examples: of each site that trains, and what settings make of sites' notes.
    derived: what is known of the latter. validation: the coordinator's examples for Fed-MedLoRA+ by
    site, from dev parts alone. dropped: what encoding could not hold, by site.
    """

    config: StudyConfig
    labels: LabelSet
    sites: Mapping[str, SiteNotes]
    adapted: Adapted
    encoder: Encoder
    decoder: Decoder
    examples: Mapping[Source, Sequence[Example]]
    derived: Mapping[Derived, DerivedExamples]
    validation: Mapping[str, Encoded]
    dropped: Mapping[str, Mapping[str, int]]

    @property
    def cells(self) -> list[Cell]:
        """The study's cells, but for those that ask for more notes than a new site has."""
        return planned_cells(self.config, {name: len(site.parts["train"]) for name, site in self.sites.items()})

    def corpus(self, sources: Sequence[Source]) -> Corpus:
        """The training examples of some sources, together."""
        return prepare([example for source in sources for example in self.examples[source]])

    def judged(self, sites: Sequence[str], tasks: Sequence[Task]) -> Corpus:
        """The validation examples of some sites and tasks, together. Raises CorpusError when there is none."""
        known = [example for site in sites if site in self.validation for example in self.validation[site].examples]
        found = [example for example in known if example.request.task in tasks]
        if not found:
            raise CorpusError(
                f"Fed-MedLoRA+ needs validation examples, but none of {', '.join(sites)} has one of {', '.join(tasks)} "
                "in a dev document. Give one of them such a dev part."
            )
        return prepare(found)

    def documents(self, site: str, part: str) -> list[Document]:
        """The dev or test documents of a site that the study looks at."""
        return looked_at(self.config, self.sites[site], part)


def load_resident(config: StudyConfig) -> Resident:
    """Read the notes, then load the base: cheap mistakes are found before anything expensive.

    Raises the corpus's, label set's and base model's errors, and CorpusError for a site without a training example.
    """
    use_threads(config.threads)
    labels = load_labels(config)
    notes = {site.name: site for site in load_sites(config, labels)}
    training = config.training
    base = load_base(config.base, dtype=working_dtype(training.bf16))
    adapted = attach_lora(base, rank=training.rank, alpha=training.alpha, dropout=training.dropout)
    encoder = Encoder(base.tokenizer, labels, "brief", usable_tokens(base, training.max_tokens))
    examples: dict[Source, Sequence[Example]] = {}
    dropped = {}
    for name in config.members:
        site = notes[name]
        encoded = make_examples(
            site.parts["train"],
            encoder,
            config.tasks,
            max_per_task=training.max_train_examples,
            marked_share=MARKED_SHARE,
            seed=f"cap/{name}",
        )
        if not encoded.examples:
            raise CorpusError(
                f"site '{name}' has no training example among {len(site.parts['train'])} documents. "
                "Check its labels, its recipe and max_tokens (`fedmedlora data check` shows what its notes hold)."
            )
        examples[name], dropped[name] = encoded.examples, dict(sorted(encoded.dropped.items()))
    validation = _validation_examples(config, notes, encoder)
    decoder = make_decoder(adapted, config.evaluation.batch_size)
    derived = derive_examples(
        (source for cell in study_cells(config) for source in cell.sources if not isinstance(source, str)),
        config,
        notes,
        encoder,
        examples,
    )
    examples.update((source, made.examples) for source, made in derived.items())
    return Resident(config, labels, notes, adapted, encoder, decoder, examples, derived, validation, dropped)


def _validation_examples(config: StudyConfig, notes: Mapping[str, SiteNotes], encoder: Encoder) -> dict[str, Encoded]:
    """As many dev examples of each task from every site that has them, so that no site's style decides alone."""
    if "fedmedlora-plus" not in config.arms:
        return {}
    most = config.plus.validation_examples
    found = {
        name: make_examples(site.parts["dev"], encoder, config.tasks, max_per_task=most, seed=f"validation/{name}")
        for name, site in notes.items()
        if site.parts["dev"] and name in config.members
    }
    if not any(encoded.examples for encoded in found.values()):
        raise CorpusError(
            "Fed-MedLoRA+ needs validation examples, but no site has a dev document. Give a site a dev part."
        )
    return found


def describe_run(resident: Resident, command: str, started: str) -> dict[str, Json]:
    """Everything that a table of this run rests on: versions, machine, base, data digests, counts. No path, no text."""
    config, base = resident.config, resident.adapted.base
    state = resident.adapted.fresh(0)
    described: dict[str, object] = {
        "name": config.name,
        "command": command,
        "started": started,
        "versions": versions(),
        "machine": {
            **machine(),
            "threads": use_threads(None),
            "accelerator": accelerator(),
            "precision": precision_name(config.training.bf16),
        },
        "seeds": list(config.seeds),
        "base": {
            "name": Path(config.base).name if Path(config.base).is_absolute() else config.base,
            "digest": base.digest,
            "tokenizer_digest": base.tokenizer.digest,
            "parameters": base.parameters - state.parameters,
            "bytes": base_bytes(resident.adapted),
        },
        "adapter": {"parameters": state.parameters, "bytes": state.nbytes},
        "sites": [_describe_site(resident, name) for name in resident.sites],
        "heterogeneity": _heterogeneity(resident),
        "derived": [_describe_derived(source, made, resident.labels) for source, made in resident.derived.items()],
        "cells": [_describe_cell(cell, config) for cell in resident.cells],
    }
    return json.loads(json.dumps(described))  # type: ignore[no-any-return]


def _heterogeneity(resident: Resident) -> dict[str, Json]:
    """How far apart the training notes of the sites that train are."""
    names, labels = resident.config.members, resident.labels
    return site_divergences(
        {name: resident.sites[name].parts["train"] for name in names},
        {name: resident.sites[name].labels or labels.names for name in names},
        labels.entity_types,
    )


def base_bytes(adapted: Adapted) -> int:
    """Bytes of the base's weights in their stored precision, the adapter's left out."""
    return sum(p.numel() * p.element_size() for p in adapted.base.model.parameters() if not p.requires_grad)


def _describe_site(resident: Resident, name: str) -> dict[str, object]:
    site = resident.sites[name]
    config = resident.config.site(name)
    parts: dict[str, dict[str, object]] = {}
    for part, documents in site.parts.items():
        looked_at = len(documents) if part == "train" else len(resident.documents(name, part))
        parts[part] = {"documents": len(documents), "used": looked_at, "digest": site.digest(part)}
    examples = resident.examples.get(name, ())
    parts["train"]["examples"] = _by_task(examples)
    parts["train"]["target_tokens"] = sum(len(example.completion) for example in examples)
    dropped = {**site.dropped, **{f"training: {why}": count for why, count in resident.dropped.get(name, {}).items()}}
    judged = resident.validation.get(name)
    if judged is not None:
        parts["dev"]["validation_examples"] = _by_task(judged.examples)
        dropped.update({f"validation: {why}": count for why, count in sorted(judged.dropped.items())})
    return {
        "name": name,
        "synthetic": config.synthetic is not None,
        "external": config.external,
        "new": config.new,
        "recipe": config.recipe,
        "labels": list(site.labels or resident.labels.names),
        "parts": parts,
        "dropped": dropped,
    }


def _describe_derived(source: Derived, made: DerivedExamples, labels: LabelSet) -> dict[str, object]:
    asked = {name for example in made.examples for name in labels.asked(example.request.document.labels)}
    return {
        "name": source.name,
        "seed": None if isinstance(source, Changed) else source.seed,
        "documents": made.documents,
        "examples": _by_task(made.examples),
        "target_tokens": sum(len(example.completion) for example in made.examples),
        "labels": [name for name in labels.names if name in asked],
        "digest": made.digest,
        "changed": dict(made.changed),
        "dropped": dict(made.dropped),
    }


def _describe_cell(cell: Cell, config: StudyConfig) -> dict[str, object]:
    """What a report needs to know of a cell, run or not."""
    return {
        "arm": cell.arm,
        "seed": cell.seed,
        "trained_on": cell.trained_on,
        "setting": cell.setting,
        "variant": {} if cell.variant is None else cell.variant.to_json(),
        "rounds": 0 if not cell.members else 1 if isinstance(cell.variant, LowResource) else config.rounds,
        "tests": cell.tests(config),
    }


def _by_task(examples: Sequence[Example]) -> dict[Task, int]:
    return dict(sorted(Counter(example.request.task for example in examples).items()))
