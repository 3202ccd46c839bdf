"""From a window of a note to token ids, and from token spans back to character spans.

The source is tokenised once, whole; tags go in between its tokens, so training sees exactly the tokens that decoding
will see. An entity covers every token that it overlaps. Knows tokenizers by protocol only; loads no model library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from typing import Literal, NamedTuple, Protocol, TypeAlias

from fedmedlora.corpus.document import Document, Entity, Span
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import BaseModelError
from fedmedlora.markup.grammar import SpanGrammar, TagTokens, TokenSpan
from fedmedlora.markup.prompts import Prompt, ner_prompt, re_prompt
from fedmedlora.markup.representable import nestable
from fedmedlora.markup.tags import Escaped, close_tag, escape, open_tag

Task: TypeAlias = Literal["ner", "re"]


class SourceTokenizer(Protocol):
    """What encoding needs of a fast Hugging Face tokenizer, narrowed to plain values."""

    @property
    def end_id(self) -> int:
        """The token that ends a completion."""
        ...

    @property
    def begin_ids(self) -> tuple[int, ...]:
        """What the tokenizer puts before every text (a BOS token, or nothing)."""
        ...

    def tokens(self, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        """Token ids and their character offsets, nothing added."""
        ...


class Source(NamedTuple):
    """A window's text as tokens: ids, offsets into the escaped text, and the way back to the window's text."""

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    escaped: Escaped


@dataclass(frozen=True)
class Request:
    """One question to the model: a prompt, and the grammar of its possible answers.

    prefix_tokens: how many of the prompt's first tokens are the same for every request with these labels.
    head: the marked entity's id in an RE request, None in NER.
    """

    task: Task
    document: Document
    head: str | None
    prompt: tuple[int, ...]
    prefix_tokens: int
    source: Source
    grammar: SpanGrammar

    def entities(self, spans: Iterable[TokenSpan]) -> list[tuple[str, Span]]:
        """Labels and character spans, in the window's text, of spans over source tokens.

        White space at the ends is left out; a span of nothing else disappears.
        """
        found = []
        for label, start, end in spans:
            span = self._characters(start, end)
            if span is not None:
                found.append((label, span))
        return found

    def tokens_of(self, span: Span) -> tuple[int, int] | None:
        """The source tokens under a span of the window's text, as (first, one past the last); None where none is."""
        return _covered(self.source, span)

    @property
    def places(self) -> tuple[int, ...]:
        """Where in the prompt each source token stands: the tags around the marked entity push them on."""
        pushed = [0] * (len(self.source.ids) + 1)
        if self.head is not None:
            head = self.document.entity(self.head)
            for first, last in _covered_pieces(self.source, head.spans):
                pushed[first] += len(self.grammar.tags.opening[head.type])
                pushed[last] += len(self.grammar.tags.closing[head.type])
        places = accumulate(pushed[:-1], initial=self.prefix_tokens)
        return tuple(place + number for number, place in enumerate(islice(places, 1, None)))

    def _characters(self, start: int, end: int) -> Span | None:
        covered = [offsets for offsets in self.source.offsets[start:end] if offsets[0] < offsets[1]]
        if not covered:
            return None
        begin, stop = covered[0][0], max(offsets[1] for offsets in covered)
        # A space that a tokenizer puts before a word bears the offsets of the word's first character, which is not its.
        if any(first <= begin and stop < last for first, last in self.source.offsets[end : end + 1]):
            return None
        text = self.document.text
        first, last = self.source.escaped.to_source(begin, stop)
        while first < last and text[first].isspace():
            first += 1
        while first < last and text[last - 1].isspace():
            last -= 1
        return (first, last) if first < last else None


@dataclass(frozen=True)
class Example:
    """A request with its right answer.

    completion: the token ids that should follow the prompt, end token included.
    """

    request: Request
    completion: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.request.prompt) + len(self.completion)

    @property
    def marks_something(self) -> bool:
        """False where the right answer is the source as it stands, and the end."""
        return len(self.completion) > len(self.request.source.ids) + 1


class Encoded(NamedTuple):
    """Examples, and what they could not hold (reason → count)."""

    examples: list[Example]
    dropped: Counter[str]


@dataclass(frozen=True)
class Encoder:
    """Turns windows into requests and examples under one label set and prompt style.

    style: "brief", "full" or "bare" (see `prompts`). max_tokens: longest prompt plus completion; a longer example is
    dropped and counted.
    """

    tokenizer: SourceTokenizer
    labels: LabelSet
    style: str = "brief"
    max_tokens: int = 1024

    @cached_property
    def tags(self) -> TagTokens:
        """Every label's tags as token ids. Raises BaseModelError when the tokenizer cannot spell one."""
        opening, closing = {}, {}
        for label in self.labels.names:
            opening[label], _ = self.tokenizer.tokens(open_tag(label))
            closing[label], _ = self.tokenizer.tokens(close_tag(label))
            if not opening[label] or not closing[label] or opening[label] == closing[label]:
                raise BaseModelError(
                    f"the base model's tokenizer cannot spell the tags of label '{label}'. "
                    "Use a base whose vocabulary covers '<', '>' and '/'."
                )
        spelled = [*opening.values(), *closing.values()]
        if len(set(spelled)) < len(spelled):
            raise BaseModelError(
                "the base model's tokenizer spells two tags alike. "
                "Use a base whose vocabulary covers the letters of all labels."
            )
        return TagTokens(opening, closing, self.tokenizer.end_id)

    def ner_request(self, window: Document) -> Request | None:
        """The NER question about a window; None when none of its annotated labels is an entity type."""
        annotated = self.labels.asked(window.labels)
        asked = tuple(label for label in self.labels.entity_types if label in annotated)
        if not asked:
            return None
        source = self._source(window.text)
        return self._request("ner", window, None, source, source.ids, ner_prompt(self.labels, asked, self.style), asked)

    def re_request(self, window: Document, head: Entity) -> Request | None:
        """The RE question about one entity of a window.

        None when no modifier of its type is annotated (see `modifiers_asked`), or no token covers a piece of it.
        """
        asked = self.modifiers_asked(window, head)
        if not asked:
            return None
        source = self._source(window.text)
        pieces = _covered_pieces(source, head.spans)
        if not pieces:
            return None
        marked = list(source.ids)
        for first, last in reversed(pieces):
            marked[last:last] = self.tags.closing[head.type]
            marked[first:first] = self.tags.opening[head.type]
        prompt = re_prompt(self.labels, head.type, asked, self.style)
        return self._request("re", window, head.id, source, tuple(marked), prompt, asked)

    def modifiers_asked(self, window: Document, head: Entity) -> tuple[str, ...]:
        """The modifiers that an RE question about an entity asks for, in label order; none for an unannotated type."""
        annotated = self.labels.asked(window.labels)
        if head.type not in annotated:
            return ()
        return tuple(name for name in self.labels.modifiers.get(head.type, ()) if name in annotated)

    def ner_examples(self, windows: Iterable[Document]) -> Encoded:
        """One example a window."""
        found = Encoded([], Counter())
        for window in windows:
            request = self.ner_request(window)
            if request is not None:
                asked = set(request.grammar.labels)
                self._answer(request, [entity for entity in window.entities if entity.type in asked], found)
        return found

    def re_examples(self, windows: Iterable[Document]) -> Encoded:
        """One example for every main entity of a window, those without modifiers too."""
        found = Encoded([], Counter())
        for window in windows:
            for head in window.entities:
                request = self.re_request(window, head)
                if request is not None:
                    self._answer(request, _modifiers(window, head, request.grammar.labels), found)
                elif self.modifiers_asked(window, head):
                    found.dropped["re: no token covers the entity"] += 1
        return found

    def _answer(self, request: Request, entities: Sequence[Entity], found: Encoded) -> None:
        kept, dropped = nestable(entities, request.grammar.max_depth, order=request.grammar.labels)
        found.dropped.update({f"{request.task}: {reason}": count for reason, count in dropped.items()})
        spans: list[TokenSpan] = []
        for entity in kept:
            covered = _covered(request.source, entity.spans[0])
            if covered is None:
                found.dropped[f"{request.task}: no token covers the entity"] += 1
                continue
            spans.append(TokenSpan(entity.type, *covered))
        nested, crossing = _nested_tokens(spans, request.grammar.max_depth)
        if crossing:
            found.dropped[f"{request.task}: crosses another entity once tokenised"] += crossing
        example = Example(request, request.grammar.write(nested))
        if example.length > self.max_tokens:
            found.dropped[f"{request.task}: example longer than {self.max_tokens} tokens"] += 1
            return
        found.examples.append(example)

    def _source(self, text: str) -> Source:
        escaped = escape(text, self.labels.names)
        ids, offsets = self.tokenizer.tokens(escaped.text)
        return Source(ids, offsets, escaped)

    def _request(
        self,
        task: Task,
        window: Document,
        head: str | None,
        source: Source,
        shown: tuple[int, ...],
        prompt: Prompt,
        asked: tuple[str, ...],
    ) -> Request:
        prefix = (*self.tokenizer.begin_ids, *self._constant(prompt.prefix))
        whole = (*prefix, *shown, *self._constant(prompt.suffix))
        grammar = SpanGrammar(source.ids, asked, self.tags)
        return Request(task, window, head, whole, len(prefix), source, grammar)

    def _constant(self, text: str) -> tuple[int, ...]:
        known = self._constants.get(text)
        if known is None:
            known = self._constants[text] = self.tokenizer.tokens(text)[0]
        return known

    @cached_property
    def _constants(self) -> dict[str, tuple[int, ...]]:
        return {}


def _covered(source: Source, span: Span) -> tuple[int, int] | None:
    """The tokens that a span of the window's text overlaps, as (first, one past the last)."""
    start, end = source.escaped.from_source(*span)
    touched = [
        index
        for index, (first, last) in enumerate(source.offsets)
        if first < end and start < last and not source.escaped.text[max(first, start) : min(last, end)].isspace()
    ]
    return (touched[0], touched[-1] + 1) if touched else None


def _covered_pieces(source: Source, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The tokens of each piece of an entity; pieces that share a token are one. Empty when a piece has no token."""
    pieces: list[tuple[int, int]] = []
    for span in spans:
        covered = _covered(source, span)
        if covered is None:
            return []
        if pieces and covered[0] < pieces[-1][1]:
            covered = (pieces.pop()[0], covered[1])
        pieces.append(covered)
    return pieces


def _modifiers(window: Document, head: Entity, asked: Collection[str]) -> list[Entity]:
    """The head's modifiers, each typed by its relation: one span may modify several entities in different ways."""
    entities = {entity.id: entity for entity in window.entities}
    found = []
    for relation in window.relations:
        if relation.head == head.id and relation.type in asked:
            tail = entities[relation.tail]
            found.append(Entity(tail.id, relation.type, tail.spans))
    return found


def _nested_tokens(spans: Sequence[TokenSpan], max_depth: int) -> tuple[list[TokenSpan], int]:
    """Keep what still nests once boundaries have moved out to tokens; the second value counts the others."""
    kept: list[TokenSpan] = []
    around: list[TokenSpan] = []
    dropped = 0
    for span in sorted(set(spans), key=lambda item: (item.start, -item.end, item.label)):
        while around and around[-1].end <= span.start:
            around.pop()
        if (around and around[-1].end < span.end) or len(around) >= max_depth:
            dropped += 1
            continue
        kept.append(span)
        around.append(span)
    return kept, dropped + len(spans) - len(set(spans))
