"""One request on its way through the grammar: what is decided, and a guess at what follows.

A guess costs nothing when it is wrong: only tokens that the model itself would have picked are accepted. It is the
source copied on, with the tags that earlier passes made likely; every pass that reads it tells more about the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedmedlora.markup.encode import Request
from fedmedlora.markup.grammar import Choice, SpanGrammar, State, TokenSpan

_SHORTEST = 8


class Marked(NamedTuple):
    """A finished answer: the spans in order of closing, and for each its confidence, None where it is not known.

    The confidence is the probability of the choices that made the span: the product, over the steps from its opening
    tag through its closing tag, of the chosen token's probability among the tokens allowed there.
    """

    spans: tuple[TokenSpan, ...]
    confidences: tuple[float | None, ...]


class Pick(NamedTuple):
    """The best allowed token at one choice, and its log-probability among the allowed ones."""

    token: int
    log_probability: float


@dataclass(frozen=True)
class Draft:
    """What may follow: the choices on the way, and the state before each and after all.

    guesses: one token for each choice, but for a last choice that has nothing to copy. needed: how many choices from
    the first to the last that leaves more than one token; those after it are forced.
    """

    guesses: tuple[int, ...]
    choices: tuple[Choice, ...]
    states: tuple[State, ...]
    needed: int


@dataclass
class Row:
    """One request on its way. written: prompt and decided tokens; the first `cached` of them lie in `slot`.

    log_probabilities: of the decided tokens, 0 where only one was allowed. hints: by source position, first tokens of
    tags that a pass favoured there. reach: how many choices the next draft looks ahead.
    """

    index: int
    request: Request
    state: State
    written: list[int]
    slot: int = 0
    cached: int = 0
    reach: int = 1 << 30
    log_probabilities: list[float] = field(default_factory=list)
    hints: dict[int, list[int]] = field(default_factory=dict)
    draft: Draft = field(init=False)

    def __post_init__(self) -> None:
        self._look_ahead()

    @property
    def ended(self) -> bool:
        """True once the end token has been decided."""
        return self.state.ended

    @property
    def prefix(self) -> tuple[int, ...]:
        """What the prompt shares with those of the same labels; at least its last token is the row's own."""
        prompt = self.request.prompt
        return prompt[: min(self.request.prefix_tokens, len(prompt) - 1)]

    @property
    def lead(self) -> int:
        """Decided tokens that are still to be read; never none."""
        return len(self.written) - self.cached

    @property
    def feed(self) -> list[int]:
        """What the next pass reads."""
        return self.written[self.cached :] + list(self.draft.guesses[: self.draft.needed - 1])

    @property
    def asked(self) -> tuple[Choice, ...]:
        """The choices that the next pass decides."""
        return self.draft.choices[: self.draft.needed]

    def accept(self, picks: Sequence[Pick]) -> None:
        """Take over what the model picked, up to and with the first departure from the draft; then draft the rest."""
        draft = self.draft
        taken = 0
        while taken < min(len(picks), len(draft.guesses)) and picks[taken].token == draft.guesses[taken]:
            taken += 1
        right = list(draft.guesses[:taken])
        scores = [pick.log_probability for pick in picks[:taken]]
        if taken < len(picks):
            self.state = self.request.grammar.advance(draft.states[taken], picks[taken].token)
            right.append(picks[taken].token)
            scores.append(picks[taken].log_probability)
            self._remember(picks, taken + 1)
            self.reach = max(_SHORTEST, 2 * (taken + 1))
        else:
            # What the model was not asked about was forced.
            right += draft.guesses[taken:]
            scores += [0.0] * (len(draft.guesses) - taken)
            self.state = draft.states[-1]
            self.reach = max(_SHORTEST, 2 * self.reach)
        self.cached += self.lead + min(taken, draft.needed - 1)
        self.written += right
        self.log_probabilities += scores
        self._look_ahead()

    def marked(self) -> Marked:
        """The answer of a row that has ended."""
        spans = self.state.spans
        scores = self.log_probabilities
        extents = self.request.grammar.extents(spans)
        return Marked(spans, tuple(math.exp(math.fsum(scores[first:last])) for first, last in extents))

    def _look_ahead(self) -> None:
        self.draft = _draft(self.request.grammar, self.state, self.hints, self.reach)
        if not self.ended and self.draft.needed == 0:
            # Every remaining step is forced.
            self.accept(())

    def _remember(self, picks: Sequence[Pick], first: int) -> None:
        """Keep the tags that were picked beyond the departure: what stood before them was wrong, yet likely enough."""
        for number in range(first, len(picks)):
            place = self.draft.states[number].at_choice
            choice, token = self.draft.choices[number], picks[number].token
            if place is not None and choice.copy is not None and token != choice.copy:
                known = self.hints.setdefault(place.position, [])
                if token not in known:
                    known.append(token)


def start_row(index: int, request: Request) -> Row:
    """A request of which nothing is decided, unless all of it is forced."""
    return Row(index, request, request.grammar.start(), list(request.prompt))


def _draft(grammar: SpanGrammar, state: State, hints: dict[int, list[int]], reach: int) -> Draft:
    guesses: list[int] = []
    choices: list[Choice] = []
    states = [state]
    needed, used = 0, dict.fromkeys(hints, 0)
    while not state.ended:
        choice = grammar.choice(state)
        tokens = choice.tokens
        if len(tokens) > 1:
            if needed >= reach:
                break
            needed = len(choices) + 1
        choices.append(choice)
        if len(tokens) > 1 and choice.copy is None:
            break
        guesses.append(_guess(grammar, state, choice, hints, used) if hints else tokens[0])
        state = grammar.advance(state, guesses[-1])
        states.append(state)
    return Draft(tuple(guesses), tuple(choices), tuple(states), needed)


def _guess(
    grammar: SpanGrammar, state: State, choice: Choice, hints: dict[int, list[int]], used: dict[int, int]
) -> int:
    """The next token: a hinted tag that is legal, or the copy. A new entity is taken to end the one that is open."""
    place = state.at_choice
    if place is None or choice.copy is None or place.position not in hints:
        return choice.tokens[0]
    here = hints[place.position]
    top = place.stack[-1] if place.stack else None
    closing = grammar.tags.closing[top[0]][0] if top is not None else None
    while used[place.position] < len(here):
        token = here[used[place.position]]
        if token in choice.others and closing in choice.others and token != closing:
            if token in hints.get(place.position - 1, ()):
                # Inside an entity whose opening the earlier pass had not written, every token looked like its first.
                used[place.position] += 1
                continue
            return closing
        used[place.position] += 1
        if token in choice.others:
            return token
    return choice.tokens[0]
