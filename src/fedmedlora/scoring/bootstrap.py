"""How far a score would move with other documents: percentile intervals that resample whole documents, never spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fedmedlora.corpus.document import Json
from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring.counts import MODES, TASKS, Count, DocumentCounts, Mode, Tally, Task
from fedmedlora.scoring.score import Scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 1000
_WEIGHTS_AT_ONCE = 4_000_000  # 32 MB of float64, however many documents there are


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile bootstrap interval of an F1, or of the difference of two.

    `Interval(low=0.41, high=0.55, point=0.48, documents=30, resamples=1000, undefined=0)` reads: F1 0.48 on these 30
    documents, between 0.41 and 0.55 in 95 % of 1,000 resamples.

    low, high: None when no resample defines the value. point: on the documents as they are; None when undefined.
    undefined: resamples in which the value is not defined (no gold and no prediction); low and high leave them out.
    """

    low: float | None
    high: float | None
    point: float | None
    documents: int
    resamples: int
    undefined: int = 0

    def to_json(self) -> dict[str, Json]:
        """The six fields, unrounded."""
        return {
            "low": self.low,
            "high": self.high,
            "point": self.point,
            "documents": self.documents,
            "resamples": self.resamples,
            "undefined": self.undefined,
        }


def document_bootstrap(scores: Scores, task: Task, mode: Mode, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of a micro F1 under resampling of documents with replacement.

    One document with all right and one with all wrong, one entity each: a resample holds the right one 0, 1 or 2
    times out of 2, so F1 is 0, 0.5 or 1 with probability 1/4, 1/2 and 1/4, and the interval is [0, 1].

    The interval depends on the documents' counts and ids and on the seed, not on the order of the documents. One
    document alone gives an interval of width 0, which says nothing about its certainty: read it with `documents`.
    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Raises ConfigError when resamples is under 1.
    """
    return bootstrap_all(scores, seed=seed, resamples=resamples)[task, mode]


def bootstrap_all(scores: Scores, *, seed: int, resamples: int = RESAMPLES) -> dict[tuple[Task, Mode], Interval]:
    """The interval of `document_bootstrap` for every task and mode, all from the same resamples.

    `bootstrap_all(scores, seed=0)["ner", "lenient"]` equals `document_bootstrap(scores, "ner", "lenient", seed=0)`.
    Raises ConfigError when resamples is under 1.
    """
    documents = _sorted(scores)
    cells = [(task, mode) for task in TASKS for mode in MODES]
    sums = _resampled_sums([_rows(documents, task, mode) for task, mode in cells], resamples, seed)
    return {
        (task, mode): percentile_interval(_f1(sums[index]), _micro(scores, task, mode).f1, len(documents))
        for index, (task, mode) in enumerate(cells)
    }


def paired_difference(
    scores_a: Scores, scores_b: Scores, task: Task, mode: Mode, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """95 % percentile interval of micro F1 of b minus that of a, both on the same resampled documents.

    F1 0.40 for a and 0.50 for b give the point 0.10. Two systems that make the same mistakes differ by [0, 0] however
    wide their own intervals are; an interval that leaves out 0 is a difference that other documents would repeat.

    Raises CorpusError unless both were scored on the same gold documents; ConfigError when resamples is under 1.
    """
    documents_a, documents_b = _sorted(scores_a), _sorted(scores_b)
    _check_same_gold(documents_a, documents_b)
    rows = [_rows(documents_a, task, mode), _rows(documents_b, task, mode)]
    sums = _resampled_sums(rows, resamples, seed)
    f1_a, f1_b = _micro(scores_a, task, mode).f1, _micro(scores_b, task, mode).f1
    point = None if f1_a is None or f1_b is None else f1_b - f1_a
    return percentile_interval(_f1(sums[1]) - _f1(sums[0]), point, len(documents_a))


def _sorted(scores: Scores) -> list[DocumentCounts]:
    return sorted(scores.documents, key=lambda document: document.id)


def _micro(scores: Scores, task: Task, mode: Mode) -> Count:
    of_task = scores.of(task)
    return of_task.strict if mode == "strict" else of_task.lenient


def _rows(documents: Sequence[DocumentCounts], task: Task, mode: Mode) -> list[Tally]:
    return [document.tally(task, mode) for document in documents]


def _resampled_sums(rows: Sequence[list[Tally]], resamples: int, seed: int) -> Floats:
    """Sums of (numerator, denominator) over every resample; shape: statistics, resamples, 2."""
    import numpy as np

    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}: expected at least 1 (1000 is usual).")
    table = np.asarray(rows, dtype=np.float64).reshape(len(rows), len(rows[0]), 2)
    columns = np.ascontiguousarray(table.transpose(1, 0, 2)).reshape(table.shape[1], 2 * len(rows))
    # Sums of integers far below 2^53 are exact in float64, so neither blocks nor BLAS threads change a digit.
    blocks = [weights @ columns for weights in document_draws(columns.shape[0], resamples, seed)]
    sums: Floats = np.concatenate(blocks).reshape(resamples, len(rows), 2)
    return sums.transpose(1, 0, 2)


def document_draws(documents: int, resamples: int, seed: int | Sequence[int]) -> Iterator[Floats]:
    """How often each document is drawn, in blocks of shape (resamples of the block, documents)."""
    import numpy as np

    generator = np.random.default_rng(seed)
    chances = np.full(documents, 1 / documents) if documents else np.zeros(0)
    block = max(1, _WEIGHTS_AT_ONCE // max(1, documents))
    for first in range(0, resamples, block):
        size = min(block, resamples - first)
        if documents:
            yield generator.multinomial(documents, chances, size=size).astype(np.float64)
        else:
            yield np.zeros((size, 0))


def _f1(sums: Floats) -> Floats:
    """Numerator over denominator of every resample; NaN where there is neither gold nor prediction."""
    import numpy as np

    values = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=values, where=sums[:, 1] > 0)
    return values


def percentile_interval(values: Floats, point: float | None, documents: int) -> Interval:
    """The interval of a value from what it is in every resample; NaN is where it is not defined."""
    import numpy as np

    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined):
        return Interval(None, None, point, documents, len(values), undefined)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(float(low), float(high), point, documents, len(values), undefined)


def _check_same_gold(documents_a: Sequence[DocumentCounts], documents_b: Sequence[DocumentCounts]) -> None:
    ids_a, ids_b = {document.id for document in documents_a}, {document.id for document in documents_b}
    if ids_a != ids_b:
        raise CorpusError(
            f"a paired comparison needs the same documents: {len(ids_a - ids_b)} only in the first, "
            f"{len(ids_b - ids_a)} only in the second, for instance '{min(ids_a ^ ids_b)}'. Score both on one gold set."
        )
    for one, other in zip(documents_a, documents_b, strict=True):
        if any(_golds(one, task) != _golds(other, task) for task in TASKS):
            raise CorpusError(
                f"document '{one.id}': the two were scored against different gold annotations. "
                "Score both against one gold set with one label set."
            )


def _golds(document: DocumentCounts, task: Task) -> dict[str, int]:
    return {label: counts.strict.gold for label, counts in document.types(task).items() if counts.strict.gold}
