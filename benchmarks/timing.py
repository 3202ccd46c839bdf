"""Paired timing: ours and the peer in turn, so that a machine whose speed drifts treats both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Medians of paired runs. ratio: how many times better ours is, the median of the pairs' ratios."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float

    def to_json(self) -> dict[str, str | float]:
        """One entry of the results."""
        return {"name": self.name, "ours": self.ours, "peer": self.peer, "unit": self.unit, "ratio": self.ratio}


def compare_rates(
    name: str, unit: str, amount: float, ours: Callable[[], object], peer: Callable[[], object], *, pairs: int = 5
) -> Comparison:
    """Amount per second of both, after one run of each that does not count."""
    ours()
    peer()
    rates = [(amount / _seconds(ours), amount / _seconds(peer)) for _ in range(pairs)]
    return Comparison(
        name,
        statistics.median(rate for rate, _ in rates),
        statistics.median(rate for _, rate in rates),
        unit,
        statistics.median(mine / theirs for mine, theirs in rates),
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
