"""MACCROBAT: case reports. Modifiers come through MODIFY, times through OVERLAP, BEFORE and AFTER, cues from the text.

Its attributes mark a finding as absent or uncertain but not the words that say so: they are searched in the sentence.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from fedmedlora.corpus.document import Document, ReadResult, Relation, Span
from fedmedlora.corpus.recipes.cues import CueKind, find_cue
from fedmedlora.corpus.recipes.draft import Draft, map_documents
from fedmedlora.corpus.recipes.lexicons import administration_type, amount_type, description_type
from fedmedlora.corpus.windows import sentence_spans

_TARGETS = {
    "Sign_symptom": "problem",
    "Disease_disorder": "problem",
    "Medication": "drug",
    "Therapeutic_procedure": "treatment",
    "Diagnostic_procedure": "test",
}
_FIXED = {
    "Severity": "severity",
    "Biological_structure": "bodyloc",
    "Lab_value": "labvalue",
    "Frequency": "frequency",
    "Subject": "subject",
    "Date": "temporal",
    "Time": "temporal",
}
_BY_LEXICON = {
    "Dosage": amount_type,
    "Administration": administration_type,
    "Detailed_description": description_type,
}
_TIMES = frozenset({"Date", "Time", "Duration"})
_MODIFIER_SOURCES = frozenset({*_FIXED, *_BY_LEXICON, "Duration"})
_LABELS = (
    *("problem", "treatment", "drug", "test"),
    *("severity", "uncertain", "subject", "bodyloc", "course", "temporal", "negation"),
    *("strength", "dosage", "duration", "form", "frequency", "route", "labvalue"),
)
_CUES: dict[str, tuple[CueKind, ...]] = {
    "NEG": ("negation",),
    "MAYBE_NEG": ("negation", "uncertain"),
    "MAYBE_POS": ("uncertain",),
    "UNCERTAIN": ("uncertain",),
}


def maccrobat(documents: Iterable[Document]) -> ReadResult:
    """Map MACCROBAT."""
    return map_documents(documents, "maccrobat", _fill, _LABELS, _MODIFIER_SOURCES)


def _fill(draft: Draft) -> None:
    text = draft.source.text
    sentences = sentence_spans(text) or [(0, len(text))]
    for entity in draft.source.entities:
        if entity.type in _TARGETS:
            draft.keep(entity, _TARGETS[entity.type])
    for relation in draft.source.relations:
        if relation.type == "MODIFY":
            _modify(draft, modifier_id=relation.head, head_id=relation.tail)
        elif relation.type in ("BEFORE", "AFTER"):
            _order_in_time(draft, relation, sentences)
        else:
            draft.drop(f"relation {relation.type} has no target label")
    _overlap(draft, sentences)
    _cues(draft, sentences)


def _modify(draft: Draft, modifier_id: str, head_id: str) -> None:
    head, source_type = draft.head(head_id), draft.of(modifier_id).type
    if head is None:
        draft.drop(f"MODIFY of {draft.of(head_id).type}, which has no target label")
    elif source_type in _BY_LEXICON:
        modifier = _BY_LEXICON[source_type](draft.text_of(modifier_id))
        if modifier is None:
            draft.drop(f"MODIFY by {source_type} outside the lexicon")
        else:
            draft.attach(head_id, modifier, modifier_id)
    elif source_type == "Duration":
        draft.attach(head_id, _duration_type(head.type), modifier_id)
    elif source_type in _FIXED:
        draft.attach(head_id, _FIXED[source_type], modifier_id)
    else:
        draft.drop(f"MODIFY by {source_type}, which has no target label")


def _duration_type(head_type: str) -> str:
    return "duration" if head_type == "drug" else "temporal"


def _order_in_time(draft: Draft, relation: Relation, sentences: list[Span]) -> None:
    pairs = ((relation.head, relation.tail), (relation.tail, relation.head))
    timed = [(head, time) for head, time in pairs if draft.head(head) and draft.of(time).type in _TIMES]
    if not timed:
        draft.drop(f"relation {relation.type} between other than an entity and its time")
    for head, time in timed:
        if _sentence_of(draft, head, sentences) == _sentence_of(draft, time, sentences):
            draft.attach(head, "temporal", time)
        else:
            draft.drop(f"relation {relation.type} to a time of another sentence")


def _overlap(draft: Draft, sentences: list[Span]) -> None:
    """Relate the times of each OVERLAP group to the entities of the group that share their sentence."""
    for group in draft.listed("equivalences"):
        kind, members = group if isinstance(group, list) and len(group) == 2 else ("?", [])
        ids = draft.known(members)
        sentence = {item: _sentence_of(draft, item, sentences) for item in ids}
        times = [item for item in ids if kind == "OVERLAP" and draft.of(item).type in _TIMES]
        timed = [
            (item, head.type, time)
            for time in times
            for item in ids
            if sentence[item] == sentence[time] and (head := draft.head(item)) is not None
        ]
        for item, head_type, time in timed:
            lasting = draft.of(time).type == "Duration"
            draft.attach(item, _duration_type(head_type) if lasting else "temporal", time)
        if not timed:
            draft.drop(f"{kind} group without an entity and its time in one sentence")


def _cues(draft: Draft, sentences: list[Span]) -> None:
    """Find the words behind each POLARITY attribute. The other attributes say nothing that the schema has."""
    for attribute in draft.listed("attributes"):
        fields = attribute if isinstance(attribute, dict) else {}
        name, value = fields.get("name"), str(fields.get("value"))
        if name != "POLARITY" or value not in _CUES:
            draft.drop(f"attribute {name} {value} has no target label")
            continue
        for entity_id in draft.known(fields.get("entity")):
            head = draft.head(entity_id)
            if head is None:
                draft.drop(f"attribute {name} of {draft.of(entity_id).type}, which has no target label")
                continue
            sentence = sentences[_sentence_of(draft, entity_id, sentences)]
            for kind in _CUES[value]:
                cue = find_cue(draft.source.text, (head.start, head.end), sentence, kind)
                if cue is None:
                    draft.drop(f"attribute {name} {value} with no {kind} cue in the sentence")
                else:
                    draft.attach_span(entity_id, kind, cue)


def _sentence_of(draft: Draft, entity_id: str, sentences: list[Span]) -> int:
    """The index of the sentence in which an entity begins."""
    return max(0, bisect.bisect_right(sentences, draft.of(entity_id).start, key=lambda span: span[0]) - 1)
