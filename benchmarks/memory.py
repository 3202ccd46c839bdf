"""Peak memory of a piece of work, in a process of its own: the peak of a process never goes down."""

from __future__ import annotations

import json
import pickle
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from benchmarks.process import ROOT
from benchmarks.timing import Comparison
from fedmedlora.errors import EnvironmentProblem

ChildTask: TypeAlias = Callable[[object, Callable[[], None]], Mapping[str, float]]
"""What a process of its own runs: payload and a call that says "loaded" enter, figures leave."""

_STATUS = Path("/proc/self/status")
_TIMEOUT_S = 3600.0


class Peak(NamedTuple):
    """Memory of one process, in megabytes (10⁶ bytes), and what it measured beside.

    peak_mb: the most that was resident. loaded_mb: resident when everything was loaded and the work began.
    """

    peak_mb: float
    loaded_mb: float
    figures: Mapping[str, float]

    @property
    def growth_mb(self) -> float:
        """By how much the work went beyond what was loaded."""
        return max(0.0, self.peak_mb - self.loaded_mb)


def measure_peak(task: str, payload: object, *, threads: int) -> Peak:
    """Run `module:function` on a payload in a fresh process.

    Raises EnvironmentProblem when the process fails, or is killed for memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder, "payload"), Path(folder, "result")
        given.write_bytes(pickle.dumps(payload))
        command = [sys.executable, "-m", "benchmarks.child", task, str(given), str(result), str(threads)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False)
        if done.returncode:
            why = "was killed; memory ran out, perhaps" if done.returncode < 0 else f"ended with {done.returncode}"
            raise EnvironmentProblem(f"the process that measures {task} {why}.")
        noted = json.loads(result.read_text(encoding="utf-8"))
    return Peak(noted["peak_mb"], noted["loaded_mb"], noted["figures"])


def compare_peaks(name: str, ours: Peak, peer: Peak, *, unit: str = "MB") -> list[Comparison]:
    """The whole peak of both, and how far each went beyond what it had loaded."""
    whole = Comparison(name, ours.peak_mb, peer.peak_mb, unit, peer.peak_mb / ours.peak_mb)
    least = max(ours.growth_mb, 0.1)
    grown = Comparison(f"{name}_growth", ours.growth_mb, peer.growth_mb, unit, peer.growth_mb / least)
    return [whole, grown]


def peak_mb() -> float:
    """The most memory that this process has had resident, in megabytes."""
    found = _status("VmHWM")
    # The kernel's own count is inherited by a started process from the one that starts it, so it comes second.
    return found if found is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def resident_mb() -> float:
    """Memory that this process has resident now, in megabytes; its peak where the system does not say."""
    found = _status("VmRSS")
    return found if found is not None else peak_mb()


def available_mb() -> float:
    """Memory that a new process could take on this machine, in megabytes; without end where the system does not say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) * 1024 / 1e6 if found else float("inf")


def _status(key: str) -> float | None:
    try:
        found = re.search(rf"{key}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e6 if found else None
