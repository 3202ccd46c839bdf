"""The rooms that must load without torch do, every submodule of them, in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "flwr", "ray")
LIGHT = ("corpus", "markup", "scoring", "aggregation", "report", "adapters.state")

WALK = """
import importlib, json, pkgutil, sys

room, heavy = sys.argv[1], sys.argv[2:]
package = importlib.import_module(room)
names = [found.name for found in pkgutil.walk_packages(getattr(package, "__path__", []), room + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(json.dumps({"walked": [room, *names], "heavy": sorted(set(heavy) & set(sys.modules))}))
"""


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_load_no_heavy_library(room: str) -> None:
    command = [sys.executable, "-c", WALK, f"fedmedlora.{room}", *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["heavy"] == [], f"{found['walked']} load {found['heavy']}"
