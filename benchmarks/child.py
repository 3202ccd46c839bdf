"""`python -m benchmarks.child TASK PAYLOAD RESULT THREADS`: run one task in this fresh process and note its memory.

TASK is `module:function`. The function gets the unpickled payload and a call by which it says that what it works with
is in memory; what it returns is noted too.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import pkgutil
import sys
from pathlib import Path

from benchmarks.memory import ChildTask, peak_mb, resident_mb
from benchmarks.process import prepare_process


def main() -> None:
    """Run the task."""
    task, payload, result, threads = sys.argv[1:]
    prepare_process(int(threads))
    _first_to_be_killed()
    function: ChildTask = pkgutil.resolve_name(task)
    loaded: list[float] = []
    figures = function(pickle.loads(Path(payload).read_bytes()), lambda: loaded.append(resident_mb()))
    noted = {"peak_mb": peak_mb(), "loaded_mb": loaded[0] if loaded else resident_mb(), "figures": dict(figures)}
    Path(result).write_text(json.dumps(noted), encoding="utf-8")


def _first_to_be_killed() -> None:
    """Where memory runs out, this process goes and no other."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
