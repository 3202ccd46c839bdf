"""What can be known to be impossible from the notes as they are read, before any model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fedmedlora.adapters.encoder import MINILM, minilm_path
from fedmedlora.config.arms import BERT
from fedmedlora.config.models import StudyConfig
from fedmedlora.errors import BaseModelError, ConfigError


def check_possible(config: StudyConfig, held: Mapping[str, int]) -> None:
    """Look for the encoder and for enough notes to divide. held: training notes by site.

    Raises EnvironmentProblem when the package of the encoder is missing, BaseModelError for a folder without one,
    ConfigError when the setting scaling names more sites than notes. An encoder on a hub is not asked for.
    """
    if config.bert.encoder is not None and any(arm in BERT for arm in config.arms):
        _check_encoder(config.bert.encoder)
    if "scaling" in config.settings:
        _check_divisible(config, held)


def _check_encoder(name: str) -> None:
    if name == MINILM:
        minilm_path()
        return
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BaseModelError(f"encoder '{name}': the folder has no config.json. Give the folder of an encoder.")


def _check_divisible(config: StudyConfig, held: Mapping[str, int]) -> None:
    """An upper bound: which notes have an example, the tokenizer tells."""
    capped = config.training.max_train_examples
    most = None if capped is None else capped * len(config.tasks)
    notes = sum(held[name] if most is None else min(held[name], most) for name in config.members)
    wanted = max(config.scaling.sites)
    if wanted > notes:
        raise ConfigError(
            f"[scaling] sites names {wanted}, but the sites have at most {notes} training notes with "
            "an example. Name fewer sites, or raise max_train_examples."
        )
