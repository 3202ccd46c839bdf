"""A study file and flags enter, one checked frozen `StudyConfig` leaves; it knows no corpus, no model and no recipe."""

from __future__ import annotations

from fedmedlora.config.models import (
    BUNDLED,
    ArmName,
    EvaluationConfig,
    FileSplit,
    Objective,
    OptimizerState,
    PartFiles,
    PlusConfig,
    SeededSplit,
    SettingName,
    SiteConfig,
    StudyConfig,
    SyntheticNotes,
    TaskName,
    TrainingConfig,
)
from fedmedlora.config.study_file import load_study, study_table, study_toml

__all__ = [
    "BUNDLED",
    "ArmName",
    "EvaluationConfig",
    "FileSplit",
    "Objective",
    "OptimizerState",
    "PartFiles",
    "PlusConfig",
    "SeededSplit",
    "SettingName",
    "SiteConfig",
    "StudyConfig",
    "SyntheticNotes",
    "TaskName",
    "TrainingConfig",
    "load_study",
    "study_table",
    "study_toml",
]
