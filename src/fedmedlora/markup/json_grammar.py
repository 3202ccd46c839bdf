"""What an answer in the `json` format may say next: the shape that `render_json_ner` and `render_json_re` write.

A grammar in llguidance's dialect of Lark holds the shape, the labels and the substrings of the source. Three rules look
back at what has been said, which no context-free grammar can; `allows` holds them:

- a text holds more than white space;
- an occurrence counts no further than the text appears in the source;
- nothing follows an entity, or a piece of one, that its list holds already, but the end of the list.

Every beginning that is allowed can be finished, so decoding never runs into a wall.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Literal, TypeAlias

from fedmedlora.markup.json_format import appearances

Key: TypeAlias = Literal["entities", "modifiers"]

SIGNS = '{}[]":, 0123456789' + "".join(sorted(set("entitiesmodifierstypetextoccurrencepieces")))
"""Every character that an answer is built of, labels and texts aside."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_PIECE = rf'"text": {_STRING}, "occurrence": [0-9]+'
_ITEM = re.compile(rf'\{{"type": {_STRING}, (?:{_PIECE}|"pieces": \[\{{{_PIECE}\}}(?:, \{{{_PIECE}\}})*\])\}}')
_BRACED_PIECE = re.compile(rf"\{{{_PIECE}\}}")
_SAID = re.compile(rf'"text": ({_STRING})(?:, "occurrence": ([0-9]+))?')

_LARK = r"""
start: {opening} (item (", " item)*)? "]}}"
item: "{{\"type\": " LABEL ", " (piece | pieces) "}}"
pieces: "\"pieces\": [{{" piece "}}" (", {{" piece "}}")+ "]"
piece: "\"text\": " TEXT ", \"occurrence\": " NUMBER
LABEL: {labels}
NUMBER: {number}
TEXT: "\"" ({names}) "\""
{runs}
"""


@dataclass(frozen=True)
class JsonGrammar:
    """The answers to one question.

    source: the text that the answer quotes. spells: whether a tokenizer can write a string, whatever surrounds it;
    characters that it cannot write are never quoted.
    """

    key: Key
    source: str
    labels: tuple[str, ...]
    spells: Callable[[str], bool]
    _known: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def empty(self) -> str:
        """The answer that lists nothing."""
        return json.dumps({self.key: []})

    @cached_property
    def lark(self) -> str | None:
        """The grammar as llguidance reads it; None where there is nothing to ask for or to quote."""
        runs = _runs(self.source, self.spells)
        if not runs or not self.labels:
            return None
        # No text appears more often than the commonest character.
        most = max(Counter(self.source).values())
        number = '"1"' if most == 1 else f"/[1-9][0-9]{{0,{len(str(most)) - 1}}}/"
        return _LARK.format(
            opening=json.dumps(f'{{"{self.key}": ['),
            labels=" | ".join(json.dumps(json.dumps(label)) for label in self.labels),
            number=number,
            names=" | ".join(f"RUN_{place}" for place in range(len(runs))),
            runs="\n".join(
                f"RUN_{place}: %regex {json.dumps({'substring_chunks': run})}" for place, run in enumerate(runs)
            ),
        )

    def allows(self, answer: bytes) -> bool:
        """Whether the beginning of an answer that is right by `lark` keeps the rules that look back."""
        text = answer.decode("utf-8", "ignore")
        for said in _SAID.finditer(text):
            words = str(json.loads(said[1]))
            if not words.strip() or (said[2] is not None and int(said[2]) > self._count(words)):
                return False
        pieces = text[text.rfind('"pieces": [') :]
        return not (_goes_on(_BRACED_PIECE, pieces) or _goes_on(_ITEM, text))

    def close(self, answer: bytes) -> str:
        """The whole answer with what has been listed completely so far."""
        text = answer.decode("utf-8", "ignore")
        *_, last = [0, *(item.end() for item in _ITEM.finditer(text))]
        return f"{text[:last]}]}}" if last else self.empty

    def _count(self, words: str) -> int:
        known = self._known.get(words)
        if known is None:
            known = self._known[words] = sum(1 for _ in appearances(self.source, words))
        return known


def _goes_on(listed: re.Pattern[str], text: str) -> bool:
    """Whether anything follows what was listed before."""
    known = set()
    for one in listed.finditer(text):
        if one[0] in known and text.startswith(",", one.end()):
            return True
        known.add(one[0])
    return False


def _runs(source: str, spells: Callable[[str], bool]) -> list[list[str]]:
    """The stretches of the source that can be written, character by character as JSON spells them.

    None begins or ends with white space: so whatever white space a quotation begins with, it can go on to a word.
    """
    written = {character: spells(_spelled(character)) for character in set(source)}
    runs = []
    for can, characters in groupby(source, key=written.__getitem__):
        stretch = "".join(characters).strip()
        if can and stretch:
            runs.append([_spelled(character) for character in stretch])
    return runs


def _spelled(character: str) -> str:
    return json.dumps(character, ensure_ascii=False)[1:-1]
