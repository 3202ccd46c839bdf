"""Turns one frame into the pieces of a sentence, with its relations; offsets follow from them without any search.

A frame is text with slots:

    {p1} {t2/lexicon} {x3}     an entity (p problem, t treatment, d drug, x test) with an index of its own in its scope
    {sev1} {neg12}             a modifier of entity 1; of entities 1 and 2
    {tmp1/span} {unc1=likely}  a modifier from a named lexicon; a modifier with fixed text
    {P1} {L123}                a macro of the world: an entity with optional modifiers, a list of entities
    {&clause}                  a clause of the world in a scope of its own
    {!name}                    filler words that are never annotated
    [a|b|]                     one of the alternatives; an empty one makes the rest optional
    a~                         "a" or "an", by the next letter
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.synthetic.shares import Term
from fedmedlora.corpus.synthetic.vocabulary import Vocabulary

ENTITY_TYPES = {"p": "problem", "t": "treatment", "d": "drug", "x": "test"}
MODIFIER_TYPES = {
    "sev": "severity", "con": "condition", "unc": "uncertain", "sub": "subject", "loc": "bodyloc", "cou": "course",
    "tmp": "temporal", "neg": "negation", "str": "strength", "dos": "dosage", "dur": "duration", "frm": "form",
    "frq": "frequency", "rte": "route", "val": "labvalue", "ref": "reference_range",
}  # fmt: skip
_SLOT = re.compile(r"\{([&!]?)([A-Za-z]+)(\d*)(?:/([a-z]+))?(?:=([^}]*))?\}")
_TOKEN = re.compile(r"(\{[^}]*\}|[\[\]|])")
_REDRAWS = 8
_NO_HEAD = Term("", None)


class Slot(NamedTuple):
    """An annotated place. heads: indices of the entities a modifier belongs to; an entity's own index."""

    type: str
    heads: str
    lexicon: str
    fixed: str | None
    entity: bool


class Filler(NamedTuple):
    """A place for words that are never annotated."""

    name: str


class Choice(NamedTuple):
    """One of several branches. odds: cumulative weights."""

    branches: tuple[Sequence_, ...]
    odds: tuple[float, ...]


class Scope(NamedTuple):
    """A choice whose entity indices are its own."""

    choice: Choice


Node: TypeAlias = "str | Slot | Filler | Choice | Scope"
Sequence_: TypeAlias = "tuple[Node, ...]"


class Piece(NamedTuple):
    """A run of text; type is None for text that is not annotated."""

    text: str
    type: str | None


class Link(NamedTuple):
    """A relation between pieces by position: head the entity, tail the modifier."""

    type: str
    head: int
    tail: int


class Sentence(NamedTuple):
    """Pieces in order and the relations among them."""

    pieces: tuple[Piece, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Grammar:
    """What the frames of one world share.

    macros, clauses: name → bodies. `#`, `$`, `^` in a macro's body stand for its first three indices.
    """

    macros: Mapping[str, Sequence[str]]
    clauses: Mapping[str, Sequence[str]]


class Compiler:
    """Compiles frames for one grammar.

    rates: modifier type → factor on the odds of an alternative that holds it.
    """

    def __init__(self, grammar: Grammar, rates: Mapping[str, float]) -> None:
        self._grammar = grammar
        self._rates = rates
        self._clauses: dict[str, Scope] = {}

    def compile(self, frame: str) -> Sequence_:
        """Compile one frame. Raises ValueError on a slot, macro or clause that does not exist."""
        tokens = [token for token in _TOKEN.split(frame) if token]
        nodes, position = self._sequence(tokens, 0, frame)
        if position != len(tokens):
            raise ValueError(f"frame '{frame}': a ']' or '|' stands outside of an alternative")
        return nodes

    def _sequence(self, tokens: Sequence[str], position: int, frame: str) -> tuple[Sequence_, int]:
        nodes: list[Node] = []
        while position < len(tokens) and tokens[position] not in ("]", "|"):
            token = tokens[position]
            if token == "[":
                node, position = self._alternatives(tokens, position + 1, frame)
                nodes.append(node)
                continue
            nodes.append(self._slot(token, frame) if token.startswith("{") else token)
            position += 1
        return tuple(nodes), position

    def _alternatives(self, tokens: Sequence[str], position: int, frame: str) -> tuple[Choice, int]:
        branches: list[Sequence_] = []
        while True:
            nodes, position = self._sequence(tokens, position, frame)
            branches.append(nodes)
            if position >= len(tokens):
                raise ValueError(f"frame '{frame}': a '[' is not closed")
            position += 1
            if tokens[position - 1] == "]":
                return self._choice(branches), position

    def _choice(self, branches: Sequence[Sequence_]) -> Choice:
        odds: list[float] = []
        for branch in branches:
            weight = 1.0
            for name in sorted({node.type for node in branch if isinstance(node, Slot) and not node.entity}):
                weight *= self._rates.get(name, 1.0)
            odds.append(weight + (odds[-1] if odds else 0.0))
        return Choice(tuple(branches), tuple(odds))

    def _slot(self, token: str, frame: str) -> Node:
        match = _SLOT.fullmatch(token)
        if match is None:
            raise ValueError(f"frame '{frame}': slot '{token}' is not well formed")
        sign, name, heads, lexicon, fixed = match.groups()
        if sign == "!":
            return Filler(name)
        if sign == "&":
            return self._clause(name, frame)
        if name.isupper():
            return self._macro(name, heads, frame)
        if name in ENTITY_TYPES and len(heads) == 1:
            return Slot(ENTITY_TYPES[name], heads, f"{name}/{lexicon}" if lexicon else name, fixed, True)
        if name in MODIFIER_TYPES and heads:
            kind = MODIFIER_TYPES[name]
            return Slot(kind, heads, f"{kind}/{lexicon}" if lexicon else kind, fixed, False)
        raise ValueError(f"frame '{frame}': slot '{token}' is no entity, modifier, macro, clause or filler")

    def _macro(self, name: str, heads: str, frame: str) -> Choice:
        if name not in self._grammar.macros:
            raise ValueError(f"frame '{frame}': macro '{name}' does not exist")
        branches = []
        for body in self._grammar.macros[name]:
            for mark, head in zip("#$^", heads, strict=False):
                body = body.replace(mark, head)
            branches.append(self.compile(body))
        return self._choice(branches)

    def _clause(self, name: str, frame: str) -> Scope:
        if name not in self._clauses:
            if name not in self._grammar.clauses:
                raise ValueError(f"frame '{frame}': clause '{name}' does not exist")
            self._clauses[name] = Scope(self._choice([self.compile(body) for body in self._grammar.clauses[name]]))
        return self._clauses[name]


def mentioned(nodes: Sequence_) -> frozenset[str]:
    """Every entity and modifier type that a compiled frame may hold."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Slot):
            found.add(node.type)
        elif isinstance(node, Choice | Scope):
            choice = node.choice if isinstance(node, Scope) else node
            found.update(*(mentioned(branch) for branch in choice.branches))
    return frozenset(found)


_Flat: TypeAlias = "list[tuple[int, str | Slot | Filler]]"


def _flatten(nodes: Sequence_, scope: int, flat: _Flat, fresh: list[int], rng: random.Random) -> None:
    """Settle every choice, and number the scopes."""
    for node in nodes:
        if isinstance(node, Choice):
            branch = rng.choices(node.branches, cum_weights=node.odds)[0]
            _flatten(branch, scope, flat, fresh, rng)
        elif isinstance(node, Scope):
            fresh[0] += 1
            branch = rng.choices(node.choice.branches, cum_weights=node.choice.odds)[0]
            _flatten(branch, fresh[0], flat, fresh, rng)
        else:
            flat.append((scope, node))


def realise(nodes: Sequence_, vocabulary: Vocabulary, fill: Callable[[str], str], rng: random.Random) -> Sentence:
    """Draw a sentence from a compiled frame.

    fill: gives the words of a filler by its name. Raises ValueError on a frame that is wrong: a
    modifier without its entity or one that may not attach to it, an entity index used twice.
    """
    flat: _Flat = []
    _flatten(nodes, 0, flat, [0], rng)
    terms: dict[tuple[int, str], Term] = {}
    drawn: set[str] = set()
    for scope, node in flat:
        if isinstance(node, Slot) and node.entity:
            if (scope, node.heads) in terms:
                raise ValueError(f"entity index {node.heads} is used twice in one scope")
            terms[scope, node.heads] = _other(vocabulary, node.lexicon, drawn, rng)
    pieces: list[Piece] = []
    places: dict[tuple[int, str], int] = {}
    waiting: list[tuple[int, Slot, int]] = []
    for scope, node in flat:
        if isinstance(node, str):
            pieces.append(Piece(node, None))
        elif isinstance(node, Filler):
            pieces.append(Piece(fill(node.name), None))
        elif node.entity:
            places[scope, node.heads] = len(pieces)
            pieces.append(Piece(terms[scope, node.heads].text if node.fixed is None else node.fixed, node.type))
        else:
            head = next((terms[scope, index] for index in node.heads if (scope, index) in terms), _NO_HEAD)
            text = node.fixed if node.fixed is not None else vocabulary.modifier(node.lexicon, head, rng)
            waiting.append((scope, node, len(pieces)))
            pieces.append(Piece(text, node.type))
    return Sentence(*_link(pieces, places, waiting))


def _other(vocabulary: Vocabulary, lexicon: str, drawn: set[str], rng: random.Random) -> Term:
    """Draw an entity that the sentence does not name yet, where a few draws find one."""
    for _ in range(_REDRAWS):
        term = vocabulary.entity(lexicon, rng)
        if term.text not in drawn and (term.row is None or not drawn.intersection(term.row.names)):
            break
    drawn.add(term.text)
    return term


def _link(
    pieces: list[Piece], places: Mapping[tuple[int, str], int], waiting: Sequence[tuple[int, Slot, int]]
) -> tuple[tuple[Piece, ...], tuple[Link, ...]]:
    links: list[Link] = []
    for scope, slot, tail in waiting:
        heads = [places[scope, index] for index in slot.heads if (scope, index) in places]
        if not heads:
            raise ValueError(f"a modifier '{slot.type}' has none of its entities {slot.heads} in the sentence")
        for head in heads:
            if slot.type not in CLINICAL.modifiers[pieces[head].type or ""]:
                raise ValueError(f"a modifier '{slot.type}' may not attach to '{pieces[head].type}'")
            links.append(Link(slot.type, head, tail))
    return tuple(pieces), tuple(links)
