"""What makes a run traceable and crash-proof: atomic writes, digests, JSON lines, versions. Knows no model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fedmedlora.errors import InputError

_RECORDED_LIBRARIES = ("fedmedlora", "torch", "transformers", "peft", "flwr", "numpy", "tokenizers", "safetensors")


_PART = ".part"


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file or leave the old one: temporary file beside it, fsync, rename. Creates parent folders."""
    payload = data.encode("utf-8") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sweep_unfinished(folder: Path) -> int:
    """Remove what a killed `write_atomic` left below a folder, note text perhaps; returns how many files.

    Only while nobody writes there.
    """
    left = [path for path in folder.rglob(f".*{_PART}") if path.is_file()]
    for path in left:
        path.unlink()
    return len(left)


def append_json_line(path: Path, value: Mapping[str, object]) -> None:
    """Append one JSON object as a line and fsync. A last line that a crash cut short gives way to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n"
    with path.open("a+b") as stream:
        stream.seek(0)
        held = stream.read()
        if held and not held.endswith(b"\n"):
            stream.truncate(held.rfind(b"\n") + 1)
        stream.write(line.encode("utf-8"))
        stream.flush()
        os.fsync(stream.fileno())


def read_json_lines(path: Path) -> Iterator[dict[str, object]]:
    """Yield the objects of a JSON-lines file that this program wrote. A missing file yields nothing.

    A last line without its line break is what a crash left behind, and skipped. Raises InputError for any other damage,
    with file and line.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: not JSON. Restore the file or start a new run directory."
                ) from error
            if isinstance(value, dict):
                yield value


def digest_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: object) -> str:
    """SHA-256 of a JSON-serialisable value, keys sorted."""
    return digest_bytes(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8"))


def digest_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode("utf-8") + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results; 'absent' for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in _RECORDED_LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def machine() -> dict[str, str | int]:
    """The machine in words and numbers: processor architecture, cores, system."""
    return {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count() or 0}
