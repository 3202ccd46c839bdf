"""Gold and predicted documents enter, strict and lenient scores and intervals leave. Knows no model and no file."""

from __future__ import annotations

from fedmedlora.scoring.bootstrap import Interval, bootstrap_all, document_bootstrap, paired_difference
from fedmedlora.scoring.counts import MODES, TASKS, Count, Counts, DocumentCounts, Mode, Task
from fedmedlora.scoring.score import Scores, TaskScores, score_documents

__all__ = [
    "MODES",
    "TASKS",
    "Count",
    "Counts",
    "DocumentCounts",
    "Interval",
    "Mode",
    "Scores",
    "Task",
    "TaskScores",
    "bootstrap_all",
    "document_bootstrap",
    "paired_difference",
    "score_documents",
]
