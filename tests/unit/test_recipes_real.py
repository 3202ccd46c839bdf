"""The mapping recipes on the open corpora (of bc5cdr a part): the expected counts, and nothing lost in silence."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from fedmedlora.corpus.document import Document, ReadResult
from fedmedlora.corpus.formats import read_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.recipes import apply_recipe

FILES = {
    "maccrobat": ["."],
    "chia": ["."],
    "phee": ["train.json", "dev.json", "test.json"],
    "psytar": ["train.txt", "dev.txt", "test.txt"],
    "bc5cdr": ["devel.tsv"],
    "ncbi": ["train.tsv", "devel.tsv", "test.tsv"],
}


class Mapped(NamedTuple):
    source: list[Document]
    result: ReadResult

    def types(self) -> Counter[str]:
        return Counter(entity.type for document in self.result.documents for entity in document.entities)

    def relations(self) -> Counter[str]:
        return Counter(relation.type for document in self.result.documents for relation in document.relations)

    def lost(self, words: str) -> int:
        return sum(count for reason, count in self.result.dropped.items() if words in reason)


@cache
def mapped(root: Path, name: str) -> Mapped:
    source = [document for part in FILES[name] for document in read_documents(root / name / part).documents]
    return Mapped(source, apply_recipe(name, source))


def test_maccrobat_counts(corpora: Path) -> None:
    corpus = mapped(corpora, "maccrobat")
    found = {name: corpus.types()[name] for name in CLINICAL.entity_types}
    # One Sign_symptom is marked twice on the same words: 4,744 - 1.
    assert found == {"problem": 4743, "treatment": 1036, "drug": 1080, "test": 4598}
    relations = corpus.relations()
    assert relations.total() == pytest.approx(8500, rel=0.05)
    assert relations["negation"] >= 800
    assert relations["uncertain"] >= 80
    # Every one of the 1,029 negations and 218 uncertainties has its cue, or is counted as without.
    assert relations["negation"] + corpus.lost("no negation cue") == 1029
    cues = relations["uncertain"] + corpus.lost("no uncertain cue") + corpus.lost("uncertain may not attach")
    assert cues == 218


def test_chia_counts(corpora: Path) -> None:
    corpus = mapped(corpora, "chia")
    types = corpus.types()
    # MAPPING.md: 12,039 / 3,365 / 3,921 / 3,801, before duplicates merge and with its own list of test procedures.
    assert types["problem"] == pytest.approx(12039, abs=10)
    assert types["drug"] == pytest.approx(3801, abs=10)
    assert types["treatment"] == pytest.approx(3365, rel=0.05)
    assert types["test"] == pytest.approx(3921, rel=0.05)
    assert corpus.relations().total() == pytest.approx(8100, rel=0.02)


def test_phee_counts(corpora: Path) -> None:
    corpus = mapped(corpora, "phee")
    types = corpus.types()
    assert (types["problem"], types["drug"]) == (6650, 6017)
    assert corpus.relations().total() == pytest.approx(3100, rel=0.02)


def test_iob_counts(corpora: Path) -> None:
    for name in ("psytar", "bc5cdr", "ncbi"):
        corpus = mapped(corpora, name)
        assert corpus.types().total() == sum(len(document.entities) for document in corpus.source) > 5000
        assert not corpus.result.dropped


@pytest.mark.parametrize("name", FILES)
def test_what_leaves_is_legal(corpora: Path, name: str) -> None:
    corpus = mapped(corpora, name)
    assert "reference_range" not in corpus.types()
    for before, after in zip(corpus.source, corpus.result.documents, strict=True):
        assert (after.id, after.text) == (before.id, before.text)
        types = {entity.id: entity.type for entity in after.entities}
        assert set(types.values()) <= set(after.labels or ())
        assert len({(entity.type, entity.spans) for entity in after.entities}) == len(after.entities)
        assert all(link.type == types[link.tail] in CLINICAL.modifiers[types[link.head]] for link in after.relations)
        tails = {link.tail for link in after.relations}
        assert tails == {key for key, kind in types.items() if kind not in CLINICAL.entity_types}


@pytest.mark.parametrize("name", ["maccrobat", "chia", "phee"])
def test_every_entity_is_used_merged_or_counted(corpora: Path, name: str) -> None:
    corpus = mapped(corpora, name)
    unused = corpus.lost("without a relation that maps") + sum(
        count
        for reason, count in corpus.result.dropped.items()
        if reason.endswith(" has no target label") and len(reason.removesuffix(" has no target label").split()) == 2
    )
    merged = sum(count for reason, count in corpus.result.dropped.items() if " on the spans of another " in reason)
    # An entity keeps its source's id; a recovered cue, or a second part of an entity, has one that the source lacks.
    kept = sum(
        entity.id in {old.id for old in before.entities}
        for before, after in zip(corpus.source, corpus.result.documents, strict=True)
        for entity in after.entities
    )
    assert kept + merged + unused == sum(len(document.entities) for document in corpus.source)


def test_every_chia_relation_is_mapped_or_counted(corpora: Path) -> None:
    corpus = mapped(corpora, "chia")
    reasons = ("relation ", ", which has", "outside the lexicon", "may not attach")
    counted = sum(
        count
        for reason, count in corpus.result.dropped.items()
        if any(words in reason for words in reasons) and "without a relation" not in reason
    )
    assert corpus.relations().total() + counted == sum(len(document.relations) for document in corpus.source)


def test_mapping_is_deterministic(corpora: Path) -> None:
    corpus = mapped(corpora, "maccrobat")
    assert apply_recipe("maccrobat", corpus.source) == corpus.result
