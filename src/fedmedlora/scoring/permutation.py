"""Whether two systems differ by more than chance on the same documents: paired permutation tests, many at once.

If two systems were alike, it would make no difference whose answer to a document is called whose. So their answers are
exchanged, document by document, at random; the share of exchanges that make the F1s differ at least as much as they do
is the p-value. Reference: Yeh, More accurate tests for the statistical significance of result differences, COLING 2000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring.counts import Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXCHANGES = 10_000
_BITS_AT_ONCE = 8_000_000

_K = TypeVar("_K")
_D = TypeVar("_D", str, int)


@dataclass(frozen=True, slots=True)
class Permutation:
    """F1 of the second system minus that of the first, and its two-sided p-value.

    difference, p: None where one of the F1s is not defined. documents: that were exchanged.
    """

    difference: float | None
    p: float | None
    documents: int
    exchanges: int


def paired_permutation(
    first: Mapping[_D, Sequence[Tally]],
    second: Mapping[_D, Sequence[Tally]],
    *,
    seed: int,
    exchanges: int = EXCHANGES,
) -> Permutation:
    """Compare two systems by what each of their runs got right in each document, by its id or number.

    A system may have several runs (seeds): its F1 is the mean over runs, and a document's runs are exchanged together,
    since they are not independent. p = (1 + exchanges at least as far apart) / (1 + exchanges), never 0.

    Three documents of one entity each, all right in one system and all wrong in the other: only the 2 of 8 exchanges
    that swap all or none are as far apart, so p is about 0.25, however large the difference.

    Raises CorpusError unless both have the same documents and as many runs; ConfigError when exchanges is under 1.
    """
    import numpy as np

    if exchanges < 1:
        raise ConfigError(f"exchanges is {exchanges}: expected at least 1 (10,000 is usual).")
    ids = _same_documents(first, second)
    runs = len(first[ids[0]]) if ids else 0
    if not runs:
        return Permutation(None, None, len(ids), exchanges)
    # [documents, runs, 2] of each system; what an exchange moves is their difference.
    ours, theirs = (
        np.asarray([found[name] for name in ids], dtype=np.float64).reshape(len(ids), runs, 2)
        for found in (first, second)
    )
    observed = _difference(ours.sum(axis=0)[None], theirs.sum(axis=0)[None])
    if not math.isfinite(float(observed[0])):
        return Permutation(None, None, len(ids), exchanges)
    moved = (theirs - ours).reshape(len(ids), 2 * runs)
    generator = np.random.default_rng(seed)
    as_far = 0
    block = max(1, _BITS_AT_ONCE // len(ids))
    for begin in range(0, exchanges, block):
        swapped = generator.integers(0, 2, size=(min(block, exchanges - begin), len(ids))).astype(np.float64)
        change = (swapped @ moved).reshape(-1, runs, 2)
        found = _difference(ours.sum(axis=0) + change, theirs.sum(axis=0) - change)
        # Equal up to rounding counts as equal; an exchange without any span is no evidence of a difference.
        as_far += int((np.nan_to_num(np.abs(found)) >= abs(float(observed[0])) - 1e-12).sum())
    return Permutation(float(observed[0]), (1 + as_far) / (1 + exchanges), len(ids), exchanges)


def holm(values: Mapping[_K, float]) -> dict[_K, float]:
    """P-values adjusted for how many there are, so that all of them together err as seldom as one.

    The smallest is multiplied by their number, the next by one less, and so on; none is smaller than one before it, and
    none above 1. `holm({"a": 0.01, "b": 0.04, "c": 0.03})` is a 0.03, b 0.06, c 0.06.
    Reference: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    adjusted: dict[_K, float] = {}
    least = 0.0
    for place, (key, p) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, (len(values) - place) * p))
        adjusted[key] = least
    return {key: adjusted[key] for key in values}


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean F1 over runs of the second minus the first: [exchanges, runs, 2] → [exchanges], NaN where undefined."""
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        both = [sums[..., 0] / sums[..., 1] for sums in (first, second)]
    found: NDArray[np.float64] = both[1].mean(axis=1) - both[0].mean(axis=1)
    return found


def _same_documents(first: Mapping[_D, Sequence[Tally]], second: Mapping[_D, Sequence[Tally]]) -> list[_D]:
    ids = sorted(first)
    if ids != sorted(second):
        other = min(first.keys() ^ second.keys())
        raise CorpusError(
            f"a paired comparison needs the same documents; '{other}' is scored for one system alone. Score both on "
            "one gold set."
        )
    if len({len(runs) for found in (first, second) for runs in found.values()}) > 1:
        raise CorpusError("a paired comparison needs as many runs (seeds) of both systems, for every document.")
    return ids
