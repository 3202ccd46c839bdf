"""Divide pooled notes into sites: at random, by style, with skewed labels or sizes. Knows notes by size and kind.

Every way gives each note to exactly one site and every site at least one. "Size" is the number of training examples, so
that "equal" means equal work.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from fedmedlora.config.fields import SplitName
from fedmedlora.errors import ConfigError


@dataclass(frozen=True)
class Note:
    """What dividing has to know of a note. site: whose it is. size: its examples. kind: its dominant entity type."""

    site: str
    size: int
    kind: str


Parts: TypeAlias = list[list[int]]
"""By new site, indices of its notes."""


def divide(notes: Sequence[Note], sites: int, split: SplitName, alpha: float, seed: int) -> Parts:
    """Indices of the notes of each new site, in order. Raises ConfigError when there are fewer notes than sites."""
    if len(notes) < sites:
        raise ConfigError(
            f"[scaling] sites names {sites}, but the sites have {len(notes)} training notes with an example. "
            "Name fewer sites, or raise max_train_examples."
        )
    generator = random.Random(f"divide/{split}/{sites}/{seed}")
    parts = _WAYS[split](notes, sites, alpha, generator)
    _fill_empty(parts)
    return [sorted(part) for part in parts]


def _iid(notes: Sequence[Note], sites: int, alpha: float, generator: random.Random) -> Parts:
    return _cut(notes, _shuffled(range(len(notes)), generator), [1.0] * sites)


def _style(notes: Sequence[Note], sites: int, alpha: float, generator: random.Random) -> Parts:
    """Corpora whole: several to a site where there are fewer sites; cut where there are more, the largest most."""
    corpora = [[at for at, note in enumerate(notes) if note.site == name] for name in _distinct(notes, _site)]
    sizes = [sum(notes[at].size for at in corpus) for corpus in corpora]
    by_size = sorted(range(len(corpora)), key=lambda place: -sizes[place])
    if sites < len(corpora):
        parts: Parts = [[] for _ in range(sites)]
        for place in by_size:
            smallest = min(parts, key=lambda part: sum(notes[at].size for at in part))
            smallest += corpora[place]
        return parts
    pieces = [1] * len(corpora)
    for _ in range(sites - len(corpora)):
        # A corpus of one note cannot be cut.
        open_ = [place for place in by_size if pieces[place] < len(corpora[place])]
        pieces[max(open_, key=lambda place: sizes[place] / pieces[place])] += 1
    found: Parts = []
    for corpus, count in zip(corpora, pieces, strict=True):
        own = _cut(notes, _shuffled(corpus, generator), [1.0] * count)
        _fill_empty(own)
        found += own
    return found


def _label_skew(notes: Sequence[Note], sites: int, alpha: float, generator: random.Random) -> Parts:
    """Notes of each dominant entity type by shares of its own (Li et al. 2021, arXiv 2102.02079)."""
    parts: Parts = [[] for _ in range(sites)]
    for kind in _distinct(notes, _kind):
        own = [at for at, note in enumerate(notes) if note.kind == kind]
        pieces = _cut(notes, _shuffled(own, generator), _dirichlet(sites, alpha, generator))
        for part, piece in zip(parts, pieces, strict=True):
            part += piece
    return parts


def _size_skew(notes: Sequence[Note], sites: int, alpha: float, generator: random.Random) -> Parts:
    return _cut(notes, _shuffled(range(len(notes)), generator), _dirichlet(sites, alpha, generator))


_WAYS: Mapping[SplitName, Callable[[Sequence[Note], int, float, random.Random], Parts]] = {
    "iid": _iid,
    "style": _style,
    "label-skew": _label_skew,
    "size-skew": _size_skew,
}


def _cut(notes: Sequence[Note], order: Sequence[int], shares: Sequence[float]) -> Parts:
    """Cut a row of notes into pieces whose sizes stand as the shares do, as nearly as whole notes allow."""
    parts: Parts = [[] for _ in shares]
    total, whole = sum(notes[at].size for at in order), sum(shares)
    ends = [total * end / whole for end in accumulate(shares)]
    before = 0
    for at in order:
        middle = before + notes[at].size / 2
        parts[min(bisect_right(ends, middle), len(parts) - 1)].append(at)
        before += notes[at].size
    return parts


def _dirichlet(count: int, alpha: float, generator: random.Random) -> list[float]:
    drawn = [generator.gammavariate(alpha, 1.0) for _ in range(count)]
    if not sum(drawn):
        # A tiny alpha gives all to one.
        drawn[generator.randrange(count)] = 1.0
    return drawn


def _fill_empty(parts: Parts) -> None:
    """Give every empty part one note of the part that has most."""
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())


def _shuffled(indices: Sequence[int], generator: random.Random) -> list[int]:
    return generator.sample(indices, len(indices))


def _distinct(notes: Sequence[Note], key: Callable[[Note], str]) -> list[str]:
    return list(dict.fromkeys(key(note) for note in notes))


def _site(note: Note) -> str:
    return note.site


def _kind(note: Note) -> str:
    return note.kind
