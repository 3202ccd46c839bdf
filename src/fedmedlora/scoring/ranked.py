"""Predictions by how sure the model is of them: the precision-recall curve and the area under it.

A threshold on the confidence keeps the predictions at or above it. Precision is over those kept, recall over all gold
annotations, so that what was never predicted is never found, however low the threshold: the curve ends at the recall of
the whole prediction. Right is strictly right, as `score_documents` has it.

Three gold entities; predictions of confidence 0.9 (right), 0.6 (wrong), 0.6 (right), 0.2 (wrong):

    threshold   kept   right   precision   recall
    0.9           1      1       1          1/3
    0.6           3      2       2/3        2/3     equal confidences come together: one step
    0.2           4      2       1/2        2/3

    average precision = 1/3 · 1 + 1/3 · 2/3 + 0 · 1/2 = 5/9

The area is average precision: the sum over steps of (recall gained) · (precision at the step), without interpolation,
which would be too kind (Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006; compared
with other estimators by Boyd, Eng and Page, Area under the precision-recall curve, 2013). It is 0 when nothing right
was predicted, and 1 when all is found and every wrong prediction is less sure than every right one; so a model that
predicts little cannot do well by being careful.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring.annotations import carriers, paired_documents, scored_labels
from fedmedlora.scoring.bootstrap import RESAMPLES, Interval, document_draws, percentile_interval
from fedmedlora.scoring.counts import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

CURVE_POINTS = 50
_CELLS_AT_ONCE = 2_000_000  # of resamples times predictions: 16 MB for each table of them


class Sure(NamedTuple):
    """One prediction: its confidence in 0 … 1, and whether it is strictly right."""

    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document: how many annotations are in gold, and its distinct predictions."""

    id: str
    gold: int
    predictions: tuple[Sure, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every prediction of one task with its confidence; documents in the order of their ids."""

    documents: tuple[RankedDocument, ...]

    @property
    def gold(self) -> int:
        """Gold annotations over all documents."""
        return sum(document.gold for document in self.documents)

    @property
    def predictions(self) -> list[Sure]:
        """All predictions, the surest first."""
        every = (one for document in self.documents for one in document.predictions)
        return sorted(every, key=lambda one: -one.confidence)


class Step(NamedTuple):
    """What is kept from one confidence on."""

    recall: float
    precision: float


def rank_predictions(
    gold: Sequence[Document], predicted: Sequence[Document], labels: LabelSet, task: Task
) -> Ranking | None:
    """The scored predictions with the confidences in `meta["confidence"]`; None when one of them has none.

    What is scored is as in `score_documents`; of duplicates the surest counts. Raises what `score_documents` raises,
    and CorpusError for a confidence that is no number in 0 … 1.
    """
    documents: list[RankedDocument] = []
    left_out = Counter[str]()
    for one, answer in paired_documents(gold, predicted):
        scored = scored_labels(one, labels)
        golds = carriers(one, task, scored, "gold", left_out)
        known = _confidences(answer)
        predictions: list[Sure] = []
        for annotation, names in carriers(answer, task, scored, "predicted", left_out).items():
            values = [known[name] for name in names if name in known]
            if not values:
                return None
            predictions.append(Sure(max(values), annotation in golds))
        documents.append(RankedDocument(one.id, len(golds), tuple(predictions)))
    return Ranking(tuple(sorted(documents, key=lambda document: document.id)))


def precision_recall_curve(ranking: Ranking) -> list[Step]:
    """A step for every distinct confidence, from the highest to the lowest; none without gold, which has no recall."""
    if not ranking.gold:
        return []
    steps: list[Step] = []
    kept = right = 0
    for _, tied in groupby(ranking.predictions, key=lambda one: one.confidence):
        for one in tied:
            kept += 1
            right += one.right
        steps.append(Step(right / ranking.gold, right / kept))
    return steps


def average_precision(ranking: Ranking) -> float | None:
    """The area under the precision-recall curve, 0 … 1; None without gold."""
    if not ranking.gold:
        return None
    area, before = 0.0, 0.0
    for recall, precision in precision_recall_curve(ranking):
        area, before = area + (recall - before) * precision, recall
    return area


def average_precision_interval(ranking: Ranking, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of the average precision under resampling of documents with replacement.

    The resamples are those of `document_bootstrap` with the same documents and seed. Raises ConfigError when resamples
    is under 1.
    """
    import numpy as np

    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}: expected at least 1 (1000 is usual).")
    table = _Table.of(ranking)
    rows = max(1, _CELLS_AT_ONCE // max(1, len(table.right)))
    values = [
        table.areas(draws[first : first + rows])
        for draws in document_draws(len(ranking.documents), resamples, seed)
        for first in range(0, len(draws), rows)
    ]
    return percentile_interval(np.concatenate(values), average_precision(ranking), len(ranking.documents))


def thinned(steps: Sequence[Step], points: int = CURVE_POINTS) -> list[Step]:
    """At most so many of the steps (2 or more), evenly spaced in their order, the first and the last among them."""
    if len(steps) <= points:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (points - 1))] for place in range(points)]


class _Table(NamedTuple):
    """Predictions as columns, the surest first. last: places after which the confidence changes."""

    document: NDArray[np.intp]
    right: Floats
    last: NDArray[np.intp]
    gold: Floats

    @classmethod
    def of(cls, ranking: Ranking) -> _Table:
        import numpy as np

        every = [(one, place) for place, document in enumerate(ranking.documents) for one in document.predictions]
        every.sort(key=lambda entry: -entry[0].confidence)
        confidences = np.array([one.confidence for one, _ in every], dtype=np.float64)
        return cls(
            np.array([place for _, place in every], dtype=np.intp),
            np.array([one.right for one, _ in every], dtype=np.float64),
            np.flatnonzero(np.diff(confidences, append=-1.0)),
            np.array([document.gold for document in ranking.documents], dtype=np.float64),
        )

    def areas(self, draws: Floats) -> Floats:
        """Average precision of every resample, NaN where it has no gold. draws: resamples × documents."""
        import numpy as np

        times = draws[:, self.document]
        kept = np.cumsum(times, axis=1)[:, self.last]
        right = np.cumsum(times * self.right, axis=1)[:, self.last]
        gained = np.diff(right, axis=1, prepend=0.0)
        # Where nothing is kept yet nothing is gained either, so that any divisor but 0 will do.
        area = (gained * right / np.maximum(kept, 1.0)).sum(axis=1)
        gold = draws @ self.gold
        values = np.full(len(draws), np.nan)
        np.divide(area, gold, out=values, where=gold > 0)
        return values


def _confidences(document: Document) -> dict[str, float]:
    known = document.meta.get("confidence")
    if known is None:
        return {}
    if not isinstance(known, dict):
        raise CorpusError(f"document '{document.id}': meta.confidence is no object. Expected confidences by id.")
    found: dict[str, float] = {}
    for name, value in known.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise CorpusError(
                f"document '{document.id}', '{name}': its meta.confidence is no number from 0 to 1. "
                "Give every entity and relation a probability, or leave meta.confidence out."
            )
        found[name] = float(value)
    return found
