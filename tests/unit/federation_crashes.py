"""Runs one federation many times, each ended by SIGKILL at another moment, and prints what a resume then gives.

A program of its own: it forks, and whatever it forks is killed. `federation_crashes.py FOLDER WIRE` prints one JSON
object for the federation whose adapters travel in the precision WIRE.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from fedmedlora.aggregation.rules import find_rule
from fedmedlora.federation.coordinator import read_result, run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.history import FederationResult
from fedmedlora.federation.plan import FederationPlan, Timeouts
from numpy_sites import NumpySite, initial_state

ROUNDS = 2
PLAN = FederationPlan(("alpha", "be"), find_rule("fedmedlora"), ROUNDS, 5, {"lr": 0.01}, timeouts=Timeouts(0.0))
WIRE = sys.argv[2]


def run(folder: Path, seconds: float = 0.0) -> FederationResult:
    sites = [NumpySite("alpha", 30, folder, seconds), NumpySite("be", 11, folder, seconds)]
    plan = replace(PLAN, wire=WIRE)
    return run_federation(in_process_grid(sites), plan, initial_state(), folder, resume=True)


def kill_before_step(number: int) -> None:
    """End this process right before its n-th step of writing: temporary file made, synced, or renamed."""
    left = [number]

    def counted(name: str, module: object) -> None:
        real = getattr(module, name)

        def step(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        setattr(module, name, step)

    counted("mkstemp", tempfile)
    counted("fsync", os)
    counted("replace", os)


def crash(folder: Path, step: int | None, delay_s: float) -> bool:
    """Run in a forked process that dies; whether it did."""
    child = os.fork()
    if child == 0:
        if step is not None:
            kill_before_step(step)
        else:
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        run(folder, seconds=0.0 if step is not None else 0.04)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    whole = run(folder / "whole")
    found: dict[str, object] = {"whole": whole.state.digest, "steps": []}
    step = 0
    while True:
        step += 1
        place = folder / f"step-{step}"
        if not crash(place, step, 0.0):
            break
        rounds = len(read_result(place).history) if (place / "checkpoint.json").exists() else -1
        found["steps"].append([rounds, run(place).state.digest])
    chance, place = random.Random(0), folder / "moments"
    died = 0
    for _ in range(8):
        died += crash(place, None, chance.uniform(0.005, 0.12))
    found["died"], found["after_moments"] = died, run(place).state.digest
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
