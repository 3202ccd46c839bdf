"""Environment defaults under which nothing calls out: set before flwr and ray are imported or started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

SAFE_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray announces a coming change of this default with a warning at every start.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
)
"""Variable to value. A value that the user has set stays."""

_LOOPBACK = ("127.0.0.1", "localhost")
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def set_safe_defaults() -> None:
    """Set what the user has not set. Without effect on a flwr that is already imported."""
    for name, value in SAFE_DEFAULTS.items():
        os.environ.setdefault(name, value)


def subprocess_environment(flower_home: Path) -> dict[str, str]:
    """The environment of a Flower process on this machine, with its configuration under `flower_home`.

    Flower starts its helpers by name, so this interpreter's scripts come first on the path, and they import the same
    fedmedlora as this process. A proxy is never asked for loopback addresses.
    """
    found = {**SAFE_DEFAULTS, **os.environ, "FLWR_HOME": str(flower_home)}
    # Not resolved: a virtual environment's interpreter is a link to the one it was made from.
    scripts = str(Path(sys.executable).parent)
    found["PATH"] = os.pathsep.join([scripts, found.get("PATH", os.defpath)])
    inherited = [str(Path(entry).absolute()) for entry in found.get("PYTHONPATH", "").split(os.pathsep) if entry]
    found["PYTHONPATH"] = os.pathsep.join([str(_PACKAGE_ROOT), *inherited])
    for name in ("NO_PROXY", "no_proxy"):
        found[name] = ",".join([*filter(None, [found.get(name)]), *_LOOPBACK])
    return found
