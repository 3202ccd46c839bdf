"""What every process of the benchmarks does first, and what it may need that the package itself does not."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from pathlib import Path

from fedmedlora.errors import EnvironmentProblem

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
}
_LOUD = ("trl", "datasets", "accelerate")


def prepare_process(threads: int) -> None:
    """Set threads, stay off the network, and keep libraries quiet. Call it before torch is imported."""
    os.environ.update(_ENVIRONMENT)
    os.environ.update({"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)})
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def quiet_flower() -> None:
    """Keep Flower from logging every step. Call it after flwr is imported, which sets its own level."""
    logging.getLogger("flwr").setLevel(logging.ERROR)


def require(*modules: str) -> None:
    """Raise EnvironmentProblem unless these can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"{', '.join(missing)} not installed. The peers come with the extra 'bench': "
            "pip install -c constraints.txt -e '.[bench]'"
        )
