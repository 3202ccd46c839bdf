"""Whether confidences mean what they say: of the predictions with a confidence around 0.8, are 80 % right?

Only what was predicted has a confidence, so calibration is about predictions; what was missed it does not see.

Four predictions: 0.9 right, 0.9 right, 0.5 right, 0.5 wrong, in two bins of two:

    bin   n   mean confidence   share right   gap
    1     2        0.5              0.5        0
    2     2        0.9              1.0        0.1

    expected calibration error = 2/4 · 0 + 2/4 · 0.1 = 0.05
    Brier score = ((0.9 − 1)² + (0.9 − 1)² + (0.5 − 1)² + (0.5 − 0)²) / 4 = 0.13
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.scoring.ranked import Sure

BINS = 10


class ReliabilityBin(NamedTuple):
    """Predictions of neighbouring confidences."""

    predictions: int
    mean_confidence: float
    share_right: float


def reliability_bins(predictions: Sequence[Sure], bins: int = BINS) -> list[ReliabilityBin]:
    """Bins of equal mass, from the lowest confidence to the highest: each holds as many predictions as the next.

    Bins of equal width would leave most of them empty, since confidences crowd near 1 (Nixon and others, Measuring
    calibration in deep learning, 2019). Equal confidences are never parted: a bin ends where the next
    confidence is another one, so that bins may be larger, and fewer.
    """
    ordered = sorted(predictions, key=lambda one: one.confidence)
    found: list[ReliabilityBin] = []
    first = 0
    for place in range(1, bins + 1):
        last = max(first, place * len(ordered) // bins)
        while 0 < last < len(ordered) and ordered[last].confidence == ordered[last - 1].confidence:
            last += 1
        if last > first:
            found.append(_bin(ordered[first:last]))
            first = last
    return found


def _bin(predictions: Sequence[Sure]) -> ReliabilityBin:
    number = len(predictions)
    mean = math.fsum(one.confidence for one in predictions) / number
    return ReliabilityBin(number, mean, sum(one.right for one in predictions) / number)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Mean over predictions of |share right − mean confidence| of their bin, 0 … 1; None without predictions.

    Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015.
    """
    number = sum(one.predictions for one in bins)
    if not number:
        return None
    return math.fsum(one.predictions * abs(one.share_right - one.mean_confidence) for one in bins) / number


def brier_score(predictions: Sequence[Sure]) -> float | None:
    """Mean of (confidence − 1 if right else 0)², 0 … 1, the lower the better; None without predictions.

    Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    if not predictions:
        return None
    return math.fsum((one.confidence - one.right) ** 2 for one in predictions) / len(predictions)
