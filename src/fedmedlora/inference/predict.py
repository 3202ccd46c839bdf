"""Predict entities, and the modifiers of given or predicted entities, over whole documents.

Documents are cut into sentence windows from their text alone, every window is asked, and spans come back in the
document's own offsets. Gold annotations are never looked at, but for the heads that `predict_modifiers` is given. Where
the answers know how sure they are, `meta["confidence"]` of a predicted document says so, by entity and relation id,
rounded to four decimals; of one entity found in two windows, the surer answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from fedmedlora.corpus.document import Document, Entity, Json, Relation, Span
from fedmedlora.corpus.windows import WINDOW_CHARACTERS, Window, sentence_windows
from fedmedlora.inference.draft import Marked
from fedmedlora.markup.encode import Encoder, Request
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.markup.parsed import Found

OnDone: TypeAlias = Callable[[int], None]
"""Called with the number of requests answered since the last call."""


class Answers(Protocol):
    """Whatever answers requests; `decode.Decoder` is one."""

    def decode(self, requests: Sequence[Request], on_done: OnDone | None = None) -> list[tuple[TokenSpan, ...]]:
        """The marked spans of each request's source, in order."""
        ...


@runtime_checkable
class SureAnswers(Answers, Protocol):
    """Answers that know how sure they are."""

    def mark(self, requests: Sequence[Request], on_done: OnDone | None = None) -> list[Marked]:
        """As `decode`, with the confidence of each span."""
        ...


@runtime_checkable
class TextAnswers(Protocol):
    """Whatever answers requests in characters; `json_decode.JsonDecoder` is one."""

    def find(self, requests: Sequence[Request], on_done: OnDone | None = None) -> list[list[Found]]:
        """The entities of each request's window, with spans in its text, in order."""
        ...


class Predicted(NamedTuple):
    """Predicted documents in the order of the input, and what could not be asked (reason → count)."""

    documents: list[Document]
    dropped: Counter[str]


class _Asked(NamedTuple):
    document: int
    window: Window
    request: Request


def predict_entities(
    documents: Sequence[Document], encoder: Encoder, answers: Answers | TextAnswers, on_done: OnDone | None = None
) -> Predicted:
    """The main entities of each document, for the labels that it is annotated with (all, when it names none)."""
    dropped: Counter[str] = Counter()
    asked: list[_Asked] = []
    for number, document in enumerate(documents):
        for window in sentence_windows(_bare(document), WINDOW_CHARACTERS).windows:
            request = encoder.ner_request(window.document)
            if request is not None and not _too_long(request, encoder, dropped):
                asked.append(_Asked(number, window, request))
    found: list[dict[tuple[tuple[Span, ...], str], float | None]] = [{} for _ in documents]
    for item, (label, spans), confidence in _answered(asked, answers, on_done):
        known = found[item.document].get((spans, label))
        found[item.document][spans, label] = confidence if known is None else max(known, confidence or 0.0)
    results = []
    for document, entities in zip(documents, found, strict=True):
        ordered = sorted(entities)
        numbered = tuple(Entity(f"T{n}", label, spans) for n, (spans, label) in enumerate(ordered, start=1))
        sure = {entity.id: entities[place] for entity, place in zip(numbered, ordered, strict=True)}
        results.append(_with_confidence(replace(_bare(document), entities=numbered), sure))
    return Predicted(results, dropped)


def predict_modifiers(
    documents: Sequence[Document], encoder: Encoder, answers: Answers | TextAnswers, on_done: OnDone | None = None
) -> Predicted:
    """The modifiers of each document's main entities: those entities kept, modifiers and relations predicted.

    Modifier entities and relations that a document brings along are ignored. A head that no single window holds cannot
    be asked and is counted.
    """
    dropped: Counter[str] = Counter()
    asked: list[_Asked] = []
    for number, document in enumerate(documents):
        asked += _modifier_requests(number, document, encoder, dropped)
    found: list[dict[tuple[str, str, tuple[Span, ...]], float | None]] = [{} for _ in documents]
    for item, (label, spans), confidence in _answered(asked, answers, on_done):
        head = item.request.head
        assert head is not None
        found[item.document][head, label, spans] = confidence
    return Predicted(
        [_with_relations(document, encoder, relations) for document, relations in zip(documents, found, strict=True)],
        +dropped,
    )


def _answered(
    asked: Sequence[_Asked], answers: Answers | TextAnswers, on_done: OnDone | None
) -> Iterator[tuple[_Asked, Found, float | None]]:
    """Each entity that a question found, in its document's offsets, and how sure the answer is of it."""
    requests = [item.request for item in asked]
    if isinstance(answers, TextAnswers):
        for item, entities in zip(asked, answers.find(requests, on_done), strict=True):
            for entity in entities:
                yield item, _in_document(item, entity), None
        return
    if isinstance(answers, SureAnswers):
        marked = answers.mark(requests, on_done)
    else:
        marked = [Marked(spans, (None,) * len(spans)) for spans in answers.decode(requests, on_done)]
    for item, (spans, confidences) in zip(asked, marked, strict=True):
        for token_span, confidence in zip(spans, confidences, strict=True):
            for label, span in item.request.entities([token_span]):
                yield item, _in_document(item, Found(label, (span,))), confidence


def _in_document(item: _Asked, found: Found) -> Found:
    first = item.window.start
    return Found(found.type, tuple((start + first, end + first) for start, end in found.spans))


def _with_confidence(document: Document, sure: Mapping[str, float | None]) -> Document:
    """Put what is known of confidences into the document's meta, beside those that it has."""
    new = {name: round(confidence, 4) for name, confidence in sure.items() if confidence is not None}
    before = document.meta.get("confidence")
    kept = before if isinstance(before, dict) else {}
    known: dict[str, Json] = {name: value for name, value in kept.items() if name in _ids(document)}
    known.update(new)
    meta = {key: value for key, value in document.meta.items() if key != "confidence"}
    return replace(document, meta={**meta, "confidence": known} if known else meta)


def _ids(document: Document) -> set[str]:
    return {entity.id for entity in document.entities} | {relation.id for relation in document.relations}


def _modifier_requests(number: int, document: Document, encoder: Encoder, dropped: Counter[str]) -> list[_Asked]:
    heads = tuple(entity for entity in document.entities if entity.type in encoder.labels.entity_types)
    windows = sentence_windows(replace(document, entities=heads, relations=()), WINDOW_CHARACTERS).windows
    asked = []
    for window in windows:
        for head in window.document.entities:
            request = encoder.re_request(window.document, head)
            if request is None:
                dropped["re: no token covers the entity"] += bool(encoder.modifiers_asked(window.document, head))
            elif not _too_long(request, encoder, dropped):
                asked.append(_Asked(number, window, request))
    held = sum(len(window.document.entities) for window in windows)
    if held < len(heads):
        dropped["re: entity across windows"] += len(heads) - held
    return asked


def _with_relations(
    document: Document, encoder: Encoder, found: Mapping[tuple[str, str, tuple[Span, ...]], float | None]
) -> Document:
    heads = tuple(entity for entity in document.entities if entity.type in encoder.labels.entity_types)
    taken = {entity.id for entity in heads}
    tails: dict[tuple[str, tuple[Span, ...]], Entity] = {}
    relations: list[Relation] = []
    sure: dict[str, float | None] = {}
    for (head, label, spans), confidence in sorted(found.items(), key=lambda item: item[0]):
        tail = tails.get((label, spans))
        if tail is None:
            name = f"M{len(tails) + 1}"
            while name in taken:
                name += "x"
            taken.add(name)
            tail = tails[label, spans] = Entity(name, label, spans)
        relations.append(Relation(f"R{len(relations) + 1}", label, head, tail.id))
        sure[relations[-1].id] = confidence
    found_in = replace(document, entities=(*heads, *tails.values()), relations=tuple(relations))
    return _with_confidence(found_in, sure)


def _bare(document: Document) -> Document:
    meta = {key: value for key, value in document.meta.items() if key != "confidence"}
    return replace(document, entities=(), relations=(), meta=meta)


def _too_long(request: Request, encoder: Encoder, dropped: Counter[str]) -> bool:
    """Whether prompt and a completion without tags exceed the limit; counted if so."""
    if len(request.prompt) + len(request.source.ids) <= encoder.max_tokens:
        return False
    dropped[f"{request.task}: window longer than {encoder.max_tokens} tokens"] += 1
    return True
