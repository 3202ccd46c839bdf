"""Gold and predicted documents enter, strict and lenient scores and intervals leave. Knows no model and no file."""

from __future__ import annotations

from fedmedlora.scoring.bootstrap import Interval, bootstrap_all, document_bootstrap, paired_difference
from fedmedlora.scoring.calibration import ReliabilityBin
from fedmedlora.scoring.confidence import Confidence
from fedmedlora.scoring.counts import MODES, TASKS, Count, Counts, DocumentCounts, Mode, Tally, Task
from fedmedlora.scoring.errors import CLASSES, ErrorClass, ErrorItem, classify_errors, count_errors
from fedmedlora.scoring.paired_bootstrap import Runs, mean_bootstrap, paired_bootstrap
from fedmedlora.scoring.permutation import Permutation, holm, paired_permutation
from fedmedlora.scoring.ranked import Ranking, Step, rank_predictions
from fedmedlora.scoring.score import Scores, TaskScores, score_documents

__all__ = [
    "CLASSES",
    "MODES",
    "TASKS",
    "Confidence",
    "Count",
    "Counts",
    "DocumentCounts",
    "ErrorClass",
    "ErrorItem",
    "Interval",
    "Mode",
    "Permutation",
    "Ranking",
    "ReliabilityBin",
    "Runs",
    "Scores",
    "Step",
    "Tally",
    "Task",
    "TaskScores",
    "bootstrap_all",
    "classify_errors",
    "count_errors",
    "document_bootstrap",
    "holm",
    "mean_bootstrap",
    "paired_bootstrap",
    "paired_difference",
    "paired_permutation",
    "rank_predictions",
    "score_documents",
]
