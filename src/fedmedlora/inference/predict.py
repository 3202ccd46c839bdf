"""Predict entities, and the modifiers of given or predicted entities, over whole documents.

Documents are cut into sentence windows from their text alone, every window is asked, and spans come back in the
document's own offsets. Gold annotations are never looked at, but for the heads that `predict_modifiers` is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.corpus.windows import WINDOW_CHARACTERS, Window, sentence_windows
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
    found: list[list[Found]] = [[] for _ in documents]
    for item, entities in zip(asked, _answered(asked, answers, on_done), strict=True):
        found[item.document] += entities
    results = []
    for document, entities in zip(documents, found, strict=True):
        unique = sorted(set(entities), key=lambda entity: (entity.spans, entity.type))
        numbered = tuple(Entity(f"T{n}", label, spans) for n, (label, spans) in enumerate(unique, start=1))
        results.append(replace(_bare(document), entities=numbered))
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
    found: list[list[tuple[str, str, tuple[Span, ...]]]] = [[] for _ in documents]
    for item, modifiers in zip(asked, _answered(asked, answers, on_done), strict=True):
        head = item.request.head
        assert head is not None
        found[item.document] += [(head, label, spans) for label, spans in modifiers]
    return Predicted(
        [_with_relations(document, encoder, sorted(set(r))) for document, r in zip(documents, found, strict=True)],
        +dropped,
    )


def _answered(asked: Sequence[_Asked], answers: Answers | TextAnswers, on_done: OnDone | None) -> list[list[Found]]:
    """The entities that each question found, in its document's offsets."""
    requests = [item.request for item in asked]
    if isinstance(answers, TextAnswers):
        found = answers.find(requests, on_done)
    else:
        marked = answers.decode(requests, on_done)
        found = [
            [Found(label, (span,)) for label, span in request.entities(spans)]
            for request, spans in zip(requests, marked, strict=True)
        ]
    return [
        [
            Found(label, tuple((start + item.window.start, end + item.window.start) for start, end in spans))
            for label, spans in entities
        ]
        for item, entities in zip(asked, found, strict=True)
    ]


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
    document: Document, encoder: Encoder, found: Sequence[tuple[str, str, tuple[Span, ...]]]
) -> Document:
    heads = tuple(entity for entity in document.entities if entity.type in encoder.labels.entity_types)
    taken = {entity.id for entity in heads}
    tails: dict[tuple[str, tuple[Span, ...]], Entity] = {}
    relations: list[Relation] = []
    for head, label, spans in found:
        tail = tails.get((label, spans))
        if tail is None:
            name = f"M{len(tails) + 1}"
            while name in taken:
                name += "x"
            taken.add(name)
            tail = tails[label, spans] = Entity(name, label, spans)
        relations.append(Relation(f"R{len(relations) + 1}", label, head, tail.id))
    return replace(document, entities=(*heads, *tails.values()), relations=tuple(relations))


def _bare(document: Document) -> Document:
    return replace(document, entities=(), relations=())


def _too_long(request: Request, encoder: Encoder, dropped: Counter[str]) -> bool:
    """Whether prompt and a completion without tags exceed the limit; counted if so."""
    if len(request.prompt) + len(request.source.ids) <= encoder.max_tokens:
        return False
    dropped[f"{request.task}: window longer than {encoder.max_tokens} tokens"] += 1
    return True
