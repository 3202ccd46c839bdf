r"""Tags in text, and the escape that keeps a source from ever holding a real one.

`<problem>chest pain</problem>`: a tag is `<label>` or `</label>`, nothing else. Source text that already looks like a
tag gets one backslash after its `<`; text that looks like an escaped tag gets one more, so unescaping is exact:

    source   a <problem> b     a <\problem> b
    escaped  a <\problem> b    a <\\problem> b
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise


def open_tag(label: str) -> str:
    """`<label>`."""
    return f"<{label}>"


def close_tag(label: str) -> str:
    """`</label>`."""
    return f"</{label}>"


@dataclass(frozen=True, slots=True)
class Escaped:
    """A source with its tag look-alikes escaped.

    offsets: where in `text` the inserted backslashes stand, ascending; empty for ordinary text.
    """

    text: str
    offsets: tuple[int, ...] = ()

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """The source span under a span of `text`; empty when it covers only an inserted backslash."""
        if not self.offsets:
            return start, end
        return start - bisect_left(self.offsets, start), end - bisect_left(self.offsets, end)

    def from_source(self, start: int, end: int) -> tuple[int, int]:
        """The span of `text` from the first to the last character of a source span (not empty)."""
        if not self.offsets:
            return start, end
        return self._index(start), self._index(end - 1) + 1

    def _index(self, position: int) -> int:
        """Where in `text` the source's code point `position` stands."""
        # The i-th backslash stands before the source code point offsets[i] - i.
        low, high = 0, len(self.offsets)
        while low < high:
            middle = (low + high) // 2
            if self.offsets[middle] - middle <= position:
                low = middle + 1
            else:
                high = middle
        return position + low


def escape(text: str, labels: Collection[str]) -> Escaped:
    """`text` with one backslash after the `<` of whatever looks like a tag of `labels`, escaped or not.

    The result holds no tag of `labels`; ordinary text comes back as it is.
    """
    if "<" not in text or not labels:
        return Escaped(text)
    pieces: list[str] = []
    offsets: list[int] = []
    last = 0
    for match in _look_alike(frozenset(labels)).finditer(text):
        after = match.start() + 1
        pieces.append(text[last:after])
        offsets.append(after + len(offsets))
        last = after
    if not offsets:
        return Escaped(text)
    return Escaped("\\".join([*pieces, text[last:]]), tuple(offsets))


def unescape(text: str, labels: Collection[str]) -> str:
    """The source that `escape` was given. Tags of `labels` are left as they stand."""
    return read_escaped(text, labels)[0]


def read_escaped(text: str, labels: Collection[str]) -> tuple[str, Escaped]:
    """The source under an escaped text, and the map between the two."""
    if "<\\" not in text or not labels:
        return text, Escaped(text)
    found = _look_alike(frozenset(labels)).finditer(text)
    offsets = tuple(match.start() + 1 for match in found if match[0][1] == "\\")
    cuts = [-1, *offsets, len(text)]
    source = "".join(text[before + 1 : after] for before, after in pairwise(cuts))
    return source, Escaped(text, offsets)


@lru_cache(maxsize=64)
def _look_alike(labels: frozenset[str]) -> re.Pattern[str]:
    return re.compile(rf"<\\*/?(?:{_alternatives(labels)})>")


@lru_cache(maxsize=64)
def tag_pattern(labels: frozenset[str]) -> re.Pattern[str]:
    """Matches a real tag of `labels`: group `close` is "/" or empty, group `label` its name."""
    return re.compile(rf"<(?P<close>/?)(?P<label>{_alternatives(labels)})>")


def _alternatives(labels: frozenset[str]) -> str:
    # Without labels nothing is a tag: "(?!)" never matches.
    return "|".join(re.escape(label) for label in sorted(labels)) or "(?!)"
