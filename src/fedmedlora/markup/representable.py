"""Which entities tags can hold: contiguous ones that nest. The others are counted, never lost in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.corpus.document import Entity


class Nestable(NamedTuple):
    """The entities that nest, in canonical order, and the others by reason."""

    kept: list[Entity]
    dropped: Counter[str]


def nestable(entities: Sequence[Entity], max_depth: int = 3, *, order: Sequence[str] = ()) -> Nestable:
    """Keep the entities that properly nested tags can hold.

    Canonical order: start ascending, end descending, type, id; so an outer entity precedes the inner one. Of two
    crossing entities the earlier-starting stays, then the longer.
    order: types in label order; a type outside it sorts after, by name.
    """
    dropped: Counter[str] = Counter()
    rank = {name: place for place, name in enumerate(order)}
    whole = [entity for entity in entities if entity.contiguous]
    if len(whole) < len(entities):
        dropped["discontinuous span"] = len(entities) - len(whole)
    whole.sort(key=lambda entity: (entity.start, -entity.end, rank.get(entity.type, len(rank)), entity.type, entity.id))
    kept: list[Entity] = []
    seen: set[tuple[str, int, int]] = set()
    around: list[Entity] = []
    for entity in whole:
        while around and around[-1].end <= entity.start:
            around.pop()
        key = (entity.type, entity.start, entity.end)
        if key in seen:
            dropped["duplicate"] += 1
        elif around and around[-1].end < entity.end:
            dropped["crosses another entity"] += 1
        elif len(around) >= max_depth:
            dropped[f"nested deeper than {max_depth}"] += 1
        else:
            seen.add(key)
            kept.append(entity)
            around.append(entity)
    return Nestable(kept, dropped)
