"""Where lines under a note's text run and where its tags stand. Offsets enter, pieces of text with lanes leave.

Every annotation is a stroke under the text. Strokes that overlap get lanes of their own, one below the other, and the
gap of a discontinuous one is kept free, so that a thin line there can join its parts.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from fedmedlora.corpus.document import Span

Side: TypeAlias = Literal["gold", "predicted", "both"]


@dataclass(frozen=True, slots=True)
class Stroke:
    """One line under a note's text. item: number of the annotation that it belongs to."""

    item: int
    side: Side
    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        """First code point of the first part."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """One past the last code point of the last part."""
        return self.spans[-1][1]


@dataclass(frozen=True, slots=True)
class Under:
    """A stroke as it runs under one piece of text. gap: between two parts of it."""

    stroke: Stroke
    lane: int
    gap: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text under which the same strokes run, in the order of lanes.

    tags: (item, part) of the tags that stand before it; parts count from 1.
    """

    start: int
    end: int
    under: tuple[Under, ...]
    tags: tuple[tuple[int, int], ...]


def lanes(strokes: Sequence[Stroke]) -> list[int]:
    """The lane of each stroke, from 0: the uppermost that no stroke before it occupies up to where it begins.

    [0, 9), [2, 4) and [5, 7) give 0, 1, 1; a stroke of [0, 2) and [6, 8) keeps [3, 5) out of its lane.
    """
    found = [0] * len(strokes)
    ends: list[int] = []
    order = sorted(range(len(strokes)), key=lambda place: (strokes[place].start, -strokes[place].end, place))
    for place in order:
        stroke = strokes[place]
        lane = next((lane for lane, end in enumerate(ends) if end <= stroke.start), len(ends))
        ends[lane : lane + 1] = [stroke.end]
        found[place] = lane
    return found


def pieces(text: str, strokes: Sequence[Stroke]) -> list[Piece]:
    """The whole text in pieces, cut wherever a stroke begins or ends and wherever a tag stands."""
    lane_of = lanes(strokes)
    tags = tag_places(text, strokes)
    cuts = {0, len(text), *tags, *(edge for stroke in strokes for span in stroke.spans for edge in span)}
    found: list[Piece] = []
    for start, end in pairwise(sorted(cuts)):
        under = [
            Under(stroke, lane, not any(first <= start < last for first, last in stroke.spans))
            for stroke, lane in zip(strokes, lane_of, strict=True)
            if stroke.start <= start < stroke.end
        ]
        found.append(Piece(start, end, tuple(sorted(under, key=lambda one: one.lane)), tuple(tags.get(start, ()))))
    return found


def tag_places(text: str, strokes: Sequence[Stroke]) -> Mapping[int, list[tuple[int, int]]]:
    """Where tags stand: offset → (item, part). Part 1 where an item begins, the others where its other parts do.

    A tag never comes between a letter and the accents that follow it.
    """
    of_item: dict[int, list[Stroke]] = defaultdict(list)
    for stroke in strokes:
        of_item[stroke.item].append(stroke)
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for item, own in sorted(of_item.items()):
        first = min(stroke.start for stroke in own)
        others = {start for stroke in own for start, _ in stroke.spans[1:] if start != first}
        for part, start in enumerate([first, *sorted(others)], start=1):
            places[_whole_letter(text, start)].append((item, part))
    return places


def _whole_letter(text: str, place: int) -> int:
    while place > 0 and _joins_on(text[place]):
        place -= 1
    return place


def _joins_on(character: str) -> bool:
    """Whether a character is drawn as part of the one before it."""
    return unicodedata.category(character) in ("Mn", "Me", "Mc") or character == "\u200d"
