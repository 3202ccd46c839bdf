"""What is known of strict matches alone, as columns of the exported scores: confidence and classes of errors."""

from __future__ import annotations

from fedmedlora.report.records import Score
from fedmedlora.scoring import CLASSES, Task

_KINDS = tuple(dict.fromkeys(kind for kinds in CLASSES.values() for kind in kinds if kind != "correct"))

STRICT_COLUMNS = (
    *("auprc", "auprc_low", "auprc_high", "ece", "brier"),
    *(f"error_{kind.replace(' ', '_')}" for kind in _KINDS),
)


def strict_values(score: Score, task: Task, rule: str) -> tuple[float | None, ...]:
    """A value for each of `STRICT_COLUMNS`; None for what is not known, and everywhere under the lenient rule."""
    if rule != "strict":
        return (None,) * len(STRICT_COLUMNS)
    sure, errors = score.confidence.get(task), score.errors.get(task, {})
    counts = tuple(errors.get(kind) for kind in _KINDS)
    if sure is None:
        return (None, None, None, None, None, *counts)
    low, high = sure.interval or (None, None)
    return (sure.auprc, low, high, sure.ece, sure.brier, *counts)
