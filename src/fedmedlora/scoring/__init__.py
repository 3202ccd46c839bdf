"""Gold and predicted documents enter, strict and lenient scores and intervals leave. Knows no model and no file."""

from __future__ import annotations

from fedmedlora.scoring.bootstrap import Interval, bootstrap_all, document_bootstrap, paired_difference
from fedmedlora.scoring.counts import MODES, TASKS, Count, Counts, DocumentCounts, Mode, Tally, Task
from fedmedlora.scoring.paired_bootstrap import Runs, mean_bootstrap, paired_bootstrap
from fedmedlora.scoring.permutation import Permutation, holm, paired_permutation
from fedmedlora.scoring.score import Scores, TaskScores, score_documents

__all__ = [
    "MODES",
    "TASKS",
    "Count",
    "Counts",
    "DocumentCounts",
    "Interval",
    "Mode",
    "Permutation",
    "Runs",
    "Scores",
    "Tally",
    "Task",
    "TaskScores",
    "bootstrap_all",
    "document_bootstrap",
    "holm",
    "mean_bootstrap",
    "paired_bootstrap",
    "paired_difference",
    "paired_permutation",
    "score_documents",
]
