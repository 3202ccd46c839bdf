"""CHIA: trial eligibility criteria. Modifiers come through typed relations, whose tail is the modifier."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from fedmedlora.corpus.document import Document, Entity, ReadResult
from fedmedlora.corpus.recipes.draft import Draft, map_documents
from fedmedlora.corpus.recipes.lexicons import (
    amount_type,
    describes_duration,
    drug_qualifier_type,
    mood_type,
    names_a_test,
    problem_qualifier_type,
)

_TARGETS = {"Condition": "problem", "Drug": "drug", "Measurement": "test", "Device": "treatment"}
_MODIFIER_SOURCES = frozenset({"Negation", "Temporal", "Value", "Qualifier", "Multiplier", "Mood"})
_LABELS = (
    *("problem", "treatment", "drug", "test"),
    *("severity", "condition", "uncertain", "bodyloc", "course", "temporal", "negation"),
    *("strength", "dosage", "duration", "form", "frequency", "route", "labvalue"),
)
_FIXED = {"Has_negation": "negation", "Has_value": "labvalue"}
_BY_LEXICON = frozenset({"Has_temporal", "Has_qualifier", "Has_multiplier", "Has_mood"})
_TRIAL_HALF = re.compile(r"(.+)_(?:inc|exc)")


def chia(documents: Iterable[Document]) -> ReadResult:
    """Map CHIA. A document's patient becomes its trial, so that a split keeps a trial's two halves together."""
    return map_documents(map(_with_trial, documents), "chia", _fill, _LABELS, _MODIFIER_SOURCES)


def _with_trial(document: Document) -> Document:
    half = _TRIAL_HALF.fullmatch(document.id)
    return replace(document, patient=half[1]) if half and document.patient is None else document


def _fill(draft: Draft) -> None:
    for entity in draft.source.entities:
        if entity.type in _TARGETS:
            draft.keep(entity, _TARGETS[entity.type])
        elif entity.type == "Procedure":
            draft.keep(entity, "test" if names_a_test(draft.text_of(entity.id)) else "treatment")
    for relation in draft.source.relations:
        if relation.type not in _FIXED and relation.type not in _BY_LEXICON:
            draft.drop(f"relation {relation.type} has no target label")
            continue
        head = draft.head(relation.head)
        if head is None:
            draft.drop(f"{relation.type} of {draft.of(relation.head).type}, which has no target label")
            continue
        modifier = _FIXED.get(relation.type) or _by_lexicon(relation.type, head, draft.text_of(relation.tail))
        if modifier is None:
            draft.drop(f"{relation.type} of {head.type} outside the lexicon")
        else:
            draft.attach(relation.head, modifier, relation.tail)
    for group in draft.listed("equivalences"):
        kind = group[0] if isinstance(group, list) and group else "?"
        draft.drop(f"{kind} group has no target label")


def _by_lexicon(relation_type: str, head: Entity, text: str) -> str | None:
    """The modifier that a relation means on that head; None when the words do not tell."""
    if relation_type == "Has_temporal":
        return "duration" if head.type == "drug" and describes_duration(text) else "temporal"
    if relation_type == "Has_multiplier":
        return amount_type(text) if head.type == "drug" else None
    if relation_type == "Has_mood":
        return mood_type(text) if head.type == "problem" else None
    if head.type == "problem":
        return problem_qualifier_type(text)
    return drug_qualifier_type(text) if head.type == "drug" else None
