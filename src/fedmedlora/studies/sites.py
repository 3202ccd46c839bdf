"""A study's sites as documents: read, mapped, checked against the label set, divided; everything dropped is counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedmedlora.config.models import SiteConfig, StudyConfig
from fedmedlora.config.splits import FileSplit, PartFiles, SeededSplit
from fedmedlora.corpus.check import validate_labels
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.formats import read_documents
from fedmedlora.corpus.jsonl import render_record
from fedmedlora.corpus.labels import CLINICAL, LabelSet
from fedmedlora.corpus.recipes import apply_recipe
from fedmedlora.corpus.splits import PARTS, check_patients, check_split, load_split_file, make_split, select_part
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from fedmedlora.errors import ConfigError, CorpusError, nearest
from fedmedlora.inference.api_answers import CREDENTIALED
from fedmedlora.record import digest_json


@dataclass(frozen=True)
class SiteNotes:
    """One site's documents by part, and what reading and mapping dropped (reason → count)."""

    name: str
    parts: Mapping[str, tuple[Document, ...]]
    dropped: Mapping[str, int]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that some document of the site is annotated for; empty means all."""
        named = {label for part in self.parts.values() for document in part for label in document.labels or ()}
        return tuple(sorted(named))

    def digest(self, part: str) -> str:
        """SHA-256 over a part's documents, text and annotations included."""
        return digest_documents(self.parts[part])


def digest_documents(documents: Sequence[Document]) -> str:
    """SHA-256 over documents. That some are credentialed is left out: it decides who may see them, and no result."""
    return digest_json([render_record(_unmarked(document)) for document in documents])


def load_labels(config: StudyConfig) -> LabelSet:
    """The study's label set. Raises LabelError when its file is not one."""
    return CLINICAL if config.labels is None else LabelSet.from_toml(config.labels)


def load_sites(config: StudyConfig, labels: LabelSet) -> list[SiteNotes]:
    """Every site's notes, in the study's order, so that bad input is known before anything expensive starts.

    Where scores are to be made on dev notes (`evaluation.part`), those stand in place of the test part, which is
    forgotten here. Raises CorpusError naming site, file and document; ConfigError for an unknown recipe, profile or
    label.
    """
    notes = [_load(site, config, labels) for site in config.sites]
    _check_apart(notes)
    return [_with_dev_as_test(site) for site in notes] if config.evaluation.part == "dev" else notes


def _check_apart(sites: Sequence[SiteNotes]) -> None:
    """Raise CorpusError where most test notes of one site are training notes of another: the same notes, read twice."""
    trained = {site.name: {document.text for document in site.parts["train"]} for site in sites}
    for site in sites:
        tested = [document.text for document in site.parts["test"]]
        for name, texts in trained.items():
            shared = sum(text in texts for text in tested)
            if name != site.name and 2 * shared > len(tested):
                raise CorpusError(
                    f"{shared} of the {len(tested)} test notes of site '{site.name}' are training notes of site "
                    f"'{name}'. Give them notes, or parts of a split, that are apart."
                )


def _with_dev_as_test(notes: SiteNotes) -> SiteNotes:
    if not notes.parts["dev"]:
        raise CorpusError(
            f"site '{notes.name}': scores are to be made on dev notes (evaluation.part), and it has none. "
            "Give it a dev part, or leave it out of the study."
        )
    return replace(notes, parts={**notes.parts, "test": notes.parts["dev"]})


def _load(site: SiteConfig, config: StudyConfig, labels: LabelSet) -> SiteNotes:
    unknown = [name for name in site.labels or () if name not in labels.names]
    if unknown:
        raise ConfigError(f"site '{site.name}': unknown label '{unknown[0]}': {nearest(unknown[0], labels.names)}")
    dropped: Counter[str] = Counter()
    parts = _generated(site) if site.synthetic is not None else _read_parts(site, config, dropped)
    if site.labels is not None:
        parts = {
            part: [narrow_labels(document, site.labels, dropped) for document in held] for part, held in parts.items()
        }
    if site.credentialed:
        parts = {part: [_credentialed(document) for document in held] for part, held in parts.items()}
    if site.external:
        parts = {"train": [], "dev": [], "test": parts["test"]}
    for part, held in parts.items():
        if not held and part != "dev" and not (site.external and part == "train"):
            raise CorpusError(f"site '{site.name}': the {part} part has no document. Check its path and split.")
        validate_labels(held, labels)
    if not site.external and not any(document.entities for document in parts["train"]):
        raise CorpusError(
            f"site '{site.name}': none of its {len(parts['train'])} training documents is annotated with a "
            "label of the study. Training on them would teach to mark nothing. Give it annotated notes."
        )
    return SiteNotes(site.name, {part: tuple(held) for part, held in parts.items()}, dict(sorted(dropped.items())))


def _credentialed(document: Document) -> Document:
    return replace(document, meta={**document.meta, CREDENTIALED: True})


def _unmarked(document: Document) -> Document:
    if CREDENTIALED not in document.meta:
        return document
    return replace(document, meta={key: value for key, value in document.meta.items() if key != CREDENTIALED})


def _generated(site: SiteConfig) -> dict[str, list[Document]]:
    notes = site.synthetic
    assert notes is not None
    profile = PROFILES.get(notes.profile)
    if profile is None:
        raise ConfigError(f"site '{site.name}': unknown profile '{notes.profile}': {nearest(notes.profile, PROFILES)}")
    return {
        "train": generate_notes(profile, notes.train, notes.seed, "train"),
        "dev": generate_notes(profile, notes.dev, notes.seed, "dev"),
        "test": generate_notes(profile, notes.test, notes.seed, "test"),
    }


def _read_parts(site: SiteConfig, config: StudyConfig, dropped: Counter[str]) -> dict[str, list[Document]]:
    assert site.path is not None
    if isinstance(site.split, PartFiles):
        files = {part: site.path / getattr(site.split, part) for part in PARTS}
        parts = {part: _read(site, path, dropped) for part, path in files.items()}
        ids = {part: [document.id for document in held] for part, held in parts.items()}
        check_split(ids, where=f"site '{site.name}'")
        check_patients([document for held in parts.values() for document in held], ids)
        return parts
    documents = _read(site, site.path, dropped)
    if site.external and site.split is None:
        return {"train": [], "dev": [], "test": documents}
    if isinstance(site.split, FileSplit):
        split = load_split_file(site.split.path, site.split.key)
    else:
        share = site.split or SeededSplit()
        try:
            split = make_split(documents, share.seed, (1 - share.dev - share.test, share.dev, share.test))
        except CorpusError as error:
            raise CorpusError(f"site '{site.name}', its key 'split': {error}") from error
    return {part: select_part(documents, split, part) if split.get(part) else [] for part in PARTS}


def _read(site: SiteConfig, path: Path, dropped: Counter[str]) -> list[Document]:
    read = read_documents(path, site.format)
    dropped.update(read.dropped)
    mapped = read if site.recipe is None else apply_recipe(site.recipe, read.documents)
    if mapped is not read:
        dropped.update(mapped.dropped)
    return mapped.documents


def narrow_labels(document: Document, labels: Sequence[str], dropped: Counter[str]) -> Document:
    """The document as if annotated for these labels alone; what falls out is counted by label."""
    wanted = set(labels) if document.labels is None else set(labels) & set(document.labels)
    relations = tuple(relation for relation in document.relations if relation.type in wanted)
    entities = tuple(entity for entity in document.entities if entity.type in wanted)
    kept = {entity.id for entity in entities}
    linked = tuple(relation for relation in relations if relation.head in kept and relation.tail in kept)
    for entity in document.entities:
        if entity.type not in wanted:
            dropped[f"label {entity.type} is not annotated at this site"] += 1
    if len(linked) < len(document.relations):
        dropped["relation of a label that is not annotated at this site"] += len(document.relations) - len(linked)
    return replace(document, entities=entities, relations=linked, labels=tuple(sorted(wanted)))


def sample_documents(documents: Sequence[Document], most: int | None, seed: int) -> list[Document]:
    """All documents, or a seeded `most` of them, in their order."""
    if most is None or len(documents) <= most:
        return list(documents)
    picked = sorted(random.Random(f"documents/{seed}").sample(range(len(documents)), most))
    return [documents[index] for index in picked]


def looked_at(config: StudyConfig, notes: SiteNotes, part: str) -> list[Document]:
    """The dev or test documents of a site that the study looks at."""
    own, evaluation = config.site(notes.name), config.evaluation
    if part == "test":
        most = own.max_test_documents or evaluation.max_test_documents
    else:
        most = own.dev_documents or evaluation.dev_documents
    return sample_documents(notes.parts[part], most, seed=0)
