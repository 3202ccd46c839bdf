"""What the confidences of a set of predictions are worth, in one value: how they rank, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from fedmedlora.corpus.document import Json
from fedmedlora.scoring.calibration import ReliabilityBin, brier_score, expected_calibration_error, reliability_bins
from fedmedlora.scoring.ranked import (
    Ranking,
    Step,
    average_precision,
    average_precision_interval,
    precision_recall_curve,
    thinned,
)


@dataclass(frozen=True, slots=True)
class Confidence:
    """One task's predictions by their confidences, held against strictly right ones.

    auprc: area under the precision-recall curve, as average precision; interval: 95 %, by resampling documents. ece:
    expected calibration error over `bins`, of equal mass. curve: at most 50 steps, as drawn. scored: predictions.
    auprc is None without gold; ece and brier without predictions; interval where none was asked for or defined.
    """

    auprc: float | None
    interval: tuple[float, float] | None
    ece: float | None
    brier: float | None
    bins: tuple[ReliabilityBin, ...]
    curve: tuple[Step, ...]
    scored: int

    @classmethod
    def of(cls, ranking: Ranking, *, seed: int, resamples: int) -> Confidence:
        """Compute all of it. resamples: 0 for no interval."""
        predictions = ranking.predictions
        bins = reliability_bins(predictions)
        return cls(
            auprc=average_precision(ranking),
            interval=_interval(ranking, seed, resamples) if resamples else None,
            ece=expected_calibration_error(bins),
            brier=brier_score(predictions),
            bins=tuple(bins),
            curve=tuple(thinned(precision_recall_curve(ranking))),
            scored=len(predictions),
        )

    def to_json(self) -> dict[str, Json]:
        """The seven fields, unrounded; the interval as `auprc_interval`, bins and curve as lists of lists."""
        return {
            "auprc": self.auprc,
            "auprc_interval": None if self.interval is None else list(self.interval),
            "ece": self.ece,
            "brier": self.brier,
            "bins": [list(one) for one in self.bins],
            "curve": [list(one) for one in self.curve],
            "scored": self.scored,
        }


def _interval(ranking: Ranking, seed: int, resamples: int) -> tuple[float, float] | None:
    found = average_precision_interval(ranking, seed=seed, resamples=resamples)
    return None if found.low is None or found.high is None else (found.low, found.high)
