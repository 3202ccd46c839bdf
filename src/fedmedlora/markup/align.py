"""Where each character of a model's output stands in the source, when the two are not the same text.

Words are aligned first (longest common subsequence, blind to case, spacing and typographic quotes), then characters in
the gaps between them. Time grows about linearly with length, whatever the text.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate

from fedmedlora.corpus.document import Span

_WORD = re.compile(r"(?:\w[\u0300-\u036f]*)+|[^\w\s]")
_PLAIN = str.maketrans("‘’“”‐‑–—−", "''\"\"-----")
_ANCHOR = 4
_WINDOW = 4096
_MAX_GAP_CHARACTERS = 2048
_MIN_RUN = 3
_MIN_SIMILARITY = 0.6
MIN_MATCHED = 0.5
"""Share of an entity's characters (spaces apart) that must stand in the source, and the other way round."""


class Alignment:
    """A monotone map from the characters of `output` to the characters of `source`."""

    def __init__(self, output: str, source: str) -> None:
        self._output = output
        self._source = source
        self._map = [-1] * len(output)
        self._words = [match.span() for match in _WORD.finditer(source)]
        self._align_words([match.span() for match in _WORD.finditer(output)])
        self._matched = [place for place, target in enumerate(self._map) if target >= 0]
        self._output_ink = _ink(output)
        self._source_ink = _ink(source)

    def to_source(self, start: int, end: int) -> tuple[Span, bool] | None:
        """The source span under output[start:end], and whether all of it matched.

        A partial match is widened to whole source words. None when fewer than half of the characters match.
        """
        low, high = bisect_left(self._matched, start), bisect_left(self._matched, end)
        matched, size = high - low, self._output_ink[end] - self._output_ink[start]
        if not matched or matched < MIN_MATCHED * size:
            return None
        first, last = self._map[self._matched[low]], self._map[self._matched[high - 1]] + 1
        whole = matched == size
        if not whole:
            first, last = self._widen(first, last)
        if matched < MIN_MATCHED * (self._source_ink[last] - self._source_ink[first]):
            return None
        return (first, last), whole

    def _widen(self, first: int, last: int) -> Span:
        before = self._words[bisect_right(self._words, (first, len(self._source))) - 1]
        after = self._words[bisect_left(self._words, (last,)) - 1]
        return min(first, before[0]), max(last, after[1])

    def _align_words(self, words: list[Span]) -> None:
        ours = [_key(self._output[start:end]) for start, end in words]
        theirs = [_key(self._source[start:end]) for start, end in self._words]
        before_ours = before_theirs = 0
        pairs = _joined(_anchored(ours, theirs), ours, theirs)
        for i, j in [*pairs, (len(words), len(self._words))]:
            if i > before_ours and j > before_theirs:
                self._align_gap(words[before_ours:i], self._words[before_theirs:j])
            if i < len(words):
                self._pair(words[i], self._words[j])
            before_ours, before_theirs = i + 1, j + 1

    def _pair(self, ours: Span, theirs: Span) -> None:
        """Map the characters of two words that are one, though perhaps not of one length (composed accents)."""
        size, other = ours[1] - ours[0], theirs[1] - theirs[0]
        for place in range(size):
            self._map[ours[0] + place] = theirs[0] + (place if size == other else place * other // size)

    def _align_gap(self, ours: list[Span], theirs: list[Span]) -> None:
        """Map characters between two aligned words: changed, joined or split words."""
        a = [place for start, end in ours for place in range(start, end)]
        b = [place for start, end in theirs for place in range(start, end)]
        if max(len(a), len(b)) > _MAX_GAP_CHARACTERS:
            return
        pairs = _common([_key(self._output[i]) for i in a], [_key(self._source[j]) for j in b])
        similar = 2 * len(pairs) >= _MIN_SIMILARITY * (len(a) + len(b))
        # Unrelated words share stray letters; only runs say that a text was changed rather than made up.
        for run in _runs(pairs):
            if similar or len(run) >= _MIN_RUN:
                for i, j in run:
                    self._map[a[i]] = b[j]


def _ink(text: str) -> list[int]:
    """How many characters that are not space stand before each place of the text."""
    return list(accumulate((not character.isspace() for character in text), initial=0))


def _key(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).casefold().translate(_PLAIN)


def _runs(pairs: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Split the pairs where either side skips."""
    run: list[tuple[int, int]] = []
    for pair in pairs:
        if run and (pair[0] != run[-1][0] + 1 or pair[1] != run[-1][1] + 1):
            yield run
            run = []
        run.append(pair)
    if run:
        yield run


def _joined(pairs: list[tuple[int, int]], a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Move a stray match next to the run that it belongs to, of several equally long alignments."""
    moved = pairs.copy()
    for at in range(len(moved) - 2, -1, -1):
        (i, j), (after, j_after) = moved[at], moved[at + 1]
        alone = at == 0 or moved[at - 1] != (i - 1, j - 1)
        if alone and j_after == j + 1 and after - 1 > i and a[after - 1] == b[j]:
            moved[at] = (after - 1, j)
    for at in range(1, len(moved)):
        (i, j), (before, j_before) = moved[at], moved[at - 1]
        alone = at == len(moved) - 1 or moved[at + 1] != (i + 1, j + 1)
        if alone and j_before == j - 1 and before + 1 < i and a[before + 1] == b[j]:
            moved[at] = (before + 1, j)
    return moved


def _anchored(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of a common subsequence that keeps runs together.

    Runs of words that stand once in `b` are matched first, with where they come first in `a`: of a copy and of what a
    model says about it afterwards, the copy is meant. The gaps between them follow.
    """
    pairs: list[tuple[int, int]] = []
    last_i = last_j = -1
    for i, j in [*_rising(_anchors(a, b)), (len(a), len(b))]:
        if i > last_i + 1 and j > last_j + 1:
            gap = _common(a[last_i + 1 : i], b[last_j + 1 : j])
            pairs += [(last_i + 1 + x, last_j + 1 + y) for x, y in gap]
            last_i, last_j = i - 1, j - 1
        for step in range(min(_ANCHOR, len(a) - i)):
            if i + step > last_i and j + step > last_j:
                last_i, last_j = i + step, j + step
                pairs.append((last_i, last_j))
    return pairs


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    first: dict[tuple[str, ...], int] = {}
    for i in range(len(a) - _ANCHOR + 1):
        first.setdefault(tuple(a[i : i + _ANCHOR]), i)
    runs = [tuple(b[j : j + _ANCHOR]) for j in range(len(b) - _ANCHOR + 1)]
    counted = Counter(runs)
    return [(first[run], j) for j, run in enumerate(runs) if counted[run] == 1 and run in first]


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose first members rise (the second ones do), by patience sorting."""
    tops: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for place, (i, _) in enumerate(pairs):
        pile = bisect_left(tops, i)
        before.append(ends[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [i]
        ends[pile : pile + 1] = [place]
    chosen: list[tuple[int, int]] = []
    place = ends[-1] if ends else -1
    while place >= 0:
        chosen.append(pairs[place])
        place = before[place]
    return chosen[::-1]


def _common(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Index pairs of a common subsequence of `a` and `b`; the longest one, when what differs fits the window."""
    limit = min(len(a), len(b))
    head = 0
    while head < limit and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < limit - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    middle = _windowed(a[head : len(a) - tail], b[head : len(b) - tail])
    return [
        *((place, place) for place in range(head)),
        *((i + head, j + head) for i, j in middle),
        *((len(a) - left, len(b) - left) for left in range(tail, 0, -1)),
    ]


def _windowed(a: Sequence[Hashable], b: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    i = j = 0
    half = _WINDOW // 2
    while i < len(a) and j < len(b):
        pairs = _lcs(a[i : i + _WINDOW], b[j : j + _WINDOW])
        if len(a) - i <= _WINDOW and len(b) - j <= _WINDOW:
            yield from ((i + x, j + y) for x, y in pairs)
            return
        # Near its far end a window may match the wrong things: keep the near half, go on from there.
        pairs = [(x, y) for x, y in pairs if min(x, y) < half]
        yield from ((i + x, j + y) for x, y in pairs)
        x, y = pairs[-1] if pairs else (0, 0)
        i, j = i + max(x + 1, half), j + max(y + 1, half)


def _lcs(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """A longest common subsequence as index pairs.

    Bit-parallel rows (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"): a zero bit at j of row i says that
    the subsequence of a[:i + 1] and b grows by one at b[j].
    """
    places: dict[Hashable, int] = {}
    for j, item in enumerate(b):
        places[item] = places.get(item, 0) | 1 << j
    full = (1 << len(b)) - 1
    row = full
    rows = []
    for item in a:
        matches = row & places.get(item, 0)
        row = ((row + matches) | (row - matches)) & full
        rows.append(row)
    pairs: list[tuple[int, int]] = []
    i, j = len(a) - 1, len(b) - 1
    while i >= 0 and j >= 0:
        if rows[i] >> j & 1:
            j -= 1
        elif i > 0 and not rows[i - 1] >> j & 1:
            i -= 1
        else:
            pairs.append((i, j))
            i, j = i - 1, j - 1
    return pairs[::-1]
