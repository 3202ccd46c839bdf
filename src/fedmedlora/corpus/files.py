"""Open corpus files: UTF-8 strictly, line ends untouched, so that offsets count the code points that are there."""

from __future__ import annotations

from pathlib import Path

from fedmedlora.errors import CorpusError


def read_text(path: Path) -> str:
    """The whole file, decoded strictly, line ends and byte-order mark as they are.

    Raises CorpusError with the file's name when it is missing, unreadable or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CorpusError(f"{path}: no such file.") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}, byte {error.start}: not UTF-8. Convert the file to UTF-8 first.") from error
