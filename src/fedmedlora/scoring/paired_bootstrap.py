"""Intervals of a mean F1 over several runs (seeds) and sites, and of the difference of two systems.

Two documents of one entity each. The first system finds neither; the second finds one of them under seed 0 and the
other under seed 1. In every resample the second's mean F1 over its seeds is 0.5, so the difference is 0.5 with the
interval [0.5, 0.5], although each seed alone moves between 0 and 1.

>>> first = [[(0, 2), (0, 2)], [(0, 2), (0, 2)]]
>>> second = [[(2, 2), (0, 2)], [(0, 2), (2, 2)]]
>>> found = paired_bootstrap([first], [second], seed=0)
>>> (found.low, found.point, found.high)
(0.5, 0.5, 0.5)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring.bootstrap import RESAMPLES, Interval, document_draws, percentile_interval
from fedmedlora.scoring.counts import Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

Runs: TypeAlias = Sequence[Sequence[Tally]]
"""A system on one site: for every run what each document adds to an F1, documents in one order."""

_KEPT_DRAWS = 1_000_000  # 8 MB; many systems are resampled over the same documents


def mean_bootstrap(sites: Sequence[Runs], *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of a mean F1: over runs at each site, then over sites, each site counting alike.

    Documents are drawn with replacement within each site, and all runs of a site are scored on the same draw. Raises
    CorpusError when the runs of a site differ in their number of documents; ConfigError when resamples is under 1.
    """
    values, point = _resampled(sites, seed, resamples)
    return percentile_interval(values, point, _documents(sites))


def paired_bootstrap(
    first: Sequence[Runs], second: Sequence[Runs], *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """95 % percentile interval of the second system's mean F1 minus the first's, both on the same draws of documents.

    The systems may have different numbers of runs. Raises CorpusError unless both have the same sites with as many
    documents; ConfigError when resamples is under 1.
    """
    if [_sizes(runs) for runs in first] != [_sizes(runs) for runs in second]:
        raise CorpusError(
            "a paired comparison needs the same documents of the same sites for both systems. Score both on one gold "
            "set."
        )
    ours, before = _resampled(first, seed, resamples)
    theirs, after = _resampled(second, seed, resamples)
    point = None if before is None or after is None else after - before
    return percentile_interval(theirs - ours, point, _documents(first))


def _sizes(runs: Runs) -> set[int]:
    return {len(documents) for documents in runs}


def _documents(sites: Sequence[Runs]) -> int:
    return sum(max(_sizes(runs), default=0) for runs in sites)


def _resampled(sites: Sequence[Runs], seed: int, resamples: int) -> tuple[Floats, float | None]:
    """The mean in every resample, NaN where it is not defined, and on the documents as they are."""
    import numpy as np

    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}: expected at least 1 (1000 is usual).")
    values, points = np.zeros(resamples), []
    for place, runs in enumerate(sites):
        if len(_sizes(runs)) != 1:
            raise CorpusError("a mean over runs needs at least one run, and the same documents in every one of them.")
        table = np.asarray(runs, dtype=np.float64).reshape(len(runs), -1, 2)
        columns = np.ascontiguousarray(table.transpose(1, 0, 2)).reshape(table.shape[1], 2 * len(runs))
        blocks = [weights @ columns for weights in _draws(table.shape[1], resamples, seed, place)]
        values += _mean_f1(np.concatenate(blocks).reshape(resamples, len(runs), 2))
        points.append(float(_mean_f1(table.sum(axis=1)[None])[0]))
    if not points or any(np.isnan(points)):
        return np.full(resamples, np.nan), None
    return values / len(sites), sum(points) / len(points)


def _mean_f1(sums: Floats) -> Floats:
    """Mean over runs: [resamples, runs, 2] → [resamples], NaN where a run has neither gold nor prediction."""
    import numpy as np

    f1 = np.full(sums.shape[:2], np.nan)
    np.divide(sums[..., 0], sums[..., 1], out=f1, where=sums[..., 1] > 0)
    found: Floats = f1.mean(axis=1)
    return found


def _draws(documents: int, resamples: int, seed: int, place: int) -> Iterable[Floats]:
    """How often each document is drawn: another draw for every site, the same for every system."""
    if documents * resamples <= _KEPT_DRAWS:
        return _kept_draws(documents, resamples, seed, place)
    return document_draws(documents, resamples, (seed, place))


@lru_cache(maxsize=16)
def _kept_draws(documents: int, resamples: int, seed: int, place: int) -> tuple[Floats, ...]:
    return tuple(document_draws(documents, resamples, (seed, place)))
