"""PsyTAR, BC5CDR and NCBI: tokenised corpora whose tags are entity types; no modifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedmedlora.corpus.document import Document, ReadResult
from fedmedlora.corpus.recipes.draft import Draft, map_documents


def psytar(documents: Iterable[Document]) -> ReadResult:
    """Adverse reactions, drug indications, withdrawal and sleep symptoms are problems; drugs are not annotated."""
    return _tags(documents, "psytar", {"ADR": "problem", "DI": "problem", "WD": "problem", "SSI": "problem"})


def bc5cdr(documents: Iterable[Document]) -> ReadResult:
    """Diseases are problems, chemicals drugs."""
    return _tags(documents, "bc5cdr", {"Disease": "problem", "Chemical": "drug"})


def ncbi(documents: Iterable[Document]) -> ReadResult:
    """Diseases are problems; nothing else is annotated."""
    return _tags(documents, "ncbi", {"Disease": "problem"})


def _tags(documents: Iterable[Document], corpus: str, targets: Mapping[str, str]) -> ReadResult:
    def fill(draft: Draft) -> None:
        for entity in draft.source.entities:
            if entity.type in targets:
                draft.keep(entity, targets[entity.type])
        for relation in draft.source.relations:
            draft.drop(f"relation {relation.type} has no target label")

    return map_documents(documents, corpus, fill, tuple(dict.fromkeys(targets.values())), frozenset())
