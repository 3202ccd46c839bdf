"""The most memory that this process held since a mark: of the GPU where there is one, else of the machine."""

from __future__ import annotations

from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5\n"
"""Linux, proc(5): sets the peak of the resident set to what is held now."""


def mark_peak() -> bool:
    """Begin to measure. False where the system does not let a process forget its peak: then nothing can be said."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def peak_bytes() -> int | None:
    """The most bytes held since the mark, the base included; None where the system does not say."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resident_peak("self")


def resident_peak(process: str | int) -> int | None:
    """The peak of a process's resident set in bytes; None when it is gone or the system has no such account."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
