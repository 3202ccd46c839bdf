from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fedmedlora
from fedmedlora.federation.environment import subprocess_environment


# Steps of one run: 3 checkpoints (before the first round and after each of 2) of 2 files, and the momentum of 2 sites
# in each of 2 rounds, make 10 files; each takes 3 steps: temporary file, sync, rename. In 8 bits each site writes one
# file more in each round, what its update lost: 14 files.
@pytest.mark.parametrize(("wire", "steps"), [("float32", 30), ("int8", 42)])
def test_killed_at_any_moment_a_federation_ends_with_the_same_bits(tmp_path: Path, wire: str, steps: int) -> None:
    environment = subprocess_environment(tmp_path / "flower")
    environment["PYTHONPATH"] += f":{Path(__file__).parents[1]}"
    program = Path(__file__).with_name("federation_crashes.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), wire],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found["steps"]) == steps
    assert {digest for _, digest in found["steps"]} == {found["whole"]}
    # Killed before the first checkpoint.json was in place, there is nothing; killed in its last step, 1 round is.
    assert [rounds for rounds, _ in found["steps"]][:6] == [-1] * 6
    assert found["steps"][-1][0] == 1
    assert found["after_moments"] == found["whole"]
    assert found["died"] >= 4


def test_the_environment_is_safe_before_flower_is_imported(tmp_path: Path) -> None:
    code = (
        "import os, sys; import fedmedlora.federation; assert 'flwr' not in sys.modules and 'torch' not in sys.modules;"
        "print(os.environ['FLWR_TELEMETRY_ENABLED'], os.environ['FLWR_DISABLE_UPDATE_CHECK'],"
        " os.environ['FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION'], os.environ['RAY_USAGE_STATS_ENABLED']);"
        "from flwr.supercore import telemetry; print(telemetry.FLWR_TELEMETRY_ENABLED)"
    )
    source = str(Path(fedmedlora.__file__).parents[1])
    environment = {"PYTHONPATH": source, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    # What was set, in the order above, and what Flower then read.
    assert done.stdout.split() == ["0", "1", "1", "0", "0"]


def test_the_contract_loads_without_torch_and_flower(tmp_path: Path) -> None:
    code = (
        "import sys, fedmedlora.training.contract; print(sorted({'torch', 'flwr', 'transformers'} & set(sys.modules)))"
    )
    environment = subprocess_environment(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_proxy_is_never_asked_for_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "hospital.example")
    found = subprocess_environment(tmp_path)
    assert found["NO_PROXY"] == "hospital.example,127.0.0.1,localhost"
    assert found["PATH"].startswith(str(Path(sys.executable).parent))
    assert found["FLWR_HOME"] == str(tmp_path)
