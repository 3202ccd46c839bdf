"""Processes that this one starts and surely ends, helpers included, with what they say kept in logs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedmedlora.errors import EnvironmentProblem
from fedmedlora.federation.environment import subprocess_environment

_STOP_S = 10.0
_PAUSE_S = 0.1


def log_folder(work: Path) -> Path:
    """Where the output of processes goes, one file each."""
    return work / "logs"


@contextlib.contextmanager
def started(command: Sequence[str], work: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in its own process group and Flower home, its output in a log; end the whole group afterwards."""
    home, log = work / name, log_folder(work) / f"{name}.log"
    home.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=subprocess_environment(home),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end_group(process)


def wait_for_end(process: subprocess.Popen[bytes], timeout_s: float, work: Path) -> int:
    """The exit status of a process. Raises EnvironmentProblem when it does not end in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        status = process.poll()
        if status is not None:
            return status
        time.sleep(_PAUSE_S)
    raise EnvironmentProblem(f"the federation did not end within {timeout_s:g} s. Logs are in {log_folder(work)}.")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it; helpers outlive the process that started them unless they are told."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
