"""What a span-format completion may say next: the source's next token, or a tag that is legal here.

A completion copies the source and puts tags in. `SpanGrammar` follows it token by token and answers, at every step,
which tokens are allowed. The decoder picks among them, and the `choice` objective trains exactly that pick. Tags may be
one token or many, in any tokenizer. When a tag begins with the very token that is to be copied next, both readings are
kept until a later token settles it; a reading that copies wins a tie that nothing settles.

Rules: a tag opens only before a token that is still to be copied and never more than `max_depth` deep; the tag opened
last closes first, after at least one copied token; the end comes when everything is copied and closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_DEPTH = 3
"""How many entities may be open at once."""


@dataclass(frozen=True)
class TagTokens:
    """Token ids of every label's opening and closing tag, and of the end of a completion."""

    opening: Mapping[str, tuple[int, ...]]
    closing: Mapping[str, tuple[int, ...]]
    end: int

    def special(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Every token id that a tag of these labels, or the end, can bring. Sorted, each once."""
        found = {self.end}
        for label in labels:
            found.update(self.opening[label])
            found.update(self.closing[label])
        return tuple(sorted(found))


class TokenSpan(NamedTuple):
    """An entity over source tokens: label, first token, one past the last."""

    label: str
    start: int
    end: int


class Choice(NamedTuple):
    """The tokens allowed at one step: the token to copy (None where nothing is left), and the others, sorted."""

    copy: int | None
    others: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """All of them, the copy first; a token that is both counts once."""
        if self.copy is None:
            return self.others
        return (self.copy, *(token for token in self.others if token != self.copy))


class _Tag(NamedTuple):
    label: str
    opens: bool
    tokens: tuple[int, ...]


class _Reading(NamedTuple):
    """One way to understand the tokens so far."""

    position: int
    stack: tuple[tuple[str, int], ...] = ()
    spans: tuple[TokenSpan, ...] = ()
    tag: _Tag | None = None
    matched: int = 0
    ended: bool = False


@dataclass(frozen=True)
class State:
    """Where a completion stands. Immutable: `SpanGrammar.advance` returns the next one."""

    readings: tuple[_Reading, ...]

    @property
    def ended(self) -> bool:
        """True once the end token has been taken."""
        return any(reading.ended for reading in self.readings)

    @property
    def at_choice(self) -> _Reading | None:
        """The only reading, when it stands between tokens and tags rather than inside a tag; else None."""
        if len(self.readings) == 1 and self.readings[0].tag is None and not self.readings[0].ended:
            return self.readings[0]
        return None

    @property
    def spans(self) -> tuple[TokenSpan, ...]:
        """The entities of a finished completion, in order of closing. Empty until it ended."""
        for reading in self.readings:
            if reading.ended:
                return reading.spans
        return ()


@dataclass(frozen=True)
class SpanGrammar:
    """The completions of one source under a set of labels."""

    source: tuple[int, ...]
    labels: tuple[str, ...]
    tags: TagTokens
    max_depth: int = MAX_DEPTH
    _legal_memo: dict[tuple[str | None, bool, bool], tuple[tuple[_Tag, ...], tuple[int, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def start(self) -> State:
        """Nothing written yet."""
        return State((_Reading(0),))

    def choice(self, state: State) -> Choice:
        """What may come next. Both parts are empty once the completion has ended."""
        copy: int | None = None
        others: set[int] = set()
        if (only := state.at_choice) is not None:
            return Choice(self._copy(only), self._first_tokens(only))
        for reading in state.readings:
            if reading.ended:
                continue
            if reading.tag is not None:
                others.add(reading.tag.tokens[reading.matched])
                continue
            token = self._copy(reading)
            if token is not None and copy is None:
                copy = token
            elif token is not None:
                others.add(token)
            others.update(self._first_tokens(reading))
        return Choice(copy, tuple(sorted(others)))

    def advance(self, state: State, token: int) -> State:
        """The state after one more token. Raises ValueError when the grammar does not allow it here."""
        following: list[_Reading] = []
        for reading in state.readings:
            following.extend(self._follow(reading, token))
        if not following:
            raise ValueError(f"token {token} is not allowed here")
        return State(tuple(following))

    def write(self, spans: Sequence[TokenSpan]) -> tuple[int, ...]:
        """The completion that marks these properly nested spans, end token included.

        Raises ValueError when they cross, are empty or too deep.
        """
        opens: dict[int, list[TokenSpan]] = {}
        for span in sorted(spans, key=lambda item: (item.start, -item.end, self.labels.index(item.label))):
            opens.setdefault(span.start, []).append(span)
        tokens: list[int] = []
        stack: list[TokenSpan] = []
        for position in range(len(self.source) + 1):
            while stack and stack[-1].end == position:
                tokens.extend(self.tags.closing[stack.pop().label])
            for span in opens.get(position, ()):
                if span.end <= position or (stack and stack[-1].end < span.end) or len(stack) >= self.max_depth:
                    raise ValueError("spans cross, are empty or nest too deep")
                stack.append(span)
                tokens.extend(self.tags.opening[span.label])
            if position < len(self.source):
                tokens.append(self.source[position])
        if stack:
            raise ValueError("a span ends beyond the source")
        return (*tokens, self.tags.end)

    def extents(self, spans: Sequence[TokenSpan]) -> list[tuple[int, int]]:
        """Where each span of a finished completion stands in it, tags included: first token, one past the last.

        spans: all of the completion's, in order of closing. At one place tags close in that order and open against it.
        """
        firsts, lasts = [0] * len(spans), [0] * len(spans)
        opens: dict[int, list[int]] = {}
        closes: dict[int, list[int]] = {}
        for number, span in enumerate(spans):
            opens.setdefault(span.start, []).insert(0, number)
            closes.setdefault(span.end, []).append(number)
        written = 0
        for position in range(len(self.source) + 1):
            for number in closes.get(position, ()):
                written += len(self.tags.closing[spans[number].label])
                lasts[number] = written
            for number in opens.get(position, ()):
                firsts[number] = written
                written += len(self.tags.opening[spans[number].label])
            written += 1
        return list(zip(firsts, lasts, strict=True))

    def choices(self, completion: Sequence[int]) -> list[Choice]:
        """What was allowed at each step of a completion. Raises ValueError where it breaks the grammar."""
        state, found = self.start(), []
        for token in completion:
            found.append(self.choice(state))
            state = self.advance(state, token)
        return found

    def _copy(self, reading: _Reading) -> int | None:
        return self.source[reading.position] if reading.position < len(self.source) else None

    def _legal(self, reading: _Reading) -> tuple[tuple[_Tag, ...], tuple[int, ...]]:
        """The tags that may begin here, and their first tokens (the end token among them when all is done)."""
        more = reading.position < len(self.source)
        top = reading.stack[-1] if reading.stack else None
        closable = top is not None and top[1] < reading.position
        key = (top[0] if top and closable else None, more and len(reading.stack) < self.max_depth, not more and not top)
        known = self._legal_memo.get(key)
        if known is None:
            tags = [_Tag(key[0], False, self.tags.closing[key[0]])] if key[0] is not None else []
            if key[1]:
                tags += [_Tag(label, True, self.tags.opening[label]) for label in self.labels]
            first = {tag.tokens[0] for tag in tags} | ({self.tags.end} if key[2] else set())
            known = self._legal_memo[key] = (tuple(tags), tuple(sorted(first)))
        return known

    def _first_tokens(self, reading: _Reading) -> tuple[int, ...]:
        return self._legal(reading)[1]

    def _follow(self, reading: _Reading, token: int) -> list[_Reading]:
        if reading.ended:
            return []
        if reading.tag is not None:
            matches = reading.tag.tokens[reading.matched] == token
            return [_taken(reading, reading.tag, reading.matched + 1)] if matches else []
        found = []
        if self._copy(reading) == token:
            found.append(reading._replace(position=reading.position + 1))
        elif self._copy(reading) is None and not reading.stack and token == self.tags.end:
            found.append(reading._replace(ended=True))
        found += [_taken(reading, tag, 1) for tag in self._legal(reading)[0] if tag.tokens[0] == token]
        return found


def _taken(reading: _Reading, tag: _Tag, matched: int) -> _Reading:
    """A reading after `matched` tokens of a tag; the tag takes effect with its last token."""
    if matched < len(tag.tokens):
        return reading._replace(tag=tag, matched=matched)
    if tag.opens:
        stack = (*reading.stack, (tag.label, reading.position))
        return reading._replace(stack=stack, tag=None, matched=0)
    label, start = reading.stack[-1]
    spans = (*reading.spans, TokenSpan(label, start, reading.position))
    return reading._replace(stack=reading.stack[:-1], spans=spans, tag=None, matched=0)
