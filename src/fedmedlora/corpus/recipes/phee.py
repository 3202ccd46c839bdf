"""PHEE: the arguments of pharmacovigilance events, each attached within its own event.

Every modifier of an event goes to every effect (or drug) of that event: the corpus does not say which one it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fedmedlora.corpus.document import Document, Json, ReadResult
from fedmedlora.corpus.recipes.draft import Draft, map_documents
from fedmedlora.corpus.recipes.lexicons import amount_type

_TARGETS = {
    "Effect": "problem",
    "Subject.Disorder": "problem",
    "Treatment.Disorder": "problem",
    "Treatment.Drug": "drug",
}
_OF_EFFECT = {
    "Treatment.Time_elapsed": "temporal",
    "Severity": "severity",
    "Speculated": "uncertain",
    "Negated": "negation",
}
_OF_DRUG = {"Treatment.Freq": "frequency", "Treatment.Route": "route", "Treatment.Duration": "duration"}
_DOSAGE = "Treatment.Dosage"
_MODIFIER_SOURCES = frozenset({*_OF_EFFECT, *_OF_DRUG, _DOSAGE})
_LABELS = (
    *("problem", "drug", "severity", "uncertain", "negation", "temporal"),
    *("strength", "dosage", "frequency", "route", "duration"),
)


def phee(documents: Iterable[Document]) -> ReadResult:
    """Map PHEE. A document's patient becomes its abstract, so that a split keeps an abstract's sentences together."""
    grouped = (d if d.patient else replace(d, patient=d.id.rpartition("_")[0] or None) for d in documents)
    return map_documents(grouped, "phee", _fill, _LABELS, _MODIFIER_SOURCES)


def _fill(draft: Draft) -> None:
    for entity in draft.source.entities:
        if entity.type in _TARGETS:
            draft.keep(entity, _TARGETS[entity.type])
    for event in draft.listed("events"):
        arguments = event.get("arguments") if isinstance(event, dict) else None
        if isinstance(arguments, dict):
            _attach_event(draft, arguments)
    for relation in draft.source.relations:
        draft.drop(f"relation {relation.type} has no target label")


def _attach_event(draft: Draft, arguments: Mapping[str, Json]) -> None:
    ids = {role: draft.known(items) for role, items in arguments.items()}
    effects, drugs = ids.get("Effect", []), ids.get("Treatment.Drug", [])
    for role, tails in ids.items():
        for tail in tails:
            if role in _OF_EFFECT:
                _attach_all(draft, effects, _OF_EFFECT[role], tail, "an effect")
            elif role in _OF_DRUG:
                _attach_all(draft, drugs, _OF_DRUG[role], tail, "a drug")
            elif role == _DOSAGE:
                amount = amount_type(draft.text_of(tail))
                if amount is None:
                    draft.drop(f"{role} without a unit that tells what it is")
                else:
                    _attach_all(draft, drugs, amount, tail, "a drug")


def _attach_all(draft: Draft, heads: list[str], modifier: str, tail: str, wanted: str) -> None:
    if not heads:
        draft.drop(f"{modifier} in an event without {wanted}")
    for head in heads:
        draft.attach(head, modifier, tail)
