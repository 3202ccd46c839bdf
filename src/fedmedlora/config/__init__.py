"""A study file and flags enter, one checked frozen `StudyConfig` leaves; it knows no corpus, no model and no recipe."""

from __future__ import annotations

from fedmedlora.config.api import ApiConfig
from fedmedlora.config.encoder import BertConfig
from fedmedlora.config.models import (
    BUNDLED,
    ArmName,
    EvaluationConfig,
    FederationConfig,
    Objective,
    OptimizerState,
    PlusConfig,
    ProxConfig,
    SettingName,
    SiteConfig,
    StudyConfig,
    SyntheticNotes,
    TaskName,
    TrainingConfig,
    WirePrecision,
)
from fedmedlora.config.splits import FileSplit, PartFiles, SeededSplit
from fedmedlora.config.study_file import load_study, study_table, study_toml

__all__ = [
    "BUNDLED",
    "ApiConfig",
    "ArmName",
    "BertConfig",
    "EvaluationConfig",
    "FederationConfig",
    "FileSplit",
    "Objective",
    "OptimizerState",
    "PartFiles",
    "PlusConfig",
    "ProxConfig",
    "SeededSplit",
    "SettingName",
    "SiteConfig",
    "StudyConfig",
    "SyntheticNotes",
    "TaskName",
    "TrainingConfig",
    "WirePrecision",
    "load_study",
    "study_table",
    "study_toml",
]
