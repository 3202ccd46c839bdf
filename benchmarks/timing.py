"""Paired measurements: ours and the peer in turn, so that a machine whose speed drifts treats both alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Measured: TypeAlias = Callable[[], float]
"""Does its work once and returns the figure that counts: seconds, unless said otherwise, without what it sets up."""


@dataclass(frozen=True)
class Comparison:
    """Medians of paired runs. ratio: how many times better ours is, the median of the pairs' ratios."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float

    def to_json(self) -> dict[str, str | float | None]:
        """One entry of the results; a figure that is not finite, a ratio to nothing for instance, is null."""
        return {
            "name": self.name,
            "ours": _finite(self.ours),
            "peer": _finite(self.peer),
            "unit": self.unit,
            "ratio": _finite(self.ratio),
        }


def timed(work: Callable[[], object]) -> Measured:
    """The seconds of work that needs no setting up."""

    def run() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return run


def compare(
    name: str,
    unit: str,
    ours: Measured,
    peer: Measured,
    *,
    pairs: int,
    more_is_better: bool,
    warm_up: bool = True,
) -> Comparison:
    """Both in turn, after one run of each that does not count.

    warm_up: False where ours and peer have run before, or take so long that the first run is like the others.
    """
    if warm_up:
        ours()
        peer()
    return summarise(name, unit, [(ours(), peer()) for _ in range(pairs)], more_is_better=more_is_better)


def compare_rates(
    name: str, unit: str, amount: float, ours: Measured, peer: Measured, *, pairs: int, warm_up: bool = True
) -> Comparison:
    """Amount per second of both."""

    def rate(seconds: Measured) -> Measured:
        return lambda: amount / seconds()

    return compare(name, unit, rate(ours), rate(peer), pairs=pairs, more_is_better=True, warm_up=warm_up)


def compare_seconds(
    name: str, ours: Measured, peer: Measured, *, unit: str = "s", pairs: int, warm_up: bool = True
) -> Comparison:
    """Seconds of both; ratio: how many times less ours takes."""
    return compare(name, unit, ours, peer, pairs=pairs, more_is_better=False, warm_up=warm_up)


def summarise(name: str, unit: str, pairs: list[tuple[float, float]], *, more_is_better: bool) -> Comparison:
    """The comparison of (ours, peer) pairs that have been measured."""
    return Comparison(
        name,
        statistics.median(mine for mine, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        unit,
        statistics.median(_times(mine, theirs) if more_is_better else _times(theirs, mine) for mine, theirs in pairs),
    )


def _times(better: float, worse: float) -> float:
    """How many times `worse` goes into `better`; without end where it is nothing, once where both are."""
    if worse:
        return better / worse
    return math.inf if better else 1.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
